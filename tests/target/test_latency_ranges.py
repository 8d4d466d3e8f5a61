"""The ranges of cycles per instruction that are derived are those that the bench script gives."""

import json
import runpy
from pathlib import Path

import pytest

from secateur.target.target import load_target

BENCH = Path(__file__).parent.parent.parent / "bench"
SCRIPT = BENCH / "cycles_per_instruction.py"


def latency(name):
    return load_target(name).latency


def ranges(latency):
    """Lowest and highest cycles per instruction: of kernels of no family, and by family."""
    families = {name: (family.low, family.high) for name, family in latency.families.items()}
    return {
        "other": (latency.cycles_per_instruction_low, latency.cycles_per_instruction_high),
        **families,
    }


def test_cortex_m7():
    low, high = runpy.run_path(str(SCRIPT))["cortex_m7"]()
    slower = ranges(latency("stm32l4r5zi"))
    for board in ("stm32f746", "stm32h743", "teensy41"):
        for name, (least, most) in ranges(latency(board)).items():
            assert least == pytest.approx(slower[name][0] * low, abs=0.006)
            assert most == pytest.approx(slower[name][1] * high, abs=0.006)


def test_cortex_m4_and_m33(monkeypatch):
    """As fitted to published results, from what was counted; the intervals hold every result left out."""
    monkeypatch.syspath_prepend(str(BENCH))
    counted = json.loads((BENCH / "results" / "published_cycles.json").read_text())["counted"]
    fit = runpy.run_path(str(BENCH / "published_cycles.py"))["fitted"](counted)
    for core, board in (("cortex-m4", "stm32l4r5zi"), ("cortex-m33", "nrf5340")):
        for name, found in ranges(latency(board)).items():
            assert found == pytest.approx(tuple(fit["cycles_per_instruction"][core][name]), abs=0.006)
    low, high = fit["interval"]
    assert low <= 1 <= high
    assert all(low <= ratio <= high for ratio in fit["measured_over_predicted_left_out"].values())
    assert 0.8 < fit["cycles"] < 1.2  # of the manual's


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
