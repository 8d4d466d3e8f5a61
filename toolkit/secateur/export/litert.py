"""Runs a .tflite on LiteRT here, to hold it against torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from secateur.errors import SecateurError

Arrays = Mapping[str, np.ndarray]


def run_float(model: bytes, inputs: Arrays) -> dict[str, np.ndarray]:
    """Outputs of the model's first signature, row by row.

    Args:
        model: a float32 .tflite.
        inputs: name → float32 ``[n, ...]``.

    Returns:
        Name → float32 ``[n, ...]``.
    """
    return run_signature(model, inputs)


def run_signature(model: bytes, inputs: Arrays, signature: str | None = None) -> dict[str, np.ndarray]:
    """Outputs of a signature in real numbers, whatever the model stores; a call takes the rows that it is made for.

    Args:
        model: a .tflite.
        inputs: name → float32 ``[n, ...]``, n a multiple of a call's rows; quantised here where the input is.
        signature: its name; the first one by default.

    Returns:
        Name → float32 ``[n, ...]``.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    runner = interpreter.get_signature_runner(signature or next(iter(interpreter.get_signature_list())))
    taken, given = runner.get_input_details(), runner.get_output_details()
    stored = {name: to_stored(array, taken[name]) for name, array in inputs.items()}
    name, rows = next((name, len(array)) for name, array in inputs.items())
    each = int(taken[name]["shape"][0])
    starts = range(0, rows, each)
    answers = [runner(**{name: array[i : i + each] for name, array in stored.items()}) for i in starts]
    return {name: to_real(np.concatenate([a[name] for a in answers]), given[name]) for name in answers[0]}


def signatures(model: bytes) -> tuple[str | None, ...]:
    """Names of a model's signatures; one None where it has none.

    Raises:
        SecateurError: LiteRT does not read it.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        names = tuple(Interpreter(model_content=model, num_threads=1).get_signature_list())
    except (RuntimeError, ValueError) as error:
        raise SecateurError("LiteRT reads the .tflite", str(error), "Convert it again.") from error
    return names or (None,)


def drawn_inputs(model: bytes, signature: str | None, calls: int) -> dict[str, np.ndarray]:
    """Stored values for some calls, name → ``[n, ...]``: integers over their range, real ones standard normal."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter, generator = Interpreter(model_content=model, num_threads=1), np.random.default_rng(0)
    if signature is None:
        taken = {d["name"]: d for d in interpreter.get_input_details()}
    else:
        taken = interpreter.get_signature_runner(signature).get_input_details()
    values = {}
    for name, details in taken.items():
        kind, shape = np.dtype(details["dtype"]), (calls, *(int(size) for size in details["shape"]))
        if kind.kind == "f":
            values[name] = generator.standard_normal(shape).astype(kind)
        elif kind.kind == "b":
            values[name] = generator.integers(0, 2, shape).astype(kind)
        else:
            limits = np.iinfo(kind)
            values[name] = generator.integers(limits.min, limits.max, shape, kind, endpoint=True)
    return values


def to_stored(values: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """Real numbers as a tensor of LiteRT stores them."""
    kind, (scale, zero_point) = np.dtype(details["dtype"]), details["quantization"]
    if kind.kind == "f" or not scale:
        return values.astype(kind)
    limits = np.iinfo(kind)
    return np.clip(np.rint(values / np.float32(scale)) + zero_point, limits.min, limits.max).astype(kind)


def to_real(stored: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """The inverse."""
    scale, zero_point = details["quantization"]
    if stored.dtype.kind == "f" or not scale:
        return stored.astype(np.float32)
    return np.float32(scale) * (stored.astype(np.int64) - zero_point).astype(np.float32)


def signature_details(model: bytes, signature: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and outputs of a signature as plain data: name → shape, dtype, scale and zero point."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=model, num_threads=1).get_signature_runner(signature)

    def plain(details: Mapping[str, Any]) -> dict[str, Any]:
        scale, zero_point = details["quantization"]
        return {
            "shape": [int(size) for size in details["shape"]],
            "dtype": np.dtype(details["dtype"]).name,
            "scale": float(scale) or None,
            "zero_point": int(zero_point),
        }

    sides = (runner.get_input_details(), runner.get_output_details())
    return tuple({name: plain(d) for name, d in side.items()} for side in sides)  # type: ignore[return-value]
