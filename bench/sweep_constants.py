"""What a sweep of 10,000 runs costs its driver: rows, bytes, the page, the checks before the first run.

    python bench/sweep_constants.py

Processor times are of this process alone; the time by the clock of a row is mostly the disk's, which is asked to keep
every result before the next is taken.
"""

import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "bench" / "results" / "sweep_constants.json"
sys.path[:0] = [str(ROOT / name) for name in ("toolkit", "tests", "tests/sweep")]
RUNS, ROWS, CHECKS = 10_000, 300, 20


def main() -> None:
    from errands import BUDGET, summary

    from secateur.job import prepare
    from secateur.pipeline import PruneRequest
    from secateur.report.sweep import document_of, render_sweep
    from secateur.sweep.file import Run
    from secateur.sweep.one import Outcome
    from secateur.sweep.results import FILE, create

    def cpu(do) -> tuple[float, object]:
        began = time.process_time()
        made = do()
        return round(time.process_time() - began, 4), made

    request = PruneRequest("tdmpc_cartpole", "stm32f446re", BUDGET)
    runs = [
        Run(n, "flash 4KiB", PruneRequest("tdmpc_cartpole", "stm32f446re", BUDGET, seed=n))
        for n in range(RUNS)
    ]
    ended = summary(0)
    names = (
        "policy.safetensors",
        "widths.json",
        "model.int8.tflite",
        "golden.npz",
        *(f"c/{n}.h" for n in range(9)),
    )
    ended["artifacts"] = [{"path": name, "sha256": "0" * 64, "bytes": 1} for name in names]
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / FILE
        create_s, results = cpu(lambda: create(Path(work), runs, {}))
        empty, wall = file.stat().st_size, time.perf_counter()
        add_s, _ = cpu(
            lambda: [
                results.add(Outcome(n, "passed", 0, "", ended, 33.0, "host:1", 3.0)) for n in range(ROWS)
            ]
        )
        wall = time.perf_counter() - wall
        grown = file.stat().st_size
        read_s, rows = cpu(results.rows)
        page_s, page = cpu(lambda: render_sweep(document_of(rows, results.attempts(), results.digest(), {})))
        results.close()
    first_s, _ = cpu(lambda: prepare(request))
    again_s, _ = cpu(lambda: [prepare(request) for _ in range(CHECKS)])
    document = {
        "command": "python " + shlex.join(sys.argv),
        "load_average": round(os.getloadavg()[0], 2),
        "runs": RUNS,
        "file_without_results_bytes": empty,
        "create_cpu_s": create_s,
        "row_bytes": round((grown - empty) / ROWS),
        "row_cpu_s": round(add_s / ROWS, 5),
        "row_wall_s": round(wall / ROWS, 5),
        "read_cpu_s": read_s,
        "page_cpu_s": page_s,
        "page_bytes": len(page.encode()),
        "first_check_cpu_s": first_s,
        "check_cpu_s": round(again_s / CHECKS, 4),
    }
    print(json.dumps(document, indent=2))
    RESULT.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
