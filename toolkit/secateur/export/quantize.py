"""float .tflite → the other dtypes, by ai-edge-quantizer, around its silent traps.

Its calibration defaults to a moving average, which collapses the range of a scalar head: minimum and maximum are
asked for instead. It moves weights of over 256 KiB outside the flatbuffer, where TFLM does not look: the model is
serialised again. And it quantises dynamic-range weights by channel, which tflite-runtime 2.14 computes wrongly and
says nothing: they are quantised by tensor, and depthwise ones, which every runtime computes wrongly by tensor, are left
in float32. A constant that a BATCH_MATMUL multiplies by, learnt queries of an attention, it stores by channel too, of
which the kernels read the first scale alone, and as int8 beside int16, which LiteRT refuses: such a constant is stored
by tensor, in the type of the activations. Where an operator that stays in float32 reads an input that is an output too,
it gives out the dequantised copy and leaves the signature as it was: the input itself is put back.
"""

import contextlib
import copy
import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from secateur.errors import SecateurError, require_known

Samples = Mapping[str, np.ndarray]
"""Input name → float32 ``[n, ...]``, inputs met in use; the leading axis counts rows, of which a call takes as many as
its signature is made for."""

Scale = tuple[float, int]
"""Scale and zero point."""

Tie = tuple[str, str, str]
"""A signature, one of its outputs and the input that it is fed back to: they get one range, or a state drifts."""


def quantize(model: bytes, samples: Samples) -> bytes:
    """The model with int8 weights, activations, inputs and outputs, and int32 biases.

    Args:
        model: a float32 .tflite with one signature.
        samples: of its inputs.

    Raises:
        SecateurError: no samples, samples that are not finite, or a model that cannot be quantised.
    """
    return convert(model, "int8", {"": samples})


def convert(
    model: bytes,
    dtype: str,
    samples: Mapping[str, Samples],
    ties: Sequence[Tie] = (),
    given: Mapping[tuple[str, str], Scale] = {},
) -> bytes:
    """The model in another dtype; the same weights are stored once, whichever signatures share them.

    Args:
        model: a float32 .tflite.
        dtype: key of ``RECIPES``.
        samples: signature → samples; an empty name stands for the only signature. Used by dtypes of
            ``CALIBRATED`` only.
        ties: states that are fed back.
        given: (signature, input) → the scale that it comes in, where another network made it; used by dtypes of
            ``CALIBRATED`` only.

    Raises:
        SecateurError: no samples where they are needed, samples that are not finite, or a model that cannot be
            quantised.
    """
    require_known("dtype", dtype, RECIPES)
    if dtype == "float32":
        return model
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from ai_edge_litert.tools import flatbuffer_utils
    from ai_edge_quantizer import quantizer

    rules = RECIPES[dtype]()
    if dtype in CALIBRATED:
        model = _with_own_biases(model)
    ranges = _ranges(model, rules, samples, ties) if dtype in CALIBRATED else None
    if ranges is not None:
        for (signature, fed), scale in given.items():
            name = _input(model, signature, fed)["name"]
            _set_range(ranges, name, *scale, 8 if dtype == "int8" else 16)

    def stored() -> bytes:
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                result = quantizer.Quantizer(model, rules).quantize(ranges, enable_progress_report=False)
        except (ValueError, RuntimeError, KeyError) as error:
            raise SecateurError(
                f"the model can be stored as {dtype}", str(error).splitlines()[0], "Take another dtype."
            ) from error
        parsed = flatbuffer_utils.read_model_from_bytearray(bytearray(result.quantized_model))
        _give_inputs_out(parsed, flatbuffer_utils.read_model_from_bytearray(bytearray(model)))
        return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))

    made = stored()
    if ranges is not None and _follow(ranges, made, model, ties):
        made = stored()
    return _with_scales(made, given) if ranges is not None and given else made


