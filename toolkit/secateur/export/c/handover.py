"""C for a policy in parts: what one part hands to another, and one control step of all of them.

Every part has an arena of its own, because one may interrupt another. What a slow part made is therefore copied out of
its arena when it is through, and into the arena of whoever takes it before each of its calls, as bytes: both ends of a
flow have one scale and one zero point.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm, prod

import numpy as np

from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.c.names import Names, identifier
from secateur.network import Network, Tensor
from secateur.records import Part
from secateur.target.target import Target


@dataclass(frozen=True)
class Flow:
    """An output of one part that others take.

    Attributes:
        part: that gives it.
        output: its name.
        size_bytes: of one call.
    """

    part: str
    output: str
    size_bytes: int


def prefixes(name: str, parts: Sequence[Part]) -> dict[str, str]:
    """Part → prefix of its C symbols: the policy's own where there is one part."""
    return {part.name: name if len(parts) == 1 else f"{name}_{identifier(part.name)}" for part in parts}


def part_sources(
    networks: Mapping[str, Network], parts: Sequence[Part], target: Target, name: str
) -> dict[str, str]:
    """The C of every part, and of several ``<name>.h`` and ``<name>.c``, which hold them together.

    Args:
        networks: part → what it runs.
        parts: in the order in which they run.
        target: the board.
        name: prefix of every symbol but the kernels'.
    """
    named = prefixes(name, parts)
    files: dict[str, str] = {}
    for part in parts:
        files |= generate(networks[part.name], target, named[part.name])
    if len(parts) > 1:
        flows = flows_of(networks, parts)
        files |= {
            f"{name}.h": _header(parts, flows, name),
            f"{name}.c": _source(networks, parts, flows, name),
        }
    return files


def flows_of(networks: Mapping[str, Network], parts: Sequence[Part]) -> tuple[Flow, ...]:
    """What the parts hand to each other.

    Raises:
        SecateurError: two ends of a flow that differ in type, size or scale.
    """
    found: dict[tuple[str, str], Flow] = {}
    for part in parts:
        for fed, (feeding, output) in part.fed.items():
            giving, taking = networks[feeding], networks[part.name]
            made, taken = giving.tensors[giving.outputs[output]], taking.tensors[taking.inputs[fed]]
            if (made.dtype, prod(made.shape), made.quantization) != (
                taken.dtype,
                prod(taken.shape),
                taken.quantization,
            ):
                raise SecateurError(
                    "a flow between two networks has one type, size and scale at both ends",
                    f"{feeding}.{output} is {_told(made)}, {part.name} takes {fed} as {_told(taken)}",
                    "Export both from one policy.",
                )
            size = prod(made.shape) * np.dtype(made.dtype).itemsize
            found[feeding, output] = Flow(feeding, output, size)
    return tuple(found.values())


def handover_ram_bytes(flows: Sequence[Flow]) -> int:
    """Static RAM beside the arenas: what stands between runs, and the count of control steps."""
    return sum(4 * _words(flow) for flow in flows) + 4


def _told(tensor: Tensor) -> str:
    scale = tensor.quantization
    told = "" if scale is None else f" of scale {scale.scales[0]:g} and zero point {scale.zero_points[0]}"
    return f"{tensor.dtype} {list(tensor.shape)}{told}"


