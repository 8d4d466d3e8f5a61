"""Runs a float .tflite on LiteRT here, to hold it against torch."""

from collections.abc import Mapping

import numpy as np


def run_float(model: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of the model's first signature, row by row.

    Args:
        model: a float32 .tflite.
        inputs: name → float32 ``[n, ...]``.

    Returns:
        Name → float32 ``[n, ...]``.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    runner = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    rows = len(next(iter(inputs.values())))
    answers = [runner(**{name: array[i : i + 1] for name, array in inputs.items()}) for i in range(rows)]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
