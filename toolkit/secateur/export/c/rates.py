"""A main program for a policy in parts: those at the control rate in a timer's interrupt, the slower in the loop."""

from collections.abc import Mapping, Sequence
from math import prod

from secateur.export.c.handover import prefixes
from secateur.export.c.names import Names, identifier
from secateur.network import Network
from secateur.records import Part

_BOARD = """\
/* What a board does for {name}'s parts: write these in board.c. Generated. */
#ifndef BOARD_H
#define BOARD_H

/* Clocks, pins, sensors; called first. No timer runs yet. */
void board_start(void);

/* Starts the timer whose interrupt calls {name}_tick, {rate}. */
void board_start_timer(void);

/* Holds back the interrupt of that timer, and lets it come again. What is between takes the copy of a few bytes. */
void board_lock(void);
void board_unlock(void);

/* Called while no part is due; may sleep until the next interrupt, or do nothing. */
void board_idle(void);

{inputs}
/* After {last}: moves the robot by what it gives.
{outputs} */
void board_{last}_outputs(void);

/* Not yours: call it from the timer's interrupt, once a control period. */
void {name}_tick(void);

#endif
"""

_MAIN = """\
/* Runs {name}'s parts at their rates: {quick} from a timer's interrupt, {slow} in the loop, which it interrupts.
 * Of those that are due in the loop the one of the highest rate runs next, and to its end. board.h is yours.
 * Generated. */
#include <stdint.h>

#include "{name}.h"

#include "board.h"

/* Control periods since the timer started; wraps round. */
static volatile uint32_t {name}_ticks;

/* How often a slow part was due again before it was through: nothing but zero is right. */
volatile uint32_t {name}_late;

{runs}void {name}_tick(void)
{{
{tick}    {name}_ticks++;
}}

int main(void)
{{
{due}    board_start();
    {name}_init();
{first}    board_start_timer();
    for (;;) {{
{now}{loop}        board_idle();
    }}
}}
"""

_NOW = """\
        const uint32_t now = {name}_ticks; /* one time for all: parts of one rate run in their order */
"""

_LOOP = """\
        if ((int32_t)(now - due[{place}]) >= {period}) {{ /* {part} */
            due[{place}] += {macro}_PERIOD;
            {prefix}_run();
            while ((int32_t)({name}_ticks - due[{place}]) >= {period}) {{
                due[{place}] += {macro}_PERIOD;
                {name}_late++;
            }}
            continue;
        }}
"""


def rates_files(
    networks: Mapping[str, Network], parts: Sequence[Part], name: str, control_hz: float | None
) -> dict[str, str]:
    """``main.c`` and ``board.h``; the functions that the last declares are the user's.

    Args:
        networks: part → what it runs.
        parts: in the order in which they run.
        name: prefix of the policy's symbols.
        control_hz: rate of the task; None where it is not known.
    """
    named = prefixes(name, parts)
    slow = [part for part in parts if part.period > 1]
    quick = [part for part in parts if part.period == 1]
    giving = {feeding for part in parts for feeding, _ in part.fed.values()}
    last = identifier(parts[-1].name)
    return {
        "main.c": _MAIN.format(
            name=name,
            quick=" and ".join(part.name for part in quick),
            slow=" and ".join(part.name for part in slow) or "nothing",
            due=f"    uint32_t due[{len(slow)}] = {{{', '.join('0u' for _ in slow)}}};\n\n" if slow else "",
            runs="".join(_run(part, named[part.name], part.name in giving, last) for part in parts),
            tick="".join(f"    {named[part.name]}_run();\n" for part in quick),
            first="".join(f"    {named[part.name]}_run();\n" for part in slow),
            now=_NOW.format(name=name) if slow else "",
            loop="".join(
                _LOOP.format(
                    name=name,
                    place=place,
                    part=part.name,
                    prefix=named[part.name],
                    macro=named[part.name].upper(),
                    period=f"(int32_t){named[part.name].upper()}_PERIOD",
                )
                for place, part in enumerate(sorted(slow, key=lambda part: part.period))
            ),
        ),
        "board.h": _BOARD.format(
            name=name,
            rate=f"{control_hz:g} times a second" if control_hz else "at the task's rate",
            inputs="".join(_inputs(networks[part.name], part, named[part.name]) for part in parts),
            last=last,
            outputs=_places(networks[parts[-1].name], named[parts[-1].name], "output"),
        ),
    }


def _run(part: Part, prefix: str, gives: bool, last: str) -> str:
    """One run of a part; what it shares with an interrupt is copied while that is held back."""
    own, slow = identifier(part.name), part.period > 1
    lines = [f"board_{own}_inputs();"]
    if part.fed:
        lines += ["board_lock();", f"{prefix}_take();", "board_unlock();"] if slow else [f"{prefix}_take();"]
    lines.append(f"{prefix}_step();")
    if gives:
        lines += ["board_lock();", f"{prefix}_give();", "board_unlock();"] if slow else [f"{prefix}_give();"]
    if own == last:
        lines.append(f"board_{own}_outputs();")
    return f"static void {prefix}_run(void)\n{{\n{''.join(f'    {line}{chr(10)}' for line in lines)}}}\n\n"


def _inputs(network: Network, part: Part, prefix: str) -> str:
    return (
        f"/* Before {part.name}: writes its inputs where they lie, as they are stored.\n"
        f"{_places(network, prefix, 'input', part.fed)} */\n"
        f"void board_{identifier(part.name)}_inputs(void);\n\n"
    )


def _places(network: Network, prefix: str, side: str, without: Mapping[str, object] = {}) -> str:
    """Lines of a comment: the functions that say where inputs or outputs lie, and how many values."""
    names = Names(prefix)
    for title in network.inputs if side == "output" else ():
        names.constant("input", title)
    lines = []
    for title, tensor in (network.inputs if side == "input" else network.outputs).items():
        function, shape = names.constant(side, title), network.tensors[tensor].shape
        if title not in without:
            lines.append(f" *   {function}(): {prod(shape)} values, {list(shape)}; see {prefix}.h")
    return "\n".join(lines) or " *   It has none."
