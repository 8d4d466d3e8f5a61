"""What a computer says while it measures, line by line: long lines arrive whole, and nonsense is refused."""

import numpy as np
import pytest

from secateur.device import timing
from secateur.device.timing import Effort, Here, Timed, time_models
from secateur.errors import SecateurError

TIMED = Timed("model", b"", "act", {"x": np.zeros(1)})


def saying(folder, monkeypatch, program):
    """What comes of a runner that is this program."""
    runner = folder / "runner.py"
    runner.write_text(f"import sys, time\n{program}")
    monkeypatch.setattr(timing, "RUNNER", runner)
    return time_models(Here(), [TIMED], Effort())


def test_signs_of_life_stay_out_of_a_line_that_takes_long(tmp_path, monkeypatch):
    program = """
sys.stdout.write('SECATEUR {"result": "' + "a" * 100_000)
sys.stdout.flush()
time.sleep(2.5)
print("b" * 100_000 + '"}')
"""
    assert saying(tmp_path, monkeypatch, program) == "a" * 100_000 + "b" * 100_000


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"result": 1, "error": 2}', "\\xff"])
def test_a_damaged_line_is_refused(tmp_path, monkeypatch, line):
    program = f"sys.stdout.buffer.write(b'SECATEUR {line}\\n')\nsys.stdout.flush()\ntime.sleep(60)"
    with pytest.raises(SecateurError, match=r"files reach the device whole.*is not"):
        saying(tmp_path, monkeypatch, program)
