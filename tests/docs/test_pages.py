"""The pages of docs/: they build, their commands are the program's, their blocks run, their errors exist."""

import ast
import os
import re
import shlex
import subprocess
import sys

import pytest
from blocks import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
_RUNNABLE = re.compile(
    r"^<!-- runnable(?:: (slow|file ([\w.-]+)))? -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def runnable(page):
    """(kind, file name, text) of every marked block of a page, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = [(m[1] or "", m[2], m[3]) for m in _RUNNABLE.finditer(text)]
    assert len(found) == text.count("<!-- runnable"), f"{page}: a mark without a block behind it"
    return found


WITH_BLOCKS = [page for page in PAGES if runnable(page)]
SLOW = [page for page in WITH_BLOCKS if any(kind == "slow" for kind, _, _ in runnable(page))]


def parts(block):
    """(command, words that it must print, in order) of a console block."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line.strip())
    return found


def run_page(page, folder, slow, secateur):
    for kind, name, text in runnable(page):
        if name:
            (folder / name).write_text(text, encoding="utf-8")
            continue
        if kind == "slow" and not slow:
            continue
        for command, wanted in parts(text):
            words = shlex.split(command.removesuffix(" || true"))
            assert words[0] == "secateur", command
            code, printed, error = secateur(*words[1:])
            assert code == 0 or command.endswith("|| true"), f"{command}\n{error[-2000:]}"
            said = " ".join((printed + error).split())
            place = 0
            for line in wanted:
                found = said.find(" ".join(line.split()), place)
                assert found >= 0, f"{page}: {command} does not print {line!r} any longer:\n{said[:3000]}"
                place = found


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_blocks_run(page, tmp_path, monkeypatch, secateur):
    monkeypatch.chdir(tmp_path)
    run_page(page, tmp_path, False, secateur)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_long_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def apart(*arguments):
        """In a process of its own, as a user would."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "secateur.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout, done.stderr

    run_page(page, tmp_path, True, apart)


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "Troubleshooting" in home
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.?https?://", home)  # nothing from elsewhere
    assert (tmp_path / "site" / "adr" / "0001-own-trace" / "index.html").is_file()


def test_every_page_is_in_the_nav_once():
    listed = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(listed)) == len(listed)
    assert set(PAGES) <= set(listed)


def test_the_commands_are_those_of_the_program():
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        from commands_page import PAGE, written
    finally:
        sys.path.remove(str(ROOT / "bench"))
    assert PAGE.read_text(encoding="utf-8") == written(), "run python bench/commands_page.py"


def test_the_picture_of_groups_is_that_of_the_policy():
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        from groups_picture import PICTURE, drawn
    finally:
        sys.path.remove(str(ROOT / "bench"))
    assert PICTURE.read_text(encoding="utf-8") == drawn(), "run python bench/groups_picture.py"


def _rules():
    """Every text of the source, policies included, that could be a rule; what is filled in later is …."""
    texts = set()
    sources = [path for part in ("toolkit/secateur", "policies") for path in (ROOT / part).rglob("*.py")]
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                texts.add("".join(p.value if isinstance(p, ast.Constant) else "…" for p in node.values))
    return texts


FILLED = {
    "flash of the whole policy must be within": "… of … must be within …",
    "FULLY_CONNECTED is supported in the forms listed in operators/": (
        "… is supported in the forms listed in operators/"
    ),
    "board and host agree on the": "board and host agree on the …",
}
"""Rules that are quoted as they are printed → as they stand in the source."""


def test_the_errors_that_are_explained_exist():
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = [rule for line in page.splitlines() for rule in re.findall(r"\*\*(.+?)\*\*(?:,|$)", line)]
    assert len(quoted) >= 25
    rules = _rules()
    assert not [rule for rule in quoted if FILLED.get(rule, rule) not in rules]


def test_pictures_are_small():
    for path in (DOCS / "img").iterdir():
        assert path.stat().st_size < 300_000, path.name
