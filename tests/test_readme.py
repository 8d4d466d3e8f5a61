import json
import sys
from pathlib import Path

from example import code_block

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))


def test_the_example_is_forty_lines():
    assert len(code_block("balance/policy.py").splitlines()) <= 40


def test_tables_are_those_of_the_kept_results():
    from demo import COMPARED, filled

    for policy in COMPARED:
        assert (ROOT / "bench" / "results" / f"{policy}.json").is_file()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert filled(text) == text, "run python bench/demo.py"


def test_comparisons_are_those_of_the_kept_results():
    from comparisons_page import PAGE, filled

    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "run python bench/comparisons_page.py"


def test_the_shown_demo_met_its_claims():
    summary = json.loads((ROOT / "bench" / "results" / "demo.json").read_bytes())
    assert summary["verdict"]["passed"]
    assert summary["parity"]["int8_mismatched_bytes"] == 0
    assert summary["parity"]["vectors"] >= 1000
    assert summary["closed_loop"]["episodes"] >= 50
    assert summary["closed_loop"]["ci95"][0] >= 0.95
    assert summary["budget"]["flash_bytes"] == 12 * 1024
    assert summary["wall_s"] < 600


def test_what_verify_found_is_that_of_the_kept_results():
    from verification import PAGE, filled

    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "run python bench/verification.py"


def test_the_table_of_serial_lines_is_that_of_the_kept_results():
    from serial import PAGE, RESULTS, filled

    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "run python bench/serial.py"
    cases = json.loads(RESULTS.read_bytes())["cases"].values()
    assert max(case["steps"] for case in cases) >= 10_000
    assert not any(case["wrong_outputs"] for case in cases)


def test_the_tables_of_targets_are_those_of_the_kept_results():
    from targets_page import PAGE, RESULTS, filled

    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "run python bench/targets_page.py"
    cases = json.loads((RESULTS / "kernels.json").read_bytes())["cases"]
    for name, most in (("policy", 6), ("ad", 6), ("ic", 16), ("kws", 16), ("vww", 16)):
        assert cases[name]["secateur_size"]["beyond_weights_bytes"] <= most * 1024
    for name, case in cases.items():
        if name.startswith("depthwise"):
            assert case["secateur"]["instructions"] <= 3 * case["macs"]
    for policy in json.loads((RESULTS / "prediction.json").read_bytes())["policies"].values():
        assert policy["prunings"] == policy["exact"] >= 30
        assert policy["instructions_error_max"] <= 0.03
        assert max(policy["code_bytes_above"] + policy["stack_bytes_above"]) <= 512
        assert policy["arena_over_lower_bound_max"] <= 1.05
        assert policy["arena_over_tflm_max"] < 1