def _with_scales(made: bytes, given: Mapping[tuple[str, str], Scale]) -> bytes:
    """Scales of inputs to the last bit as they were given: on the way through a range they may lose one.

    Raises:
        SecateurError: the quantiser took another scale.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model_from_bytearray(bytearray(made))
    for (signature, fed), (scale, zero_point) in given.items():
        details = _input(made, signature, fed)
        got, got_zero = details["quantization"]
        if got_zero != zero_point or not abs(got - scale) <= 1e-5 * scale:
            raise SecateurError(
                "a flow between two networks has one scale at both ends",
                f"{fed!r} comes as {scale:g} · (stored − {zero_point}) and is taken as {got:g} · (stored − {got_zero})",
                "This is a fault of secateur; please report it with the policy.",
            )
        wanted = details["name"].encode()
        for graph in parsed.subgraphs:
            for index in graph.inputs:
                tensor = graph.tensors[index]
                if tensor.name == wanted:
                    tensor.quantization.scale = [scale]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


def _give_inputs_out(made: Any, model: Any) -> None:
    """Outputs that are inputs of the float model are the same inputs of what was made of it."""
    for graph, before in zip(made.subgraphs, model.subgraphs):
        given = {int(old): int(new) for old, new in zip(before.inputs, graph.inputs)}
        pairs = zip(before.outputs, graph.outputs)
        graph.outputs = [given.get(int(old), int(new)) for old, new in pairs]


def _follow(ranges: dict[str, Any], made: bytes, model: bytes, ties: Sequence[Tie]) -> bool:
    """Gives states that are fed back the range of their output where that is not free (a TANH has one of its own).

    True where a range was changed, and the model is to be stored again.
    """
    changed = False
    for signature, output, fed in ties:
        details = _details(made, signature, output, fed)
        (scale, zero_point), own = (each["quantization"] for each in details)
        if (scale, zero_point) == tuple(own) or not scale:
            continue
        name = _tensor_names(model, signature, output, fed)[1]
        _set_range(ranges, name, scale, zero_point, np.iinfo(details[0]["dtype"]).bits)
        changed = True
    return changed


def _set_range(ranges: dict[str, Any], name: str, scale: float, zero_point: int, bits: int) -> None:
    """Gives a tensor the range that an integer of so many bits has at a scale; of 16 bits it is symmetric."""
    limits = np.iinfo(f"int{bits}")
    low = scale * (max(limits.min, -limits.max) - zero_point if bits > 8 else limits.min - zero_point)
    high = scale * (limits.max - zero_point)
    old = ranges.get(name, {})
    for key, value in (("min", low), ("max", high)):
        shape = np.shape(old.get(key, 0.0))
        ranges[name] = {**ranges.get(name, {}), key: np.full(shape, value, np.float32)}


def _with_own_biases(model: bytes) -> bytes:
    """Biases that subgraphs share, one copy for each: stored as integers they are in units of its input's scale.

    The quantiser would write the one over the other, with a warning at most.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    if len(parsed.subgraphs) == 1:
        return model
    taken: set[int] = set()
    for graph in parsed.subgraphs:
        copies: dict[int, int] = {}
        biases = {int(op.inputs[2]) for op in graph.operators if len(op.inputs) == 3 and op.inputs[2] >= 0}
        for index in biases:
            tensor = graph.tensors[index]
            buffer = int(tensor.buffer)
            if len(tensor.shape) != 1 or parsed.buffers[buffer].data is None:
                continue
            if buffer in taken and buffer not in copies:
                parsed.buffers.append(copy.deepcopy(parsed.buffers[buffer]))
                copies[buffer] = len(parsed.buffers) - 1
            tensor.buffer = copies.get(buffer, buffer)
        taken |= {int(graph.tensors[index].buffer) for index in biases}
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


def _ranges(model: bytes, rules: Any, samples: Mapping[str, Samples], ties: Sequence[Tie]) -> dict[str, Any]:
    """Tensor name → least and greatest value, over all samples of all signatures."""
    from ai_edge_quantizer import calibrator, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(rules)
    calibration = calibrator.Calibrator(model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    only = next(iter(calibration.get_signature_list()))
    rows = {
        name or only: _calls(arrays, _rows_of(model, name or only, next(iter(arrays), None)))
        for name, arrays in samples.items()
    }
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        calibration.calibrate(rows, manager)
    ranges = calibration.get_model_qsvs()
    for signature, output, fed in ties:
        pair = _tensor_names(model, signature, output, fed)
        known = [ranges[name] for name in pair if name in ranges]
        if not known:
            continue  # no operator reads it or writes it, and it stays in float32
        low, high = (f([r[key] for r in known], axis=0) for f, key in ((np.min, "min"), (np.max, "max")))
        for name in pair:
            ranges[name] = {**ranges.get(name, {}), "min": low, "max": high}
    return ranges


def _rows_of(model: bytes, signature: str, name: str | None) -> int:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=model, num_threads=1).get_signature_runner(signature)
    details = runner.get_input_details()
    return int(details[name]["shape"][0]) if name in details else 1


