"""Fronts on the README's example: points in order, files that are what the summary says, refusals, resume."""

import json

import pytest
from example import run, secateur, write_example

from secateur.runfolder import read_finished

pytestmark = pytest.mark.slow

QUICK = (
    "--target",
    "stm32f446re",
    "--strategy",
    "by-importance",
    "--recovery-steps",
    "160",
    "--episodes",
    "8",
)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return write_example(tmp_path_factory.mktemp("example"))


def test_a_front_goes_from_the_least_to_the_whole_and_can_be_shown_again(example, tmp_path):
    out = tmp_path / "front"
    asked = secateur("prune", str(example), *QUICK, "--pareto", "flash", "--points", "3", "-o", str(out))
    printed = run(asked).stdout
    front = read_finished(out)
    sizes = [point["predicted"]["flash_bytes"] for point in front["points"]]
    assert sizes == sorted(sizes)
    assert len(sizes) == 3
    assert all(p["predicted"]["flash_bytes"] <= p["limit"] for p in front["points"])
    assert front["points"][-1]["return_kept"] == pytest.approx(1.0, abs=0.02)
    for number, point in enumerate(front["points"]):
        assert json.loads((out / f"point{number}" / "widths.json").read_text()) == point["widths"]
        assert (out / f"point{number}" / "policy.safetensors").is_file()
    assert "Return kept" in printed
    assert "<svg" in (out / "report.html").read_text()
    assert run(secateur("report", str(out))).stdout.splitlines()[0] in printed
    again = json.loads(run([*asked, "--resume", "--json"]).stdout)
    assert again == front


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("--pareto", "colour"), 2, "flash, ram, latency"),
        (("--frontier", "beauty"), 2, "stability"),
        (("--pareto", "flash", "--frontier", "stability"), 2, "one front"),
        (("--pareto", "flash", "--ram", "8B"), 3, "ram"),
        (("--frontier", "stability"), 1, "settles"),
    ],
    ids=["resource", "frontier", "both", "infeasible", "unsettled"],
)
def test_what_cannot_be_drawn_is_one_line(example, tmp_path, asked, code, said):
    done = run(secateur("prune", str(example), *QUICK, *asked, "-o", str(tmp_path / "x")), check=False)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
