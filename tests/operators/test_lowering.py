"""From network to program: what becomes a step, what a table takes in, what is refused and how."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import TAILS
from other_types import FLOAT32, INT16
from reference_runtime import run_reference
from single_layers import BUILDERS, Net
from tflite_networks import ACTIVATION_SCALES, Layer, Writer, network

from secateur.errors import SecateurError
from secateur.export.read import read_tflite
from secateur.operators.compare.rule import ANSWERS
from secateur.operators.kernels import KERNELS
from secateur.operators.lookup.reference import evaluate_chain
from secateur.operators.lower import RULES, TFLM_LACKS, lower
from secateur.operators.lowering import readable
from secateur.operators.program import Choice, Patches


def without_data(read):
    return replace(read, tensors=tuple(replace(tensor, data=None) for tensor in read.tensors))


def check_packing(read, helium=False, patches=()):
    """Every step's arrays are as long as priced; the kernels seen."""
    program = lower(read, Choice(helium=helium, patches=patches))
    for step in program.steps:
        arrays = KERNELS[step.kernel].pack(read, step)
        sizes = {
            kind: sum(array.values.nbytes for array in arrays if array.kind == kind)
            for kind in ("weights", "table")
        }
        assert sizes == {"weights": step.weights_bytes, "table": step.tables_bytes}
        assert len(step.work) == len(KERNELS[step.kernel].terms)
    return {step.kernel for step in program.steps}


def test_every_kernel_packs_what_it_priced():
    layers = [
        Layer(9, activation=1, zero_point=-3),
        Layer(6, tail=("TANH", "LOGISTIC")),
        Layer(3, per_channel=False),
    ]
    read = read_tflite(network(7, layers, 0))
    seen = check_packing(read) | check_packing(read, helium=True)
    for build in (*BUILDERS.values(), *INT16.values(), *FLOAT32.values()):
        for seed in range(6):
            read = read_tflite(build(np.random.default_rng(seed)))
            seen |= check_packing(read) | check_packing(read, helium=True)
    net = Net(np.random.default_rng(0), (1, 6, 6, 3))
    net.pool("MAX_POOL_2D", (2, 2))
    seen |= check_packing(read_tflite(net.finish()), patches=(Patches("in/max_pool", "in/max_pool", 4, 4),))
    assert seen == set(KERNELS)


def test_lowering_needs_no_data():
    read = read_tflite(network(7, [Layer(9, tail=("TANH",)), Layer(3)], 0))
    whole, bare = lower(read), lower(without_data(read))
    assert (whole.steps, whole.buffers) == (bare.steps, bare.buffers)
    with pytest.raises(SecateurError, match="shapes only"):
        KERNELS["fully_connected"].pack(bare.network, bare.steps[0])


def test_labels_are_readable_and_unique():
    program = lower(
        read_tflite(network(7, [Layer(9, tail=("TANH",)), Layer(3, activation=1, zero_point=4)], 0))
    )
    assert [step.label for step in program.steps] == ["fc0", "fc0/tanh", "fc1", "fc1/clamp"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pkg.Policy/pkg.Encoder_encoder/torch.nn.modules.linear.Linear_fc1;", "encoder/fc1"),
        (
            "__main__.P/torch.nn.modules.container.Sequential_net/torch.nn.modules.linear.Linear_0;x;y",
            "net/0",
        ),
        ("dense_1/MatMul", "dense_1/MatMul"),
        ("", ""),
    ],
)
def test_readable(name, expected):
    assert readable(name) == expected


def test_tables_work_in_place_unless_the_source_is_wanted():
    program = lower(read_tflite(network(7, [Layer(9, tail=("TANH",))], 0)))
    assert program.steps[1].reads == program.steps[1].writes
    writer = Writer()
    source = writer.tensor("in", (1, 4), "int8", [0.1], [0])
    result = writer.tensor("out", (1, 4), "int8", [1 / 128], [0])
    writer.operator("TANH", [source], [result])
    both = lower(read_tflite(writer.finish([source], [result, source])))
    assert both.steps[0].reads != both.steps[0].writes


