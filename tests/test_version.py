"""The version comes from tags, and a build without any has one all the same."""

import subprocess

import pytest

from secateur.version import NEXT, version


@pytest.fixture
def repository(tmp_path):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    return tmp_path, git


def test_a_tag_is_the_version_and_what_follows_comes_before_the_next(repository):
    root, git = repository
    assert version(root) == NEXT
    git("tag", "v1.2.3")
    assert version(root) == "1.2.3"
    git("tag", "nightly")
    git("commit", "-q", "--allow-empty", "-m", "two")
    assert version(root).startswith("1.2.4.dev1+g")


def test_a_copy_without_its_repository_has_one(tmp_path):
    assert version(tmp_path) == NEXT
    (tmp_path / ".git").write_text("gitdir: /nowhere")
    assert version(tmp_path) == NEXT
    (tmp_path / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: secateur\nVersion: 7.8.9\n")
    assert version(tmp_path) == "7.8.9"
