"""Damaged models that are read all the same: what the generated C answers under sanitizers is what TFLM answers."""

import os
import pickle
import signal
import subprocess

import numpy as np
import pytest
from batches import Batch
from mutations import structurally
from other_types import FLOAT32, INT16
from single_layers import BUILDERS
from tflite_micro.python.tflite_micro import runtime

from secateur.device.protocol import random_inputs
from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
EXHAUSTIVE = os.environ.get("SECATEUR_EXHAUSTIVE") == "1"
MODELS = {
    dtype: [build(np.random.default_rng(seed)) for build in builders.values() for seed in range(3)]
    for dtype, builders in (("int8", BUILDERS), ("int16", INT16), ("float32", FLOAT32))
}
CALLS = 3
LARGEST_TEXT = 2_000_000


def reference(model: bytes, inputs: dict[str, np.ndarray], outputs: int) -> bytes | None:
    """TFLM's answers; None if it has none or crashes, for which it is run in a process of its own."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        signal.alarm(20)
        answers = None
        try:
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 22)
            parts = []
            for call in range(CALLS):
                for place, values in enumerate(inputs.values()):
                    shape = interpreter.get_input_details(place)["shape"]
                    interpreter.set_input(values[call].reshape(shape), place)
                interpreter.invoke()
                parts += [np.asarray(interpreter.get_output(place)).tobytes() for place in range(outputs)]
            answers = b"".join(parts)
        finally:
            with os.fdopen(send, "wb") as stream:
                pickle.dump(answers, stream)
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        content = stream.read()
    os.waitpid(child, 0)
    return pickle.loads(content) if content else None


def may_divide_by_zero(network):
    """True for a quotient of integers that the reference does not define, at some inputs."""
    divisors = [
        network.tensors[operator.inputs[1]] for operator in network.operators if operator.kind == "DIV"
    ]
    return any(
        tensor.data is None or bool((tensor.data == tensor.quantization.zero_points[0]).any())
        for tensor in divisors
        if tensor.quantization is not None
    )


def agree(network, answers, expected):
    """The same bytes; real values, to the tolerance that docs/targets.md states."""
    if answers == expected or {network.tensors[tensor].dtype for tensor in network.outputs.values()} != {
        "float32"
    }:
        return answers == expected
    pair = [np.frombuffer(stored, np.float32) for stored in (answers, expected)]
    return len(pair[0]) == len(pair[1]) and np.allclose(*pair, 1e-5, 1e-6, equal_nan=True)


def changed_models(models, seeds):
    """Damaged models that are read and generate other C than they did, by seed."""
    known = {str(generate(read_tflite(model), TARGET, "net")) for model in models}
    found = {}
    for seed in seeds:
        model = structurally(np.random.default_rng((seed, 2)), models[seed % len(models)])
        try:
            text = str(generate(read_tflite(model), TARGET, "net"))
        except SecateurError:
            continue
        if text not in known and len(text) < LARGEST_TEXT:
            known.add(text)
            found[seed] = model
    return found


@pytest.mark.slow
@pytest.mark.parametrize("part", range(100 if EXHAUSTIVE else 1))
@pytest.mark.parametrize("dtype", MODELS)
def test_damaged_models_are_answered_as_by_tflm(tmp_path, dtype, part):
    found = changed_models(MODELS[dtype], range(1000 * part, 1000 * (part + 1)))
    batch = Batch(list(found.values()), TARGET, tmp_path)
    answered, wrong = 0, {}
    for index, (seed, model) in enumerate(found.items()):
        network = batch.networks[index]
        inputs = random_inputs(network, CALLS, np.random.default_rng(seed))
        data = b"".join(values[call].tobytes() for call in range(CALLS) for values in inputs.values())
        command = [batch.host, f"net{index}"]
        done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
        if done.returncode != 0:
            wrong[seed] = done.stderr.decode()[:400]
            continue
        if may_divide_by_zero(network):
            continue
        expected = reference(model, inputs, len(network.outputs))
        if expected is not None:
            answered += 1
            if not agree(network, done.stdout, expected):
                wrong[seed] = "other answers"
    assert not wrong
    assert answered > len(found) / 2