@pytest.mark.parametrize("kind", TAILS)
@given(
    scale=st.floats(1e-3, 1.0),
    zero_point=st.integers(-128, 127),
    out=st.floats(1e-3, 1.0),
    out_zero=st.integers(-128, 127),
)
@settings(max_examples=15, deadline=None)
def test_tables_are_tflms(kind, scale, zero_point, out, out_zero):
    """Over another shape than the one that the table is computed with, and by another builder."""
    if kind in ACTIVATION_SCALES:
        out, out_zero = ACTIVATION_SCALES[kind]
    if kind == "HARD_SWISH":
        out = max(out, scale)  # TFLM takes no smaller one
    writer = Writer()
    source = writer.tensor("in", (1, 8), "int8", [scale], [zero_point])
    result = writer.tensor("out", (1, 8), "int8", [out], [out_zero])
    options = {"options_name": "LeakyReluOptions", "alpha": 0.3} if kind == "LEAKY_RELU" else {}
    writer.operator(kind, [source], [result], **options)
    model = writer.finish([source], [result])
    table = evaluate_chain(read_tflite(model), source, [0])
    every = np.arange(-128, 128, dtype=np.int8)
    np.testing.assert_array_equal(run_reference(model, every.reshape(32, 8)).reshape(-1), table)


def test_a_chain_that_tflm_rejects_is_refused():
    writer = Writer()
    source = writer.tensor("in", (1, 8), "int8", [1.0], [0])
    result = writer.tensor("out", (1, 8), "int8", [0.001], [0])
    writer.operator("HARD_SWISH", [source], [result])
    with pytest.raises(SecateurError, match="HARD_SWISH"):
        evaluate_chain(read_tflite(writer.finish([source], [result])), source, [0])


def test_float_chain_becomes_one_table():
    writer = Writer()
    source = writer.tensor("in", (1, 8), "int8", [0.05], [0])
    real, curved = writer.tensor("real", (1, 8), "float32"), writer.tensor("curved", (1, 8), "float32")
    result = writer.tensor("out", (1, 8), "int8", [0.04], [-100])
    writer.operator("DEQUANTIZE", [source], [real])
    writer.operator("ELU", [real], [curved])
    writer.operator("QUANTIZE", [curved], [result])
    model = writer.finish([source], [result])
    program = lower(read_tflite(model))
    assert [(step.kernel, step.operators) for step in program.steps] == [("lookup", (0, 1, 2))]
    every = np.arange(-128, 128, dtype=np.int8)
    table = evaluate_chain(read_tflite(model), source, [0, 1, 2])
    np.testing.assert_array_equal(run_reference(model, every.reshape(32, 8)).reshape(-1), table)


def refused(writer, inputs, outputs):
    model = writer.finish(inputs, outputs) if inputs else writer.finish()
    with pytest.raises(SecateurError) as caught:
        lower(read_tflite(model))
    return str(caught.value)


def test_unsupported_operator_names_itself_its_tensor_and_what_to_write():
    writer = Writer()
    source = writer.tensor("in", (1, 4), "int8", [0.1], [0])
    result = writer.tensor("my/cumsum", (1, 4), "int8", [1 / 256], [-128])
    writer.operator("CUMSUM", [source], [result])
    message = refused(writer, [source], [result])
    assert "CUMSUM" in message
    assert "my/cumsum" in message
    assert all(kind in message for kind in RULES)


def test_what_to_write_instead():
    """Of an operator that converters emit; the module that it came from is named."""
    writer = Writer()
    source = writer.tensor("in", (1, 4), "int8", [0.1], [0])
    result = writer.tensor("pkg.Policy/pkg.Encoder_encoder/pkg.Curve_curve;", (1, 4), "int8", [0.1], [0])
    writer.operator("GELU", [source], [result])
    message = refused(writer, [source], [result])
    assert "(from encoder/curve)" in message
    assert "sigmoid(1.702 x)" in message


def test_weights_of_minus_128_have_a_kernel_of_their_own():
    for value, kernels in ((-127, ["fully_connected", "conv"]), (-128, ["conv_wide", "conv_wide"])):
        values = np.full((6, 8), value)
        net = Net(np.random.default_rng(1), (1, 8))
        net.dense(6, values)
        image = Net(np.random.default_rng(1), (1, 2, 2, 8))
        image.conv(6, (1, 1), values=values.reshape(6, 1, 1, 8))
        found = [lower(read_tflite(one.finish())).steps[0].kernel for one in (net, image)]
        assert found == kernels


