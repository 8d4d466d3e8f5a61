"""TD-MPC's planner on computers: pruned against the original, and what either takes on every Raspberry Pi.

    python bench/planner.py --latency 20ms

prunes tdmpc_cartpole's planner for a Raspberry Pi 4 (``secateur prune --entry plan``, into build/planner, resumed where
it is there already), lets the exported files of both dtypes drive the robot on the same seeds, and writes
bench/results/planner.json. With --around it only measures what ``target.planning`` takes for the program around the
networks, in cycles of this machine's clock for each call. Latencies of a Pi are predicted: none was at hand.
"""

import argparse
import json
import platform
import re
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pages
import torch

from secateur.export.planner import planner_calls, planner_tflite
from secateur.job import Job, prepare
from secateur.pipeline import Progress, PruneRequest, prune
from secateur.planner.bundle import FOLDER, bundle, exported, write_bundle
from secateur.planner.controller import BundleController
from secateur.planner.settings import with_settings
from secateur.policy.planning import PLAN, PlannerSettings
from secateur.policy.policy import Policy
from secateur.pricing import convert_template
from secateur.prune.allocate import component_floors
from secateur.prune.surgery import rebuild
from secateur.records import Budget, Limits
from secateur.runfolder import to_json, write_atomically
from secateur.simulate.rollout import rollouts
from secateur.stages import recovered_policy
from secateur.target.planning import WEIGHT_BYTES, PlanPrice
from secateur.target.target import load_any
from secateur.units import parse_seconds
from secateur.verify.paired import compare_episodes

RESULTS = Path(__file__).parent / "results" / "planner.json"
PAGE = Path(__file__).parent.parent / "docs" / "planning.md"
PIS = ("raspberry-pi-zero-2w", "raspberry-pi-3b-plus", "raspberry-pi-4b", "raspberry-pi-5")
DECISIONS = 400


def clock_hz() -> float:
    """Of this machine, as it says itself."""
    found = re.findall(r"cpu MHz\s*:\s*([\d.]+)", Path("/proc/cpuinfo").read_text())
    return 1e6 * max(map(float, found))


def made(policy: Policy, job: Job, dtype: str, model: bytes, to: Path) -> BundleController:
    """The bundle of a planner, and the controller of it."""
    generator = torch.Generator().manual_seed(0)
    states = {
        name: torch.randn((4, *example.shape[1:]), generator=generator)
        for name, example in policy.entry().example_inputs.items()
    }
    file = exported(policy, dtype, model, planner_calls(policy, states, 0))
    write_bundle(to, bundle(policy, job.task, file, job.computer))
    return BundleController(to, job.task)


def decision_s(controller: BundleController, job: Job) -> np.ndarray:
    """Seconds of decisions on this machine, ``[DECISIONS]``."""
    env = job.task.make_env()
    observation, _ = env.reset(seed=0)
    env.close()
    controller.reset((0,))
    spans = []
    for _ in range(DECISIONS):
        start = time.perf_counter()
        controller.act([observation], (0,))
        spans.append(time.perf_counter() - start)
    return np.array(spans)


def around(job: Job) -> dict[str, float]:
    """Cycles of the program around the networks, for each call: a decision with networks that hardly compute."""
    small = rebuild(job.policy, job.graph, component_floors(job.graph))
    assert small.planning is not None
    with tempfile.TemporaryDirectory() as folder:
        controller = made(small, job, "float32", planner_tflite(small), Path(folder) / "small")
        quick = float(np.quantile(decision_s(controller, job), 0.1))
    calls = sum(call.times for call in small.planning.calls())
    return {
        "decision_s": quick,
        "calls": calls,
        "clock_hz": clock_hz(),
        "cycles_per_call": quick / calls * clock_hz(),
    }


