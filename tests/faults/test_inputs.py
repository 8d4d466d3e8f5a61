"""Files from others: too large, unpacking to too much, leading elsewhere, of rubbish, or raising."""

import json
import os
import zipfile

import pytest

from secateur.errors import SecateurError
from secateur.report.sweep import document_of, render_sweep
from secateur.runfolder import RunFolder, read_finished


def _sparse(path, size):
    with path.open("wb") as stream:
        stream.truncate(size)
    return path


def test_files_that_are_too_large_are_refused_unread(tmp_path):
    from torch import nn

    from secateur.artifact import open_models
    from secateur.policy.weights import load_weights
    from secateur.target.target import load_any

    huge = 1 << 38
    with pytest.raises(SecateurError, match="about as large as their module"):
        load_weights(nn.Linear(2, 2), _sparse(tmp_path / "w.safetensors", huge))
    with pytest.raises(SecateurError, match="it has more than"):
        load_any(_sparse(tmp_path / "board.toml", huge))
    with pytest.raises(SecateurError, match="it has more than"):
        open_models(str(_sparse(tmp_path / "m.tflite", huge)))
    run = tmp_path / "run"
    run.mkdir()
    _sparse(run / "summary.json", huge)
    _sparse(run / "manifest.json", huge)
    with pytest.raises(SecateurError, match="of at most"):
        read_finished(run)


def test_a_target_nested_too_deep_is_one_error(tmp_path):
    from secateur.target.target import load_any

    (tmp_path / "deep.toml").write_text("a = " + "[" * 5000)
    with pytest.raises(SecateurError, match="readable TOML"):
        load_any(tmp_path / "deep.toml")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    from secateur.verify import golden

    monkeypatch.setattr(golden, "MAX_UNPACKED_BYTES", 1 << 20)
    path = tmp_path / "golden.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inputs/x.npy", bytes(1 << 21))
    assert path.stat().st_size < 1 << 14
    with pytest.raises(SecateurError, match="unpacks to"):
        golden.load_golden(path)


def _finished(path, shown=None):
    with RunFolder(path, {}, False) as folder:
        made = folder.stage("one", lambda to: (to / "out.txt").write_text("x"))
        folder.publish({"out.txt": made / "out.txt"}, {}, lambda _: {"schema": 1, **(shown or {})})
    return path


def test_a_link_out_of_a_run_folder_is_refused(tmp_path):
    run = _finished(tmp_path / "run")
    (tmp_path / "secret").write_text("x")
    (run / "out.txt").unlink()
    (run / "out.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(SecateurError, match="missing or was changed"):
        read_finished(run)


@pytest.mark.parametrize(
    "rubbish", [{}, {"policy": 1, "predicted": []}, {"kind": "sweep"}, {"kind": "front"}]
)
def test_a_summary_of_rubbish_is_one_error(tmp_path, secateur, rubbish):
    code, _, err = secateur("report", _finished(tmp_path / "run", rubbish))
    assert code == 1
    assert err.startswith("secateur: a summary follows its schema")


def test_json_nested_too_deep_is_one_error(tmp_path):
    run = _finished(tmp_path / "run")
    (run / "summary.json").write_text("[" * 100_000)
    with pytest.raises(SecateurError, match="holds summary"):
        read_finished(run)


def test_names_are_escaped_in_the_page_of_a_sweep():
    evil = "<script>alert(1)</script>"
    row = {
        "run": 0,
        **dict.fromkeys(("policy", "target", "budget", "strategy", "importance", "message"), evil),
        "budget_json": "{}",
        "seed": 0,
        "status": "error",
        **dict.fromkeys(
            ("flash_bytes", "ram_bytes", "latency_s", "return_kept", "return_kept_low", "return_kept_high")
        ),
        "violations": None,
    }
    good = row | {"run": 1, "status": "passed", "latency_s": 1e-3, "ram_bytes": 5, "flash_bytes": 9}
    good |= {"return_kept": 1.0, "return_kept_low": 1.0, "return_kept_high": 1.0}
    good |= {"violations": json.dumps([evil])}
    more = good | {"run": 2, "seed": 1, "flash_bytes": 90}
    page = render_sweep(document_of([row, good, more], [], evil, {evil: 1}))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 8


BROKEN = {
    "at import": ("raise ValueError('no')", "policy.py, line 1: ValueError: no"),
    "missing module": ("import not_there_at_all", "not_there_at_all"),
    "syntax": ("def policy(:", "SyntaxError"),
    "in policy": ("def policy():\n    return 1 / 0", "gives a policy without an error"),
    "no policy": ("def policy():\n    return 1", "gave int"),
}


@pytest.mark.parametrize(("code", "said"), BROKEN.values(), ids=BROKEN)
def test_a_policy_whose_code_raises_is_one_error(tmp_path, code, said):
    from secateur.policy.load import load

    (tmp_path / "policy.py").write_text(code)
    with pytest.raises(SecateurError) as refused:
        load(str(tmp_path))
    assert said in str(refused.value)


def test_a_fifo_is_no_results_file(tmp_path):
    from secateur.sweep.results import FILE, look

    os.mkfifo(tmp_path / FILE)
    with pytest.raises(SecateurError, match="holds its results"):
        look(tmp_path)