def _calls(samples: Samples, rows: int) -> list[dict[str, np.ndarray]]:
    counts = {len(array) for array in samples.values()}
    if len(counts) != 1 or 0 in counts or not all(np.isfinite(array).all() for array in samples.values()):
        raise SecateurError(
            "calibration needs as many samples of every input, all finite",
            f"got {', '.join(f'{name} {array.shape}' for name, array in samples.items())}",
            "Roll the policy out longer.",
        )
    starts = range(0, counts.pop(), rows)
    return [{name: array[i : i + rows] for name, array in samples.items()} for i in starts]


def _tensor_names(model: bytes, signature: str, output: str, fed: str) -> tuple[str, str]:
    first, second = _details(model, signature, output, fed)
    return first["name"], second["name"]


def _input(model: bytes, signature: str, name: str) -> dict[str, Any]:
    """What LiteRT says of an input; an empty signature is the only one."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    runner = interpreter.get_signature_runner(signature or next(iter(interpreter.get_signature_list())))
    return runner.get_input_details()[name]


def _details(model: bytes, signature: str, output: str, fed: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What LiteRT says of an output and of an input; an empty signature is the only one."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    runner = interpreter.get_signature_runner(signature or next(iter(interpreter.get_signature_list())))
    return runner.get_output_details()[output], runner.get_input_details()[fed]


def _float16() -> Any:
    weights = {
        "num_bits": 16,
        "symmetric": True,
        "granularity": "TENSORWISE",
        "dtype": "FLOAT",
        "block_size": 0,
    }
    how = {
        "weight_tensor_config": weights,
        "compute_precision": "FLOAT",
        "explicit_dequantize": True,
        "skip_checks": False,
        "min_weight_elements": 0,
    }
    return [{"regex": ".*", "operation": "*", "algorithm_key": "float_casting", "op_config": how}]


def _dynamic() -> Any:
    from ai_edge_quantizer import qtyping, recipe_manager

    manager = recipe_manager.RecipeManager()
    for kind in (qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.CONV_2D):
        manager.add_dynamic_config(
            regex=".*", operation_name=kind, num_bits=8, granularity=qtyping.QuantGranularity.TENSORWISE
        )
    return manager.get_quantization_recipe()


def _int8() -> Any:
    from ai_edge_quantizer import recipe

    return _products_by_tensor(recipe.static_wi8_ai8(), 8)


def _int16x8() -> Any:
    from ai_edge_quantizer import recipe

    return _products_by_tensor(recipe.static_wi8_ai16(), 16)


def _products_by_tensor(rules: list[Any], bits: int) -> list[Any]:
    """With constants of a BATCH_MATMUL stored as the activations that they meet are: of one type, with one scale."""
    rule = copy.deepcopy(rules[0])
    rule["operation"], rule["op_config"]["skip_checks"] = "BATCH_MATMUL", True
    rule["op_config"]["weight_tensor_config"] |= {"granularity": "TENSORWISE", "num_bits": bits}
    return [*rules, rule]


RECIPES: dict[str, Callable[[], Any]] = {
    "float32": list,
    "float16": _float16,
    "dynamic": _dynamic,
    "int8": _int8,
    "int16x8": _int16x8,
}
"""Dtype → ai-edge-quantizer's rules: float16 weights; int8 weights and float32 activations that are quantised as it
runs; int8 throughout; int8 weights and int16 activations."""

CALIBRATED = frozenset({"int8", "int16x8"})
"""Dtypes whose activations need ranges, and so samples."""