def test_truth_values_are_no_output():
    writer = Writer()
    source = writer.tensor("in", (1, 4), "int8", [0.1], [0])
    result = writer.tensor("truth", (1, 4), "bool")
    writer.operator("GREATER", [source, source], [result], "GreaterOptions")
    assert "is bool" in refused(writer, [source], [result])


@pytest.mark.parametrize(
    ("kind", "change", "seen"),
    [
        ("DEPTHWISE_CONV_2D", {"depthMultiplier": 2}, "has weights"),
        ("DEPTHWISE_CONV_2D", {"dilationWFactor": -1}, "dilated"),
    ],
)
def test_options_that_contradict_shapes_are_refused(kind, change, seen):
    net = Net(np.random.default_rng(0), (1, 6, 6, 4))
    net.depthwise((3, 3))
    for name, value in change.items():
        setattr(net.writer.operators[0].builtinOptions, name, value)
    assert seen in refused(net, None, None)


@pytest.mark.parametrize(
    ("dtype", "kind"), [(dtype, kind) for dtype in TFLM_LACKS for kind in TFLM_LACKS[dtype]]
)
def test_what_tflm_lacks_in_a_type_is_said(dtype, kind):
    writer = Writer()
    scale = ([0.1], [0]) if dtype == "int16" else ()
    source, other = (writer.tensor(name, (1, 4), dtype, *scale) for name in ("in", "two"))
    result = writer.tensor(
        "out", (1, 4), "bool" if kind in ANSWERS else dtype, *(() if kind in ANSWERS else scale)
    )
    two = kind == "DIV" or kind in ANSWERS
    writer.operator(kind, [source, other] if two else [source], [result])
    message = refused(writer, [source, other], [result])
    assert (
        f"{kind} that writes 'out' is not supported where it reads {dtype}, nor does TFLM run it" in message
    )
    assert "Quantise the model to int8" in message or kind == "FLOOR"
    model, inputs = writer.finish([source, other], [result]), np.array([[[-9] * 4], [[9] * 4]], dtype)
    if kind == "GREATER":  # than nothing written yet: the same of less and of more
        assert len(np.unique(run_reference(model, inputs), axis=0)) == 1
    else:
        with pytest.raises((RuntimeError, ValueError)):
            run_reference(model, inputs)


@pytest.mark.parametrize(
    ("values", "shape", "seen"),
    [
        (
            [1, 2, 3, 4],
            (1, 4),
            "ABS ends in float32, read by MUL, which reads 'k', a constant of several values",
        ),
        ([2], (2, 4), "ABS ends in float32, read by MUL, which changes the number of elements"),
        (None, (1, 4), "ABS ends in float32, an output of the graph"),
    ],
)
def test_why_a_chain_is_no_table(values, shape, seen):
    """What is dequantised may go on in float32; what no operator of int8 writes may not."""
    for first in ("ABS", "DEQUANTIZE"):
        writer = Writer()
        source, real = (
            writer.tensor("in", (1, 4), "int8", [0.1], [0]),
            writer.tensor("real", (1, 4), "float32"),
        )
        result = writer.tensor("out", shape, "float32")
        writer.operator(first, [source], [real])
        if values is not None:
            constant = writer.tensor("k", np.shape(values), "float32", data=values)
            writer.operator("MUL", [real, constant], [result], "MulOptions")
        outputs = [real if values is None else result]
        if first == "ABS":
            assert seen in refused(writer, [source], outputs)
        elif shape == (1, 4):
            kernels = [step.kernel for step in lower(read_tflite(writer.finish([source], outputs))).steps]
            assert kernels == ["convert_float", "pair_float"][: 1 + (values is not None)]


def test_a_chain_that_changes_the_number_of_elements_is_refused():
    writer = Writer()
    source, result = (
        writer.tensor("in", (1, 4), "int8", [0.1], [0]),
        writer.tensor("out", (1, 8), "int16", [0.1], [0]),
    )
    writer.operator("ABS", [source], [result])
    assert "changes the number of elements" in refused(writer, [source], [result])


