"""The ranges of cycles per instruction that are derived are those that the bench script gives."""

import runpy
from pathlib import Path

import pytest

from secateur.target.target import load_target

SCRIPT = Path(__file__).parent.parent.parent / "bench" / "cycles_per_instruction.py"


def latency(name):
    return load_target(name).latency


def test_cortex_m7():
    low, high = runpy.run_path(str(SCRIPT))["cortex_m7"]()
    for board in ("stm32f746", "stm32h743", "teensy41"):
        assert latency(board).cycles_per_instruction_low == pytest.approx(1.50 * low, abs=0.006)
        assert latency(board).cycles_per_instruction_high == pytest.approx(1.75 * high, abs=0.006)


def test_cortex_m85():
    low, high = runpy.run_path(str(SCRIPT))["cortex_m85"]()
    assert latency("ek-ra8d1").cycles_per_instruction_low == pytest.approx(low, abs=0.006)
    assert latency("ek-ra8d1").cycles_per_instruction_high == pytest.approx(high, abs=0.006)


def test_published_results_are_all_there():
    """A range that rests on few rows would not show it."""
    rows = (SCRIPT.parent / "data" / "mlperf_tiny.csv").read_text().splitlines()
    assert len(rows) == 322


@pytest.mark.slow
def test_cortex_m0plus():
    quick, slow, _ = runpy.run_path(str(SCRIPT))["cortex_m0plus"]("stm32g0b1re")
    for board in ("stm32g0b1re", "rp2040"):
        assert latency(board).cycles_per_instruction_low == pytest.approx(quick, abs=0.05)
        assert latency(board).cycles_per_instruction_high == pytest.approx(slow, abs=0.05)
