"""States: what a network keeps from one call to the next, in buffers that nothing else uses."""

from secateur.errors import SecateurError
from secateur.operators.lowering import Lowering
from secateur.operators.move.rule import move_step, strides


def keep_states(lowering: Lowering) -> None:
    """The steps at the end that put every state's next value where the next call reads it.

    None where the value is made in that place. Outputs that lie in a state's place, and are not its next value, are
    moved to a place of their own before.

    Raises:
        SecateurError: a state that does not come back as it went.
    """
    network = lowering.network
    pairs = [(lowering.places[name], network.outputs[result]) for name, result in network.states.items()]
    for name, result in network.states.items():
        _check(lowering, network.inputs[name], network.outputs[result])
    held = dict(pairs)
    for tensor in dict.fromkeys(network.outputs.values()):
        place = lowering.buffer(tensor)
        if place in held and held[place] != tensor:
            _move(lowering, tensor, (place, lowering.new_buffer(tensor)))
    for place, output in pairs:
        if place != lowering.buffer(output):
            _move(lowering, output, (lowering.buffer(output), place))


def _move(lowering: Lowering, tensor: int, buffers: tuple[int, int]) -> None:
    producer = lowering.producer(tensor)
    shape, item = lowering.tensor(tensor).shape, lowering.item_bytes(tensor)
    label = lowering.label(tensor, "/keep")
    place = (0, strides(shape))
    operator = len(lowering.network.operators) - 1 if producer is None else producer
    lowering.add(move_step(label, operator, buffers, shape, place, place, item))


def _check(lowering: Lowering, fed: int, output: int) -> None:
    one, other = lowering.tensor(fed), lowering.tensor(output)
    same = (one.shape, one.dtype) == (other.shape, other.dtype)
    if same and one.quantization is not None and other.quantization is not None:
        scales = [
            (item.quantization.scales, item.quantization.zero_points)
            for item in (one, other)
            if item.quantization
        ]
        same = scales[0] == scales[1]
    if not same:
        seen = ", ".join(
            f"{tensor.name!r} is {tensor.dtype} {tensor.shape}"
            + (
                f" of scale {tensor.quantization.scales[0]:g} and zero point {tensor.quantization.zero_points[0]}"
                if tensor.quantization
                else ""
            )
            for tensor in (one, other)
        )
        raise SecateurError(
            "a state goes into a call as it came out of the last: one shape, type, scale and zero point",
            seen,
            "Export the policy itself, whose feeds are quantised alike; or calibrate both with one range.",
        )
