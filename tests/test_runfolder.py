import json
import os
import re
from pathlib import Path

import pytest

from secateur import runfolder
from secateur.errors import SecateurError
from secateur.runfolder import (
    RunFolder,
    control_rate,
    read_finished,
    request_of,
    to_json,
    widths_of,
    write_atomically,
)
from secateur.runparts import parts_of_run


def _stage(text):
    return lambda folder: (folder / "out.txt").write_text(text)


def _finish(path, resume=False):
    with RunFolder(path, {"seed": 0}, resume) as folder:
        made = folder.stage("one", _stage("hello"))
        folder.publish(
            {"out.txt": made / "out.txt", "c/out.h": made / "out.txt"},
            {"seeds": [0]},
            lambda listed: {"schema": 1, "artifacts": listed},
        )


def test_a_run_ends_with_a_summary_and_its_files(tmp_path):
    _finish(tmp_path / "run")
    summary = read_finished(tmp_path / "run")
    assert [a["path"] for a in summary["artifacts"]] == ["c/out.h", "out.txt"]
    assert not (tmp_path / "run" / ".stages").exists()


def test_nothing_is_written_over(tmp_path):
    _finish(tmp_path / "run")
    with pytest.raises(SecateurError, match="not empty"):
        RunFolder(tmp_path / "run", {"seed": 0}, False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(SecateurError, match="something else"):
        RunFolder(tmp_path / "other", {"seed": 0}, True)
    assert (tmp_path / "other" / "thesis.txt").read_text() == "mine"
    with pytest.raises(SecateurError, match="is a file"):
        RunFolder(tmp_path / "other" / "thesis.txt", {"seed": 0}, True)


def test_a_stage_is_done_once(tmp_path):
    count = []

    def produce(folder):
        count.append(1)
        (folder / "out.txt").write_text("x")

    for resume in (False, True):
        with RunFolder(tmp_path / "run", {"seed": 0}, resume) as folder:
            folder.stage("one", produce)
    assert len(count) == 1


def test_an_interrupted_stage_is_done_again(tmp_path):
    def killed(folder):
        (folder / "out.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), RunFolder(tmp_path / "run", {"seed": 0}, False) as folder:
        folder.stage("one", killed)
    with RunFolder(tmp_path / "run", {"seed": 0}, True) as folder:
        assert (folder.stage("one", _stage("whole")) / "out.txt").read_text() == "whole"


def test_resume_asks_for_the_same(tmp_path):
    with RunFolder(tmp_path / "run", {"seed": 0, "target": "a"}, False):
        pass
    with pytest.raises(SecateurError, match="seed was 0 and is now 1"):
        RunFolder(tmp_path / "run", {"seed": 1, "target": "a"}, True)


def test_a_changed_file_is_noticed(tmp_path):
    with RunFolder(tmp_path / "run", {}, False) as folder:
        (folder.stage("one", _stage("x")) / "out.txt").write_text("y")
        with pytest.raises(SecateurError, match="changed"):
            folder.stage("one", _stage("x"))
    _finish(tmp_path / "two")
    (tmp_path / "two" / "out.txt").write_text("tampered")
    with pytest.raises(SecateurError, match="changed"):
        read_finished(tmp_path / "two")


def test_a_manifest_cannot_point_outside(tmp_path):
    _finish(tmp_path / "run")
    manifest = tmp_path / "run" / "manifest.json"
    document = json.loads(manifest.read_text())
    document["files"] = {"../../etc/passwd": "0" * 64}
    manifest.write_text(json.dumps(document))
    with pytest.raises(SecateurError):
        read_finished(tmp_path / "run")


def test_two_runs_do_not_share_a_folder(tmp_path):
    with (
        RunFolder(tmp_path / "run", {"seed": 0}, False),
        pytest.raises(SecateurError, match="in use"),
        RunFolder(tmp_path / "run", {"seed": 0}, True),
    ):
        pass


def test_a_run_that_began_while_another_was_being_prepared_is_not_written_over(tmp_path):
    late, later = (
        RunFolder(tmp_path / "run", {"seed": 1}, False),
        RunFolder(tmp_path / "run", {"seed": 1}, True),
    )
    _finish(tmp_path / "run")
    with pytest.raises(SecateurError, match="not empty"), late:
        pass
    with pytest.raises(SecateurError, match="seed was 0 and is now 1"), later:
        pass
    read_finished(tmp_path / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SecateurError, match="can be written"), RunFolder(tmp_path / "run", {}, False):
        pass


@pytest.mark.parametrize("content", [None, "{", "[]", '{"schema": 2}', '{"a": 1}'])
def test_what_is_no_summary_is_refused(tmp_path, content):
    _finish(tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    if content is not None:
        (tmp_path / "run" / "summary.json").write_text(content)
    with pytest.raises(SecateurError):
        read_finished(tmp_path / "run")


@pytest.mark.parametrize("name", ["summary.json", "manifest.json"])
def test_resuming_is_the_remedy_only_where_a_run_is_unfinished(tmp_path, name):
    _finish(tmp_path / "run")
    (tmp_path / "run" / name).write_text("{")
    with pytest.raises(SecateurError, match="into a new folder"):
        read_finished(tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(SecateurError, match="--resume"):
        read_finished(tmp_path / "run")


@pytest.mark.parametrize("content", ["[" * 100_000, "[1]", "{"])
@pytest.mark.parametrize(("name", "read"), [("parts.json", parts_of_run), ("request.json", request_of)])
def test_what_a_run_says_of_itself_is_read_with_care(tmp_path, name, read, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(SecateurError, match=name):
        read(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_atomically(tmp_path / "a.json", to_json({"a": 1}))
    with pytest.raises(ValueError, match="JSON compliant"):
        write_atomically(tmp_path / "a.json", to_json({"a": float("nan")}))
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "[" * 100_000, '[{"name": "see", "period": 0, "fed": {}}]', '[{"name": "see"}]'],
    ids=["nothing", "no part", "no list", "deep", "never", "no period"],
)
def test_parts_that_no_run_wrote_are_refused(tmp_path, text):
    (tmp_path / "parts.json").write_text(text)
    with pytest.raises(SecateurError, match="a run states its parts"):
        parts_of_run(tmp_path)


def test_what_a_run_was_asked_for_is_read_with_care(tmp_path, monkeypatch):
    path = tmp_path / "request.json"
    for text, rate in (
        ('{"control_hz": 50}', 50.0),
        ('{"control_hz": 0}', None),
        ('{"control_hz": NaN}', None),
    ):
        path.write_text(text)
        assert control_rate(tmp_path) == rate
    monkeypatch.setattr(runfolder, "MAX_DOCUMENT_BYTES", 4)
    assert control_rate(tmp_path) is None
    with pytest.raises(SecateurError, match="of at most 4"):
        request_of(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": 1.5}', '{"a": true}', '{"a": 0}', '{"a": "4"}', '{"a": ' * 9999]
)
def test_widths_that_no_run_wrote_are_refused(tmp_path, text):
    (tmp_path / "widths.json").write_text(text)
    with pytest.raises(SecateurError, match="states the width of each group"):
        widths_of(tmp_path)
    (tmp_path / "widths.json").write_text('{"a": 4}')
    assert widths_of(tmp_path) == {"a": 4}


def test_files_of_runs_are_read_by_the_one_reader():
    """It knows limits of size and depth; what runs on a robot stands alone."""
    root = Path(runfolder.__file__).parent
    for path in root.rglob("*.py"):
        if path.parent.name != "robot" and path.name != "runfolder.py":
            assert not re.search(r"json\.loads?\(.*read_(bytes|text)\(", path.read_text()), path
