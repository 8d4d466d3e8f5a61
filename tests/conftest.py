"""Settings that must stand before torch and LiteRT are imported."""

import atexit
import os
import shutil
import sys
import tempfile

import pytest

os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["SECATEUR_CACHE"] = tempfile.mkdtemp(prefix="secateur-tests-")
atexit.register(shutil.rmtree, os.environ["SECATEUR_CACHE"], ignore_errors=True)


def pytest_runtest_setup(item):
    """Many minutes each: only where they are asked for."""
    if item.get_closest_marker("exhaustive") and os.environ.get("SECATEUR_EXHAUSTIVE") != "1":
        pytest.skip("SECATEUR_EXHAUSTIVE=1 runs it")


@pytest.fixture
def secateur(monkeypatch, capsys):
    """A command line → (exit code, standard output, standard error)."""
    from secateur import cli

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["secateur", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call
