"""The lock file pins what pyproject.toml asks for, by hash, and names no place to get it from."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _pinned():
    return {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", TEXT, re.M)
    }


def _asked(extra=None):
    for text in PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if requirement.name == "secateur":
            for other in requirement.extras:
                yield from _asked(other)
        else:
            yield requirement


def test_all_that_is_asked_for_is_pinned_within_its_range():
    pinned = _pinned()
    for requirement in (*_asked(), *_asked("dev")):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), (str(requirement), version)


def test_every_pin_has_hashes_and_no_place():
    blocks = re.split(r"^(?=[\w.-]+==)", TEXT, flags=re.M)[1:]
    assert len(blocks) == len(_pinned()) > 100
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]
    assert not re.search(r"https?://|file:|--index|--find-links|(^|\s)/", TEXT)
