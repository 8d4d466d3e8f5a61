"""Figures of the made-up run, in the shape that a real run keeps them."""

import io

from networks import world_model
from PIL import Image

from secateur.prune.analyse import analyse
from secateur.report.kept import Kept
from secateur.report.structure import describe


def _graph():
    policy = world_model()
    graph = analyse(policy)
    widths = {name: max(1, width // 2) for name, width in graph.full.items()}
    return describe(policy, graph, 50.0, widths=widths)


def _timed(instructions):
    return {"instructions": instructions, "latency_range_s": [instructions * 1e-8, instructions * 1.3e-8]}


def _operator(label, kernel, predicted, counted):
    return {
        **{"label": label, "component": label.split("/")[0], "kernel": kernel, "macs": 480},
        **{"predicted": _timed(predicted), "counted": None if counted is None else _timed(counted)},
    }


def _board(name, own, before, after, fits):
    latency = {
        "before": {"latency_range_s": [before, 1.2 * before], "fits": fits},
        "after": {"latency_range_s": [after, 1.2 * after], "fits": True},
    }
    return {"name": name, "own": own, "core": "cortex-m4", "clock_hz": 64e6, "runtime": "c", **latency}


def _webp(frames):
    stream = io.BytesIO()
    pictures = [Image.new("RGB", (64, 24), (20 * n, 90, 120)) for n in range(frames)]
    pictures[0].save(stream, "WEBP", save_all=frames > 1, append_images=pictures[1:], duration=80)
    return stream.getvalue()


def figures():
    """``figures.json`` with every section."""
    return {
        "schema": 1,
        "graph": _graph(),
        "operators": [
            _operator("encoder/0", "fully_connected", 2083, 2042),
            _operator("policy/0", "fully_connected", 2652, 2644),
            _operator("policy/a_layer_with_quite_a_long_name/tanh", "lookup", 12, None),
        ],
        "boards": [
            _board("stm32l4r5zi", True, 5.4e-3, 2.1e-4, True),
            _board("a-board-with-a-long-name", False, 5.4e-2, 2.1e-3, False),
            {
                **{"name": "rp2040", "own": False, "core": "cortex-m0plus", "clock_hz": 1.33e8},
                **{"runtime": "c", "unknown": "a target states the cost of every kernel: rp2040 has none."},
            },
        ],
        "arenas": [
            {
                **{
                    "part": "",
                    "size_bytes": 140,
                    "lower_bound_bytes": 136,
                    "steps": ["encoder/0", "policy/0", "policy/1"],
                },
                **{"live_bytes": [104, 136, 40]},
                "buffers": [
                    _buffer("observation", 5, 0, 0, 0),
                    _buffer("encoder/0", 96, 44, 0, 1),
                    _buffer("policy/0", 40, 0, 1, 2),
                ],
            }
        ],
        "film": {"seed": 7, "baseline_return": 217.3, "artifact_return": 217.1, "delay_s": 1.7e-4},
        "left_out": {},
    }


def _buffer(name, size, offset, first, last):
    padded = -(-size // 4) * 4
    return {
        **{"name": name, "size_bytes": size, "padded_bytes": padded},
        **{"offset": offset, "first": first, "last": last},
    }


def kept(**changes):
    """All that a run can keep."""
    return Kept(**({"figures": figures(), "film": _webp(3), "still": _webp(1)} | changes))


def search():
    """What a search tried."""
    tried = [
        {
            **{"error": 0.5 / (1 + n), "kept": 0.9 if n > 2 else None, "rounds": 4 if n == 5 else 1},
            **{"parameters": 1000 + 100 * n, "flash_bytes": 9000 + 900 * n, "ram_bytes": 256},
            "latency_s": 1e-4 * (1 + n),
        }
        for n in range(6)
    ]
    return {"trials": 6, "rank_correlation": 0.4, "chosen": {"error": 0.1, "kept": 0.9}, "curves": []} | {
        "tried": tried
    }


def verification():
    """``verify.json`` with test and stress."""
    returns = [400.0 + n % 7 for n in range(48)]
    less = [value - (n % 5) / 2 for n, value in enumerate(returns)]

    def side(values):
        return {
            **{"returns": values, "return_mean": sum(values) / len(values), "return_iqm": values[24]},
            **{"return_min": min(values), "success_rate": 1.0, "success_ci95": [0.92, 1.0]},
        }

    def row(title, before, after, judged):
        ratio = after / before if judged else None
        return {
            **{"kind": title.split()[0], "level": 0.1, "title": title, "ratio": ratio},
            **{"ci95": [ratio - 0.02, ratio + 0.02] if judged else None, "judged": judged},
            **{"baseline_of_calm": before, "artifact_of_calm": after},
            **{"note": None if judged else "the original's mean return is 0"},
        }

    looks = [
        {"pairs": n, "outcome": "undecided", "retained_at_least": 1 - 3 / n, "retained_at_most": None}
        for n in (32, 48)
    ]
    test = {
        **{"outcome": "passed", "pairs": 48, "max_return_drop": 0.05, "looks": looks},
        **{"baseline": side(returns), "artifact": side(less), "retained_iqm": 0.99},
        **{
            "retained": {"ratio": 0.997, "ci95": [0.99, 1.0]},
            "improvement": {"value": 0.4, "ci95": [0.3, 0.5]},
        },
    }
    rows = [
        row("sensor noise 5%", 1.0, 0.99, "as good"),
        row("pushes of 1.5 × weight", 0.8, 0.5, "worse"),
        row("mass × 1.25", -0.1, -0.3, None),
    ]
    return {
        **{"schema": 1, "device": "emulator (cortex-m4)", "command": "secateur verify run --device emulator"},
        "verdict": {
            **{"outcome": "passed", "passed": True, "reasons": ["It keeps at least 95.1 %."]},
            "warnings": ["Under pushes of 1.5 × weight the artifact keeps 62 %."],
        },
        "verification": {
            "test": test,
            "stress": {"pairs": 24, "rows": rows, "left_out": {"camera-exposure": "it sees no image"}},
            **{"attribution": None, "region": None, "deviation": None},
        },
    }


def verification_of_everything():
    """The same with attribution, deviation and region."""
    made = verification()
    made["verdict"] |= {"outcome": "undecided", "passed": False}
    made["verification"] |= {
        "attribution": {
            **{
                "pairs": 32,
                "components": ["encoder", "policy"],
                "left_out": {"recovered": "it norms over channels"},
            },
            "meaning": {"int8": "computing in int8", "recovered": "as it was recovered"},
            "rows": [
                {
                    **{"component": component, "form": "int8", "return_mean": 400 * ratio, "ratio": ratio},
                    "ci95": [ratio - 0.01, ratio + 0.02],
                }
                for component, ratio in (("encoder", 0.99), ("policy", 0.62), ("all", -0.1))
            ],
        },
        "deviation": {
            **{"episodes": 16, "unit": "half range", "action_rms": 0.031, "action_max": 0.4},
            **{"action_rms_by_actuator": [0.03], "action_rms_over_time": [[0.0, 0.01], [5.0, 0.06]]},
            **{
                "diverged_share": 0.25,
                "divergence_s": [4.2],
                "divergence_median_s": None,
                "diverged_at": 0.5,
            },
            "baseline": {"change_per_step": 0.1, "saturated_share": None, "effort": 0.2},
            "artifact": {"change_per_step": 0.12, "saturated_share": 0.01, "effort": 0.21},
        },
        "region": {
            **{"joint": "hinge", "unit": "rad", "only_original": 1, "only_artifact": 0, "left_out": None},
            "baseline": {"share": 0.75, "between": [0.4, 0.9]},
            "artifact": {"share": 0.5, "between": [0.2, 0.8]},
            "cells": [
                {
                    **{
                        "position": position,
                        "velocity": velocity,
                        "seeds": 2,
                        "baseline": 2,
                        "artifact": n % 3,
                    },
                    **{"baseline_ci95": [0.34, 1.0], "artifact_ci95": [0.1, 0.9]},
                }
                for n, (position, velocity) in enumerate([(-1.0, -4.0), (-1.0, 4.0), (1.0, -4.0), (1.0, 4.0)])
            ],
        },
    }
    return made
