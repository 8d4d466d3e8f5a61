"""An example that replays one recorded call through a generated network, and says whether it got the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from secateur.export.c.names import Names
from secateur.network import Network

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t", "float32": "float"}
"""Type of a tensor → of C."""
_PER_LINE = 16


@dataclass(frozen=True, eq=False)
class Recorded:
    """One call: input and output name → stored values, any shape; outputs as TFLM gave them, states as at the start."""

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


Replay = tuple[Network, str, Recorded]
"""A network, the prefix of its symbols, and a call of it."""


def c_array(values: np.ndarray) -> str:
    """Elements of an array as the inside of a C initialiser."""
    flat = values.reshape(-1).tolist()
    items = (
        [f"{value:.9e}f" for value in flat] if values.dtype.kind == "f" else [str(value) for value in flat]
    )
    rows = [", ".join(items[start : start + _PER_LINE]) for start in range(0, len(items), _PER_LINE)]
    return ",\n    ".join(rows)


def replay(network: Network, name: str, call: Recorded) -> str:
    """C of ``static int <name>_replay(void)``: the number of output values that differ from the recorded ones.

    Real values may differ by a thousandth of their size, and by a thousandth.
    """
    names = Names(name)
    arrays, writes, checks = [], [], []
    if network.states:
        writes.append(f"    {name}_init();\n")
    for title in network.inputs:
        tensor = names.constant("input", title)
        if title in network.states:
            continue
        values = call.inputs[title]
        arrays.append(_array(f"{tensor}_recorded", values))
        writes.append(f"    memcpy({tensor}(), {tensor}_recorded, sizeof {tensor}_recorded);\n")
    for title in network.outputs:
        tensor, values = names.constant("output", title), call.outputs[title]
        arrays.append(_array(f"{tensor}_recorded", values))
        kind = C_TYPES[str(values.dtype)]
        unequal = "got != wanted"
        if values.dtype.kind == "f":
            unequal = "!(got - wanted <= allowed && wanted - got <= allowed)"
        allowed = "            const float allowed = 0.001f + 0.001f * (wanted < 0.0f ? -wanted : wanted);\n"
        checks.append(
            f"    {{\n        const {kind} *const answer = (const {kind} *){tensor}();\n"
            f"        for (int i = 0; i < {values.size}; i++) {{\n"
            f"            const {kind} got = answer[i], wanted = {tensor}_recorded[i];\n"
            f"{allowed if values.dtype.kind == 'f' else ''}"
            f"            different += {unequal};\n        }}\n    }}\n"
        )
    return (
        "/* One call as TensorFlow Lite for Microcontrollers answered it. */\n"
        f"{''.join(arrays)}\n"
        "/* How many output values differ from the recorded ones: 0 where everything is in order. */\n"
        f"static int {name}_replay(void)\n{{\n    int different = 0;\n"
        f"{''.join(writes)}    {name}_step();\n{''.join(checks)}    return different;\n}}\n"
    )


def main_source(replays: Sequence[Replay], name: str) -> str:
    """``main.c``: replays the calls, prints the outcome where there is a console, ends with 0 if it was right.

    Args:
        replays: of every network.
        name: whose header declares all of them.
    """
    return (
        f"/* Replays a recorded call through {name}. Generated. */\n"
        f'#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n\n#include "{name}.h"\n\n'
        f"{_all(replays)}\n"
        "int main(void)\n{\n"
        f"    const int different = {_called(replays)};\n"
        f'    printf("{name}: %d values differ\\n", different);\n'
        "    return different != 0;\n}\n"
    )


def sketch_source(replays: Sequence[Replay], name: str) -> str:
    """The Arduino sketch that does the same, over the serial monitor, once a second."""
    return (
        f"/* Replays a recorded call through {name}. Generated. */\n"
        f'#include <Arduino.h>\n#include <string.h>\n\nextern "C" {{\n#include <{name}.h>\n}}\n\n'
        f"{_all(replays)}\n"
        "void setup()\n{\n    Serial.begin(115200);\n}\n\n"
        "void loop()\n{\n"
        "    const unsigned long start = micros();\n"
        f"    const int different = {_called(replays)};\n"
        "    const unsigned long took = micros() - start;\n"
        f'    Serial.print("{name}: ");\n'
        "    Serial.print(different);\n"
        '    Serial.print(" values differ; microseconds: ");\n'
        "    Serial.println(took);\n"
        "    delay(1000);\n}\n"
    )


def _all(replays: Sequence[Replay]) -> str:
    return "\n".join(replay(network, prefix, call) for network, prefix, call in replays)


def _called(replays: Sequence[Replay]) -> str:
    return " + ".join(f"{prefix}_replay()" for _, prefix, _ in replays)


def _array(name: str, values: np.ndarray) -> str:
    kind = C_TYPES[str(values.dtype)]
    return f"static const {kind} {name}[{values.size}] = {{\n    {c_array(values)},\n}};\n"
