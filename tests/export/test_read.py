"""Reading .tflite files: whole, odd and damaged."""

import os
import struct
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import damaged
from other_types import FLOAT32, INT16
from single_layers import BUILDERS
from tflite_networks import Layer, Writer, network

from secateur.errors import SecateurError
from secateur.export.c.generate import generate
from secateur.export.read import read_tflite
from secateur.network import Network
from secateur.target.target import load_target

MODEL = network(7, [Layer(9, activation=1, zero_point=-3, tail=("TANH",)), Layer(3, reshape=True)], 0)
TARGET = load_target("stm32f446re")
BUILD = (*BUILDERS.values(), *INT16.values(), *FLOAT32.values())
MODELS = [MODEL, *(build(np.random.default_rng(seed)) for build in BUILD for seed in range(3))]
EXHAUSTIVE = os.environ.get("SECATEUR_EXHAUSTIVE") == "1"


def test_whole_file():
    read = read_tflite(MODEL)
    assert list(read.inputs) == ["observation"]
    assert list(read.outputs) == ["action"]
    assert [operator.kind for operator in read.operators] == [
        "FULLY_CONNECTED",
        "TANH",
        "FULLY_CONNECTED",
        "RESHAPE",
    ]
    weights = read.tensors[read.operators[0].inputs[1]]
    assert (weights.shape, weights.dtype, weights.constant) == ((9, 7), "int8", True)
    assert weights.data.shape == (9, 7)
    assert len(weights.quantization.scales) == 9
    assert read.operators[0].options["fusedActivationFunction"] == 1


def test_names_of_tensors_where_there_is_no_signature():
    writer = Writer()
    source = writer.tensor("one", (1, 4), "int8", [0.1], [0])
    result = writer.tensor("two", (1, 4), "int8", [1 / 128], [0])
    writer.operator("TANH", [source], [result])
    read = read_tflite(writer.finish([source], [result]))
    assert (dict(read.inputs), dict(read.outputs)) == ({"one": 0}, {"two": 1})


def test_options_of_another_operator():
    """The reference reads them as none."""
    writer = Writer()
    source = writer.tensor("one", (1, 4), "int8", [0.1], [0])
    result = writer.tensor("two", (1, 4), "int8", [1 / 256], [-128])
    writer.operator("SOFTMAX", [source], [result], "AddOptions")
    with pytest.raises(SecateurError, match="SOFTMAX with options of another operator, AddOptions"):
        read_tflite(writer.finish([source], [result]))


def test_weights_behind_the_flatbuffer():
    """As ai-edge-quantizer writes models of 256 KiB and more."""
    writer = Writer()
    source = writer.tensor("in", (1, 4), "int8", [0.1], [0])
    weights = writer.tensor("w", (2, 4), "int8", [0.1], [0], np.zeros((2, 4)))
    result = writer.tensor("out", (1, 2), "int8", [0.1], [0])
    writer.operator("FULLY_CONNECTED", [source, weights, -1], [result], "FullyConnectedOptions")
    buffer = writer.buffers[1]
    buffer.data, buffer.offset, buffer.size = None, 0x11223344, 8
    model = writer.finish([source], [result])
    content = np.arange(8, dtype=np.int8)
    place = struct.pack("<Q", 0x11223344)
    assert model.count(place) == 1
    model = model.replace(place, struct.pack("<Q", len(model))) + content.tobytes()
    np.testing.assert_array_equal(read_tflite(model).tensors[weights].data, content.reshape(2, 4))
    with pytest.raises(SecateurError, match="buffer"):
        read_tflite(model[:-1])


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 64, MODEL[:40], MODEL[:4] + b"PK34" + MODEL[8:]])
def test_not_a_tflite(data):
    with pytest.raises(SecateurError):
        read_tflite(data)


def read_or_refuse(data):
    """Read, lower and generate; anything but an answer or a SecateurError fails the test."""
    try:
        read = read_tflite(data)
        assert isinstance(read, Network)
        generate(read, TARGET, "net")
    except SecateurError:
        return


@given(st.integers(0, len(MODEL) - 1))
@settings(max_examples=100, deadline=None)
def test_truncated(length):
    read_or_refuse(MODEL[:length])


@given(st.lists(st.tuples(st.integers(8, len(MODEL) - 1), st.integers(0, 7)), min_size=1, max_size=6))
@settings(max_examples=400, deadline=2000)
def test_flipped_bits(flips):
    data = bytearray(MODEL)
    for place, bit in flips:
        data[place] ^= 1 << bit
    read_or_refuse(bytes(data))


@given(st.integers(2, len(MODEL) // 4 - 1), st.integers(-(2**31), 2**31 - 1))
@settings(max_examples=300, deadline=2000)
def test_wild_words(place, value):
    data = bytearray(MODEL)
    data[4 * place : 4 * place + 4] = struct.pack("<i", value)
    read_or_refuse(bytes(data))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=5000)
def test_damaged_models(seed):
    """Wild shapes, indices, types, scales, options and constants, in flatbuffers that are whole otherwise."""
    generator = np.random.default_rng(seed)
    read_or_refuse(damaged(generator, MODELS[seed % len(MODELS)]))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_many_damaged_models(part):
    """100,000 of them with SECATEUR_EXHAUSTIVE=1."""
    count = 10_000 if EXHAUSTIVE else 300
    for seed in range(count * part, count * (part + 1)):
        start = time.process_time()
        read_or_refuse(damaged(np.random.default_rng((seed, 1)), MODELS[seed % len(MODELS)]))
        assert time.process_time() - start < 20, seed