def test_types_do_not_mix_without_a_conversion():
    writer = Writer()
    source, other = writer.tensor("in", (1, 4), "int16", [0.1], [0]), writer.tensor("two", (1, 4), "float32")
    result = writer.tensor("out", (1, 4), "int16", [0.1], [0])
    writer.operator("ADD", [source, other], [result], "AddOptions")
    message = refused(writer, [source, other], [result])
    assert "'two' is float32" in message
    assert "QUANTIZE between them" in message


@pytest.mark.parametrize("kind", ["ADD", "GREATER"])
def test_a_constant_is_of_the_type_of_what_it_meets(kind):
    writer = Writer()
    source = writer.tensor("in", (1, 4), "int8", [0.1], [0])
    other = writer.tensor("k", (1, 4), "int16", [0.1], [0], np.ones((1, 4)))
    compared = kind == "GREATER"
    result = writer.tensor("out", (1, 4), *(("bool",) if compared else ("int8", [0.1], [0])))
    writer.operator(kind, [other, source], [result], "AddOptions" if not compared else None)
    assert "reads int16 and int8" in refused(writer, [source], [result])


def test_truth_values_are_read_by_a_choice_alone():
    writer = Writer()
    source, result = (writer.tensor(name, (1, 4), "int16", [0.1], [0]) for name in ("in", "out"))
    real, truth = writer.tensor("real", (1, 4), "float32"), writer.tensor("truth", (1, 4), "bool")
    writer.operator("DEQUANTIZE", [source], [real])
    writer.operator("GREATER", [real, real], [truth])
    writer.operator("QUANTIZE", [truth], [result])
    assert "reads the truth values 'truth'" in refused(writer, [source], [result])


def test_a_network_that_computes_nothing_is_refused():
    writer = Writer()
    source = writer.tensor("in", (1, 4), "int8", [0.1], [0])
    result = writer.tensor("out", (4, 1), "int8", [0.1], [0])
    shape = writer.tensor("shape", (2,), "int32", None, None, [4, 1])
    writer.operator("RESHAPE", [source, shape], [result], "ReshapeOptions", newShape=[4, 1])
    assert "computes something" in refused(writer, [source], [result])


def test_several_vectors_are_pixels():
    writer = Writer()
    source = writer.tensor("in", (2, 4), "int8", [0.1], [0])
    weights = writer.tensor("w", (3, 4), "int8", [0.1], [0], np.ones((3, 4)))
    result = writer.tensor("out", (2, 3), "int8", [0.1], [0])
    writer.operator("FULLY_CONNECTED", [source, weights, -1], [result], "FullyConnectedOptions")
    (step,) = lower(read_tflite(writer.finish([source], [result]))).steps
    assert (step.kernel, step.macs, step.payload.window.target_width) == ("conv", 24, 2)


def test_padding_is_taken_in_by_the_convolution_after_it():
    net = Net(np.random.default_rng(0), (1, 6, 6, 4))
    net.pad([(0, 0), (1, 0), (0, 1), (0, 0)])
    net.conv(8, (3, 3), (2, 2), 1)
    program = lower(read_tflite(net.finish()))
    assert [(step.kernel, step.operators) for step in program.steps] == [("conv", (1, 0))]
    window = program.steps[0].payload.window
    assert (window.above, window.left, window.source_height) == (1, 0, 6)


def test_padding_of_a_wanted_tensor_stays():
    net = Net(np.random.default_rng(0), (1, 6, 6, 4))
    net.pad([(0, 0), (1, 0), (0, 1), (0, 0)])
    padded = net.current
    net.conv(8, (3, 3), (2, 2), 1)
    program = lower(read_tflite(net.finish([net.current, padded])))
    assert [step.kernel for step in program.steps] == ["fill", "move", "conv"]


def test_sums_work_in_place_of_a_source_that_is_done_with():
    net = Net(np.random.default_rng(0), (1, 8))
    two = net.result((1, 8), 1 / 128, 0)
    net.writer.operator("TANH", [net.first], [two])
    total = net.result((1, 8))
    net.writer.operator("ADD", [two, net.first], [total], "AddOptions")
    program = lower(read_tflite(net.finish([total])))
    assert program.steps[1].writes == program.steps[1].reads[:1]


