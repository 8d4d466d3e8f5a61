"""A main program that runs a generated network at a fixed rate: the loop as it stands, and what ties the two."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

from secateur.export.c.names import Names
from secateur.network import Network

_HERE = Path(__file__).parent
ASSUMED_HZ = 50.0
"""Rate where the task's is not known."""

_BOARD = """\
/* What a board does for {name}'s loop: write these in board.c. Generated. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdint.h>

/* Of board_ticks. */
#define BOARD_TICK_HZ 1000000u

/* A counter that only counts up; it may wrap round from 2^32 - 1 to 0. */
uint32_t board_ticks(void);

/* Called while a period is not due yet; may sleep until the next interrupt, or do nothing. */
void board_idle(void);

/* Fills {inputs} real values; false where the sensors have none.
{input_list} */
bool board_observe(float *inputs);

/* Moves the robot by {outputs} real values.
{output_list} */
void board_act(const float *outputs);

/* Moves it to where nothing can happen. May be called from the interrupt that calls {name}_guard. */
void board_safe(void);

/* Once a period: feeds a hardware watchdog, or does nothing. */
void board_alive(void);

/* Clocks, pins, interrupts; called first. */
void board_start(void);

/* Not yours: call it from a timer interrupt, every millisecond or so, if the board has one to spare. */
void {name}_guard(void);

#endif
"""

_MAIN = """\
/* Runs {name} at a fixed rate, for ever: control.h has the rules, board.h is yours. Generated. */
#include "board.h"
#include "control.h"
#include "{name}.h"

#define RATE_MILLIHERTZ UINT64_C({rate}) /* {origin} */
#define PERIOD_TICKS ((uint32_t)(UINT64_C(1000) * BOARD_TICK_HZ / RATE_MILLIHERTZ))

static float inputs[{inputs}], outputs[{outputs}];

static void infer(const float *observation, float *action)
{{
{writes}    {name}_step();
{reads}}}

static const struct control_settings settings = {{
    .period_ticks = PERIOD_TICKS,
    .deadline_ticks = PERIOD_TICKS,
    .watchdog_ticks = 10u * PERIOD_TICKS,
    .overrun = CONTROL_SKIP,
    .input_count = {inputs},
    .output_count = {outputs},
    .inputs = inputs,
    .outputs = outputs,
    .ticks = board_ticks,
    .idle = board_idle,
    .observe = board_observe,
    .infer = infer,
    .act = board_act,
    .safe = board_safe,
    .alive = board_alive,
}};

struct control {name}_control;

void {name}_guard(void)
{{
    control_guard(&{name}_control);
}}

int main(void)
{{
    board_start();
{init}    if (!control_start(&{name}_control, &settings)) {{
        board_safe();
        return 2;
    }}
    while (control_period(&{name}_control) == CONTROL_GOING) {{
    }}
    return 1;
}}
"""


def control_files(network: Network, name: str, control_hz: float | None) -> dict[str, str]:
    """``control.h``, ``control.c``, ``main.c`` and ``board.h``; the functions that the last declares are the user's.

    Args:
        network: what the loop runs; its real inputs (but no states) and outputs lie one after the other, in the
            model's order. States become zero when it starts.
        name: prefix of its symbols.
        control_hz: rate of the loop.
    """
    names = Names(name)
    taken = {title: names.constant("input", title) for title in network.inputs}
    taken = {title: function for title, function in taken.items() if title not in network.states}
    given = {title: names.constant("output", title) for title in network.outputs}
    fields = {
        "name": name,
        "rate": round(1000 * (control_hz or ASSUMED_HZ)),
        "origin": "the task's" if control_hz else "set it to the task's",
        "inputs": " + ".join(f"{f.upper()}_SIZE" for f in taken.values()),
        "outputs": " + ".join(f"{f.upper()}_SIZE" for f in given.values()),
        "writes": _calls(taken, "write", "observation"),
        "init": f"    {name}_init();\n" if network.states else "",
        "reads": _calls(given, "read", "action"),
        "input_list": _listed(network, network.external),
        "output_list": _listed(network, network.outputs),
    }
    kept = {path: (_HERE / path).read_text(encoding="utf-8") for path in ("control.h", "control.c")}
    counts = {
        side: sum(_sizes(network, tensors).values())
        for side, tensors in (("inputs", network.external), ("outputs", network.outputs))
    }
    return {**kept, "main.c": _MAIN.format(**fields), "board.h": _BOARD.format(**{**fields, **counts})}


def _calls(functions: dict[str, str], what: str, array: str) -> str:
    lines, before = [], list[str]()
    for function in functions.values():
        lines.append(f"    {function}_{what}({' + '.join([array, *before])});\n")
        before.append(f"{function.upper()}_SIZE")
    return "".join(lines)


def _sizes(network: Network, tensors: Mapping[str, int]) -> dict[str, int]:
    return {title: prod(network.tensors[index].shape) for title, index in tensors.items()}


def _listed(network: Network, tensors: Mapping[str, int]) -> str:
    """Which elements of the array are which tensor's, as lines of a comment."""
    lines, start = [], 0
    for title, size in _sizes(network, tensors).items():
        plain = title.encode("ascii", "replace").decode().replace("*/", "* /").replace("\\", "/")
        lines.append(
            f" * [{start}] to [{start + size - 1}]: {plain} {list(network.tensors[tensors[title]].shape)}"
        )
        start += size
    return "\n".join(lines)
