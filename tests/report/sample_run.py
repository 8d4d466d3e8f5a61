"""A made-up run with every section filled, in the shape that a real one has."""

import numpy as np

from secateur.records import (
    Budget,
    ClosedLoop,
    ComponentCost,
    Cost,
    Limits,
    Measurement,
    Parity,
    Range,
    Verdict,
)
from secateur.report.summary import GroupWidth, RecoveryPoint, summary


def component(parameters, instructions, ram):
    cycles = Range(instructions * 1.5 / 80e6, instructions * 1.75 / 80e6)
    return ComponentCost(parameters, parameters - 60, parameters + 900, ram, instructions, cycles)


def cost(parts, code=5200):
    parameters = sum(part.parameters for part in parts.values())
    instructions = sum(part.instructions for part in parts.values()) + 400
    latency = Range(instructions * 1.5 / 80e6, instructions * 1.75 / 80e6)
    weights = sum(part.flash_bytes for part in parts.values())
    return Cost(parameters, parameters - 99, weights, 256, code, 680, 312, instructions, latency, parts)


def sample(**changes):
    rng = np.random.default_rng(0)
    before = rng.normal(409, 6, 64)
    after = before - np.abs(rng.normal(3, 4, 64))
    loop = ClosedLoop(
        episodes=64,
        baseline_return_mean=float(before.mean()),
        artifact_return_mean=float(after.mean()),
        return_ratio=float(after.mean() / before.mean()),
        ci95=(0.988, 0.9931),
        baseline_success_rate=1.0,
        success_rate=63 / 64,
        delay_s=0.0021,
        baseline_returns=tuple(before.tolist()),
        artifact_returns=tuple(after.tolist()),
    )
    steps = np.arange(0, 2001, 50)
    fields = {
        "policy": "tdmpc_cartpole",
        "target": "nucleo-l4r5",
        "strategy": "component-aware",
        "seed": 0,
        "budget": Budget(Limits(16384, 4096, 1e-3), {"policy": Limits(latency_s=0.8e-3)}, 0.05),
        "baseline": cost(
            {"encoder": component(14386, 45000, 600), "policy": component(289793, 720000, 1100)}
        ),
        "predicted": cost({"encoder": component(1350, 4100, 120), "policy": component(6011, 21000, 240)}),
        "measured": Measurement(
            "emulator (cortex-m4)",
            7600,
            256,
            4980,
            680,
            296,
            25312,
            {"encoder.0": 1500, "encoder.2": 2600, "policy.0": 21212},
            Range(474.6e-6, 553.7e-6),
            "counted instructions × 1.50–1.75 cycles per instruction",
        ),
        "parity": Parity(256, 4.2e-7, 0, 0.031),
        "closed_loop": loop,
        "verdict": Verdict(()),
        "artifacts": [{"path": "model.int8.tflite", "sha256": "ab" * 32, "bytes": 9120}],
        "wall_s": 93.4,
        "baseline_policy_parameters": 1_490_000,
        "policy_parameters": 41_200,
        "widths": [
            GroupWidth("encoder.0", ("encoder",), 256, 48),
            GroupWidth("encoder.2", ("encoder", "dynamics", "reward", "value", "policy"), 50, 22),
            GroupWidth("policy.0", ("policy",), 512, 61),
            GroupWidth("policy.2", ("policy",), 512, 70),
        ],
        "recovery": [
            RecoveryPoint(
                int(s), float(0.3 * np.exp(-s / 400) + 0.004), 380 + s / 80 if s % 500 == 0 else None
            )
            for s in steps
        ],
        "provenance": {
            "command": "secateur prune tdmpc_cartpole --target nucleo-l4r5 --flash 16KiB -o runs/a",
            "versions": {"secateur": "0.1.0", "torch": "2.13.0", "mujoco": "3.17.0"},
            "seeds": {"run": 0, "episodes": "1000 to 1063"},
        },
    }
    return summary(**(fields | changes))