def _words(flow: Flow) -> int:
    return -(-flow.size_bytes // 4)


def _held(flows: Sequence[Flow], name: str) -> dict[tuple[str, str], str]:
    """(part, output) → the array that it stands in."""
    names = Names(name)
    return {(f.part, f.output): names.constant("held", f"{f.part}_{f.output}") for f in flows}


def _header(parts: Sequence[Part], flows: Sequence[Flow], name: str) -> str:
    named, guard = prefixes(name, parts), f"{name.upper()}_H"
    includes = "".join(f'#include "{named[part.name]}.h"\n' for part in parts)
    periods = "".join(f"#define {named[part.name].upper()}_PERIOD {part.period}\n" for part in parts)
    giving = "".join(f"void {named[p]}_give(void);\n" for p in dict.fromkeys(f.part for f in flows))
    taking = "".join(f"void {named[part.name]}_take(void);\n" for part in parts if part.fed)
    return f"""\
/* {name}: {len(parts)} networks that feed each other, each at a rate of its own. Generated. */
#ifndef {guard}
#define {guard}

{includes}
/* Control periods from one run of a part to the next. */
{periods}
/* Before the first step of an episode: what is handed over is zero in real numbers. */
void {name}_init(void);

/* After a part's step: what it made stands until it gives again. Not to be interrupted by a part that takes it. */
{giving}
/* Before a part's step: what stands, into its inputs. */
{taking}
/* One control step in one thread: every part that is due takes, steps and gives, in order. Inputs from outside are
 * written before. Where the slower parts take longer than is left of a control period, call the parts themselves:
 * the faster ones from a timer's interrupt. */
void {name}_step(void);

#endif
"""


def _source(networks: Mapping[str, Network], parts: Sequence[Part], flows: Sequence[Flow], name: str) -> str:
    named, held = prefixes(name, parts), _held(flows, name)
    arrays = "".join(f"static uint32_t {held[f.part, f.output]}[{_words(f)}];\n" for f in flows)
    functions, zeros = [], []
    for flow in flows:
        network = networks[flow.part]
        tensor = network.tensors[network.outputs[flow.output]]
        zero = tensor.quantization.zero_points[0] if tensor.quantization else 0
        if zero and np.dtype(tensor.dtype).itemsize != 1:
            raise SecateurError(
                "int16 and float32 have their zero at zero", f"{flow.output} has {zero}", "Convert it again."
            )
        zeros.append(f"    fill({held[flow.part, flow.output]}, {zero}, {flow.size_bytes});\n")
    for part in parts:
        ports = _ports(networks[part.name], named[part.name])
        given = [
            f"    copy({held[f.part, f.output]}, {ports['output', f.output]}(), {f.size_bytes});\n"
            for f in flows
            if f.part == part.name
        ]
        taken = [
            f"    copy({ports['input', fed]}(), {held[source]}, "
            f"{next(f.size_bytes for f in flows if (f.part, f.output) == source)});\n"
            for fed, source in part.fed.items()
        ]
        for verb, lines in (("give", given), ("take", taken)):
            if lines:
                functions.append(f"void {named[part.name]}_{verb}(void)\n{{\n{''.join(lines)}}}\n")
    steps = []
    for part in parts:
        calls = [
            *([f"{named[part.name]}_take();"] if part.fed else []),
            f"{named[part.name]}_step();",
            *([f"{named[part.name]}_give();"] if any(f.part == part.name for f in flows) else []),
        ]
        if part.period == 1:
            steps += [f"    {call}\n" for call in calls]
        else:
            due = f"    if ({name}_count % {named[part.name].upper()}_PERIOD == 0) {{\n"
            steps.append(due + "".join(f"        {call}\n" for call in calls) + "    }\n")
    again = lcm(*(part.period for part in parts))
    return f"""\
/* {name}: what its parts hand to each other. Generated; change the policy, not this file. */
#include "{name}.h"

{arrays}static uint32_t {name}_count;

static void copy(void *to, const void *from, int32_t bytes)
{{
    for (int32_t i = 0; i < bytes; i++) {{
        ((int8_t *)to)[i] = ((const int8_t *)from)[i];
    }}
}}

static void fill(void *to, int8_t value, int32_t bytes)
{{
    for (int32_t i = 0; i < bytes; i++) {{
        ((int8_t *)to)[i] = value;
    }}
}}

{"".join(function + chr(10) for function in functions)}void {name}_init(void)
{{
{"".join(zeros)}    {name}_count = 0;
}}

void {name}_step(void)
{{
{"".join(steps)}    {name}_count = ({name}_count + 1) % {again};
}}
"""


def _ports(network: Network, prefix: str) -> dict[tuple[str, str], str]:
    """(side, name) → the function that gives where it lies, as in the header of the network."""
    names = Names(prefix)
    sides = (("input", network.inputs), ("output", network.outputs))
    return {(side, title): names.constant(side, title) for side, ends in sides for title in ends}