def planned_work(price: PlanPrice, widths: dict[str, int], settings: PlannerSettings) -> dict[str, Any]:
    """MACs of a control step, and its latency on every Pi."""
    cost = price(widths, settings)
    spans = {
        name: PlanPrice(
            price.graph, price.planning, price.templates, load_any(name), price.dtype, price.control_hz
        )(  # type: ignore[arg-type]
            widths, settings
        ).latency_s
        for name in PIS
    }
    return {
        "macs_per_control_step": cost.macs,
        "weights_bytes": cost.weights_bytes,
        "predicted_latency_s": {name: [span.low, span.high] for name, span in spans.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", default="tdmpc_cartpole")
    parser.add_argument("--latency", default="20ms")
    parser.add_argument("--dtype", default="float32", choices=list(WEIGHT_BYTES))
    parser.add_argument("--episodes", type=int, default=32)
    parser.add_argument("--recovery-steps", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/planner"))
    parser.add_argument("--around", action="store_true", help="only measure the program around the networks")
    args = parser.parse_args()
    request = PruneRequest(
        args.policy,
        "raspberry-pi-4b",
        Budget(Limits(latency_s=parse_seconds(args.latency))),
        seed=args.seed,
        episodes=args.episodes,
        recovery_steps=args.recovery_steps,
        entry=PLAN,
        dtype=args.dtype,
    )
    job = prepare(request)
    if args.around:
        print(json.dumps(around(job), indent=2))
        return
    progress = Progress(stage=lambda title: print(time.strftime("%H:%M:%S"), title, flush=True))
    summary = prune(request, args.output, True, "bench/planner.py", progress)
    before, after = (PlannerSettings(**summary["planner"][when]) for when in ("before", "after"))
    widths = {group["group"]: group["after"] for group in summary["widths"]}
    pruned = with_settings(recovered_policy(job, args.output, args.output), after)
    found: dict[str, Any] = {}
    seeds = job.seeds("verdict", args.episodes)
    for dtype in WEIGHT_BYTES:
        templates = {
            entry: convert_template(job.policy, job.graph, entry, dtype)
            for entry in job.policy.planning.entries  # type: ignore[union-attr]
        }
        price = PlanPrice(job.graph, job.policy.planning, templates, job.computer, dtype, job.task.control_hz)  # type: ignore[arg-type]
        loop = summary["closed_loop"]
        if dtype == args.dtype:
            kept = {key: loop[key] for key in ("return_ratio", "ci95", "delay_s", "artifact_return_mean")}
            controller = BundleController(args.output / FOLDER, job.task)
        else:
            folder = tempfile.mkdtemp()
            model = (args.output / f"model.{dtype}.tflite").read_bytes()
            controller = made(pruned, job, dtype, model, Path(folder) / "other")
            kept = on_same_seeds(job, controller, seeds, price(widths, after).latency_s.high, loop)
        found[dtype] = {
            "original": planned_work(price, {}, before),
            "pruned": planned_work(price, widths, after),
            "closed_loop": kept,
            "decision_on_this_machine_s": dict(
                zip(("p10", "p50"), map(float, np.quantile(decision_s(controller, job), [0.1, 0.5])))
            ),
        }
        found[dtype]["fewer_macs"] = (
            found[dtype]["original"]["macs_per_control_step"]
            / found[dtype]["pruned"]["macs_per_control_step"]
        )
        print(
            dtype, json.dumps(found[dtype]["closed_loop"]), f"{found[dtype]['fewer_macs']:.1f} × fewer MACs"
        )
    document = {
        "command": f"python bench/planner.py --latency {args.latency} --dtype {args.dtype} --episodes "
        f"{args.episodes} --recovery-steps {args.recovery_steps} --seed {args.seed}",
        "policy": args.policy,
        "pruned_for": request.target,
        "episodes": args.episodes,
        "baseline_return_mean": summary["closed_loop"]["baseline_return_mean"],
        "verdict": summary["verdict"],
        "settings": {"original": asdict(before), "pruned": asdict(after)},
        "widths": {group["group"]: [group["before"], group["after"]] for group in summary["widths"]},
        "dtypes": found,
        "tried": summary["planner"]["tried"],
        "around": around(job),
        "machine": platform.machine(),
        "wall_s": summary["wall_s"],
    }
    write_atomically(RESULTS, to_json(document))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")


def table(document: dict[str, Any]) -> str:
    """What the page shows of the kept results."""
    before, after = document["settings"]["original"], document["settings"]["pruned"]
    rows = [
        (name.replace("_", " "), before[name], after[name])
        for name in ("horizon", "samples", "policy_samples", "iterations")
    ]
    rows += [(f"channels of `{group}`", was, now) for group, (was, now) in document["widths"].items()]
    for dtype, found in document["dtypes"].items():
        pair = [found[which] for which in ("original", "pruned")]
        if dtype == "float32":
            was, now = (f"{one['macs_per_control_step']:,}" for one in pair)
            rows.append(("MACs per control step", was, f"{now} ({found['fewer_macs']:.0f} × fewer)"))
        for name in PIS:
            cells = [span(*one["predicted_latency_s"][name]) for one in pair]
            rows.append((f"{name}, {dtype}, predicted", *cells))
    lines = [
        "```sh",
        document["command"],
        "```",
        "",
        pages.table(("", "original", "pruned"), rows),
        "",
        f"Return over {document['episodes']} paired episodes, original {document['baseline_return_mean']:.1f}:",
        "",
    ]
    for dtype, found in document["dtypes"].items():
        loop = found["closed_loop"]
        lines.append(
            f"- {dtype}: {loop['return_ratio']:.1%} kept (95 % interval {loop['ci95'][0]:.1%} to "
            f"{loop['ci95'][1]:.1%}), actions delayed by {1e3 * loop['delay_s']:.1f} ms, the worst that is predicted "
            f"for {document['pruned_for']}."
        )
    return "\n".join(lines)


def span(low: float, high: float) -> str:
    """An interval in milliseconds."""
    return f"{1e3 * low:.3g}–{1e3 * high:.3g} ms"


def filled(text: str, document: dict[str, Any] | None = None) -> str:
    """The page with the table of these results, or of those that are kept."""
    if document is None:
        document = json.loads(RESULTS.read_bytes())
    return pages.replaced(text, "planner", table(document))


def on_same_seeds(
    job: Job, controller: BundleController, seeds: list[int], delay_s: float, loop: dict[str, Any]
) -> dict[str, Any]:
    """What another artifact keeps of the return, against the original's episodes of the run."""
    episodes = rollouts(job.task, controller, seeds, delay_s)
    before = [replace(episode, return_=value) for episode, value in zip(episodes, loop["baseline_returns"])]
    compared = asdict(
        compare_episodes(before, episodes, delay_s, np.random.default_rng([job.request.seed, 95]))
    )
    return {key: compared[key] for key in ("return_ratio", "ci95", "delay_s", "artifact_return_mean")}


if __name__ == "__main__":
    main()