def test_a_dilated_convolution_counts_the_products_that_it_has():
    net = Net(np.random.default_rng(0), (1, 6, 6, 4))
    net.conv(8, (3, 2), dilation=(2, 3))
    (step,) = lower(read_tflite(net.finish())).steps
    assert step.macs == 36 * 8 * 4 * 6
    assert step.parameters == 8 * 4 * 6 + 8 * (step.payload.bias != -1)
    assert (step.payload.window.height, step.payload.window.width) == (5, 4)


def test_size_is_served_by_the_kernels_that_take_anything():
    net = Net(np.random.default_rng(0), (1, 8, 8, 4))
    net.conv(8, (3, 3))
    net.depthwise((3, 3))
    net.depthwise((5, 5))
    network = read_tflite(net.finish())
    quick, small = lower(network), lower(network, Choice("size"))
    assert [step.kernel for step in quick.steps] == ["conv", "depthwise_3x3", "depthwise_rows"]
    assert [step.kernel for step in small.steps] == ["conv_wide", "depthwise_3x3", "depthwise"]
    assert sum(step.weights_bytes for step in small.steps) < sum(step.weights_bytes for step in quick.steps)


@pytest.mark.parametrize(
    ("kind", "zero_point", "scale", "quick", "small"),
    [
        ("QUANTIZE", 5, 0.05, [], []),
        ("RELU", -128, 0.05, [], []),
        ("RELU", 5, 0.05, ["lookup"], ["clamp"]),
        ("RELU6", -128, 0.01, [], []),
        ("RELU6", -128, 0.05, ["lookup"], ["clamp"]),
        ("RELU", 5, 0.06, ["lookup"], ["lookup"]),
    ],
)
def test_a_chain_that_only_cuts_off(kind, zero_point, scale, quick, small):
    """One scale at both ends: TFLM multiplies by one."""
    writer = Writer()
    source = writer.tensor("in", (1, 256), "int8", [0.1], [0])
    middle = writer.tensor("middle", (1, 256), "int8", [min(scale, 0.05)], [zero_point])
    result = writer.tensor("out", (1, 256), "int8", [scale], [zero_point])
    writer.operator("QUANTIZE", [source], [middle])
    ends = writer.tensor("ends", (1, 256), "int8", [min(scale, 0.05)], [zero_point])
    writer.operator("ADD", [middle, middle], [ends], "AddOptions")
    writer.operator(kind, [ends], [result])
    network = read_tflite(writer.finish([source], [result]))
    for optimise, expected in (("speed", quick), ("size", small)):
        assert [step.kernel for step in lower(network, Choice(optimise)).steps][2:] == expected
    table = evaluate_chain(network, 3, (2,))
    if not quick:
        assert (table == np.arange(-128, 128)).all()
    elif small == ["clamp"]:
        cut = lower(network, Choice("size")).steps[2].payload
        assert (table == np.arange(-128, 128).clip(cut.low, cut.high)).all()


@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e-38])
def test_a_quotient_that_the_reference_does_not_define_is_refused(scale):
    """Its shifts would be of more bits than there are."""
    writer = Writer()
    one, two = (writer.tensor(name, (1, 4), "int8", [0.1], [0]) for name in ("one", "two"))
    result = writer.tensor("out", (1, 4), "int8", [scale], [0])
    writer.operator("DIV", [one, two], [result], "DivOptions")
    assert "steps of its output" in refused(writer, [one, two], [result])


@pytest.mark.parametrize("shape", [(1, 3), (2, 3), (4, 3), (3, 2), (1, 3, 1)])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_product_writes_no_more_than_its_result_has(dtype, shape):
    """A fully connected layer of two activations: its kernel writes as many vectors as it reads."""
    writer, scale = Writer(), ([0.1], [0]) if dtype == "int8" else ()
    one, two = (writer.tensor(name, (3, 4), dtype, *scale) for name in ("one", "two"))
    result = writer.tensor("out", shape, dtype, *scale)
    writer.operator("FULLY_CONNECTED", [one, two], [result], "FullyConnectedOptions")
    assert "multiplies (3, 4) by (3, 4)" in refused(writer, [one, two], [result])


@pytest.mark.parametrize("change", ["strideH", "strideW"])
def test_a_convolution_without_steps_is_refused(change):
    net = Net(np.random.default_rng(0), (1, 6, 6, 4))
    net.depthwise((3, 3))
    setattr(net.writer.operators[0].builtinOptions, change, 0)
    assert "a stride of nothing" in refused(net, None, None)
