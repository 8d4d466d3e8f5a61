"""A main function for the host: calls on standard input, results on standard output, as raw bytes."""

from secateur.export.c.names import Names
from secateur.network import Network


def host_main(network: Network, name: str) -> str:
    """C that reads the inputs of call after call, in the network's order, and writes the outputs of each.

    States are zero before the first call.
    """
    names = Names(name)
    reads, writes = [], []
    for title in network.inputs:
        tensor = names.constant("input", title)
        if title in network.states:
            continue
        size = f"{tensor.upper()}_SIZE"
        reads.append(
            f"        if (fread({tensor}(), sizeof *{tensor}(), {size}, stdin) != {size}) {{\n"
            f"            return 0;\n        }}\n"
        )
    for title in network.outputs:
        tensor = names.constant("output", title)
        writes.append(f"        fwrite({tensor}(), sizeof *{tensor}(), {tensor.upper()}_SIZE, stdout);\n")
    start = f"    {name}_init();\n" if network.states else ""
    return (
        f'#include <stdio.h>\n\n#include "{name}.h"\n\nint main(void)\n{{\n{start}    for (;;) {{\n'
        f"{''.join(reads)}        {name}_step();\n{''.join(writes)}        fflush(stdout);\n    }}\n}}\n"
    )
