"""float .tflite → full int8, by ai-edge-quantizer, around its two silent traps.

Its calibration defaults to a moving average, which collapses the range of a scalar head: minimum and maximum are
asked for instead. And it moves weights of over 256 KiB outside the flatbuffer, where TFLM does not look: the model
is serialised again.
"""

import contextlib
import io
import os
from collections.abc import Mapping

import numpy as np

from secateur.errors import SecateurError


def quantize(model: bytes, samples: Mapping[str, np.ndarray]) -> bytes:
    """The model with int8 weights, activations, inputs and outputs, and int32 biases.

    Args:
        model: a float32 .tflite with one signature.
        samples: input name → float32 ``[n, ...]``, inputs it meets in use; the leading axis counts samples.

    Raises:
        SecateurError: no samples, samples that are not finite, or a model that cannot be quantised.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from ai_edge_litert.tools import flatbuffer_utils
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    counts = {len(array) for array in samples.values()}
    if len(counts) != 1 or 0 in counts or not all(np.isfinite(array).all() for array in samples.values()):
        raise SecateurError(
            "calibration needs as many samples of every input, all finite",
            f"got {', '.join(f'{name} {array.shape}' for name, array in samples.items())}",
            "Roll the policy out longer.",
        )
    rules = recipe.static_wi8_ai8()
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(rules)
    calibration = calibrator.Calibrator(model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    signature = calibration.get_signature_list()
    rows = [{name: array[i : i + 1] for name, array in samples.items()} for i in range(counts.pop())]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        calibration.calibrate({next(iter(signature)): rows}, manager)
        made = quantizer.Quantizer(model, rules)
        result = made.quantize(calibration.get_model_qsvs(), enable_progress_report=False)
    parsed = flatbuffer_utils.read_model_from_bytearray(bytearray(result.quantized_model))
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))
