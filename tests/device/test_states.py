"""States: what a network keeps from one step to the next is, byte for byte, what TFLM is fed back by hand."""

import json

import numpy as np
import pytest
from host_firmware import HostBoard, Noise, build
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from recurrent_policy import rnn
from tflite_micro.python.tflite_micro import runtime
from tflite_networks import Writer

from secateur.device.devices import open_device
from secateur.errors import SecateurError
from secateur.export.quantize import convert
from secateur.export.read import read_tflite
from secateur.export.states import mark_states
from secateur.export.tflite import to_tflite
from secateur.operators.lower import lower
from secateur.target.arena import plan
from secateur.target.cost import price
from secateur.target.target import load_target

TARGET = load_target("stm32f446re")
STEPS = 200
HAS = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.function_scoped_fixture),
)


def step_by_step(model, inputs):
    """Every output of every step of TFLM, states fed back by hand."""
    network = read_tflite(model)
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 17)
    order, answers = list(network.inputs), []
    state = {}
    for name in network.states:
        tensor = network.tensors[network.inputs[name]]
        zero = tensor.quantization.zero_points[0] if tensor.quantization else 0
        state[name] = np.full(tensor.shape, zero, tensor.dtype)
    for step in range(len(next(iter(inputs.values())))):
        for place, name in enumerate(order):
            value = state[name] if name in state else inputs[name][step]
            interpreter.set_input(value.reshape(network.tensors[network.inputs[name]].shape), place)
        interpreter.invoke()
        outputs = {
            name: np.asarray(interpreter.get_output(place)) for place, name in enumerate(network.outputs)
        }
        state = {name: outputs[output].copy() for name, output in network.states.items()}
        answers.append({name: values.reshape(-1).copy() for name, values in outputs.items()})
    return {name: np.array([answer[name] for answer in answers]) for name in answers[0]}


def observations(model, steps=STEPS):
    """Inputs from outside, drawn over their whole range."""
    network, generator = read_tflite(model), np.random.default_rng(0)
    drawn = {}
    for name, tensor in network.external.items():
        entry = network.tensors[tensor]
        limits = np.iinfo(entry.dtype)
        drawn[name] = generator.integers(limits.min, limits.max, (steps, *entry.shape[1:]), entry.dtype)
    return drawn


def check(model, folder, devices=("emulator", "host")):
    inputs = observations(model)
    expected = step_by_step(model, inputs)
    for kind in (*devices, "tflm"):
        device = open_device(kind, model, TARGET, folder / kind)
        first, second = device.run({n: v[:50] for n, v in inputs.items()}), None
        second = device.run({n: v[50:] for n, v in inputs.items()})  # it goes on where it was
        device.reset()
        again = device.run({n: v[:50] for n, v in inputs.items()})
        for name, wanted in expected.items():
            whole = np.concatenate([first[name], second[name]]).reshape(wanted.shape)
            np.testing.assert_array_equal(whole, wanted, f"{kind} {name}")
            np.testing.assert_array_equal(again[name], first[name])
        if kind == "emulator":
            measured = device.measure()
            predicted = price(lower(device.network), TARGET)
            assert predicted.static_ram_bytes == measured.static_ram_bytes
            assert predicted.weights_bytes == measured.weights_bytes
            assert predicted.code_bytes >= measured.code_bytes
            assert predicted.stack_bytes >= measured.stack_bytes
        device.close()
    return expected


def recurrent(policy, dtype):
    """A policy's .tflite with its states, calibrated on numbers that nobody met."""
    generator = np.random.default_rng(0)
    samples = {
        "observation": generator.standard_normal((100, 3)).astype(np.float32),
        "hidden": np.tanh(generator.standard_normal((100, 12))).astype(np.float32),
    }
    made = convert(to_tflite(policy), dtype, {"": samples}, [("", "hidden", "hidden")])
    return mark_states(made, {"hidden": "hidden"})


@pytest.mark.parametrize("dtype", ["int8", "int16x8"])
def test_a_state_of_a_scale_that_nobody_chooses(tmp_path, dtype):
    model = recurrent(rnn(), dtype)
    network = read_tflite(model)
    fed, made = (network.tensors[side["hidden"]] for side in (network.inputs, network.outputs))
    assert fed.quantization == made.quantization
    expected = check(model, tmp_path)
    assert len(np.unique(expected["hidden"], axis=0)) > STEPS // 2


@pytest.mark.parametrize("dtype", ["int8", pytest.param("int16x8", marks=pytest.mark.slow)])
def test_a_gru_through_the_whole_export(tmp_path, secateur, dtype):
    """From the policy to C that CMake builds, and to a benchmark of 200 steps on the emulated core."""
    common = ("--target", TARGET.name, "--dtype", dtype, "-o")
    code, _, said = secateur(
        "export", "recurrent_policy:gru", "--format", "tflite", *common, tmp_path / dtype
    )
    assert code == 0, said
    (path,) = [p for p in (tmp_path / dtype).glob("model.int*.tflite")]
    model = path.read_bytes()
    assert read_tflite(model).states == {"hidden": "hidden"}
    check(model, tmp_path / f"{dtype}.built")
    code, out, _ = secateur(
        "bench", path, "--target", TARGET.name, "--device", "emulator", "--calls", STEPS, "--json"
    )
    found = json.loads(out)
    assert found["parity"] == {"vectors": STEPS, "mismatched_bytes": 0, "reason": None}
    assert found["predicted"]["static_ram_bytes"] == found["measured"]["static_ram_bytes"]
    code, _, _ = secateur("export", path, "--format", "c", "--target", TARGET.name, "-o", tmp_path / "c")
    assert code == 0
    header = next((tmp_path / "c" / "src").glob("model*.h")).read_text()
    assert "_init(void);" in header
    assert "_input_hidden_write" not in header
    for main in ("main.c", "control/main.c"):
        text = (tmp_path / "c" / "example" / main).read_text()
        assert "_init();" in text
        assert "_input_hidden_write" not in text


def chain(feeds, dtype, shift):
    """Three states of four values; outputs that are sums, copies of states and input, and those themselves."""
    writer, scale, zero = Writer(), [0.05], [shift if dtype == "int8" else 0]

    def tensor(name, shape=(1, 4)):
        return writer.tensor(name, shape, dtype, scale, zero)

    x, *states = (tensor(name) for name in ("x", "a", "b", "c"))
    results = [tensor(name) for name in ("y", "z")]
    writer.operator("ADD", [x, states[0]], [results[0]], "AddOptions")
    writer.operator("ADD", [states[1], states[0]], [results[1]], "AddOptions")
    copies = []
    for source in (states[2], states[0], x):
        shape = writer.tensor(f"shape{source}", (2,), "int32", None, None, [1, 4])
        copies.append(tensor(f"copy{source}"))
        writer.operator("RESHAPE", [source, shape], [copies[-1]], "ReshapeOptions", newShape=[1, 4])
    ends = dict(zip("yzcaxABX", (*results, *copies, states[0], states[1], x)))
    model = writer.finish(
        [x, *states],
        list(ends.values()),
        (dict(zip("xabc", (x, *states))), {f"next_{name}": end for name, end in ends.items()}),
    )
    return mark_states(model, {name: f"next_{fed}" for name, fed in zip("abc", feeds)})


@given(
    st.lists(st.sampled_from("yzcaxABX"), min_size=3, max_size=3),
    st.sampled_from(("int8", "int16")),
    st.integers(-20, 20),
)
@example(["z", "A", "c"], "int8", 0)
@settings(HAS, max_examples=4)
def test_any_state_may_be_fed_by_any_output(tmp_path, feeds, dtype, shift):
    check(chain(feeds, dtype, shift), tmp_path, ("host",))


def test_two_states_change_places(tmp_path):
    model = chain("cza", "int8", 5)
    check(model, tmp_path)
    program = lower(read_tflite(model))
    arena = plan(program.buffers)
    places = [arena.offsets[program.inputs[name]] for name in "abc"]
    for buffer, spot in zip(program.buffers, arena.offsets):
        others = [place for place in places if place != spot]
        assert buffer.size_bytes == 0 or not any(place <= spot < place + 4 for place in others)


def test_firmware_keeps_states_over_a_noisy_line(tmp_path):
    model = chain("zyx", "int8", 3)
    inputs = observations(model, 40)
    expected = step_by_step(model, inputs)
    board = HostBoard(build(model, tmp_path), Noise(0.002), 1)
    device = open_device(f"serial:{board.port}", model, TARGET, tmp_path)
    for _ in range(2):
        answers = device.run(inputs)
        for name, wanted in expected.items():
            np.testing.assert_array_equal(answers[name].reshape(wanted.shape), wanted)
        device.reset()
    device.run({name: values[:5] for name, values in inputs.items()})
    board.reset()
    with pytest.raises(SecateurError, match="reset during one"):
        device.run(inputs)
    device.close()
    assert board.close() == 0


def test_float32_needs_no_task(tmp_path, secateur):
    common = ("--target", TARGET.name, "--dtype", "float32", "--format", "tflite")
    code, _, said = secateur("export", "recurrent_policy:rnn", *common, "-o", tmp_path / "model")
    assert code == 0, said
    path = tmp_path / "model" / "model.float32.tflite"
    arguments = ("--target", TARGET.name, "--device", "emulator", "--calls", STEPS, "--json")
    code, out, _ = secateur("bench", path, *arguments)
    found = json.loads(out)
    assert found["parity"] == {"vectors": STEPS, "mismatched_bytes": 0, "reason": None}
    assert found["predicted"]["weights_bytes"] == found["measured"]["weights_bytes"]


def test_a_state_of_two_scales_is_refused():
    writer = Writer()
    x, state = (writer.tensor(name, (1, 4), "int8", [0.1], [0]) for name in ("x", "s"))
    following = writer.tensor("t", (1, 4), "int8", [0.2], [0])
    writer.operator("ADD", [x, state], [following], "AddOptions")
    model = writer.finish([x, state], [following], ({"x": x, "s": state}, {"t": following}))
    with pytest.raises(SecateurError, match=r"(?s)as it came out.*scale 0.1 .*scale 0.2 "):
        lower(read_tflite(mark_states(model, {"s": "t"})))


def test_states_that_there_are_not_are_damage():
    with pytest.raises(SecateurError, match="states"):
        read_tflite(mark_states(chain("yyy", "int8", 0), {"a": "nothing"}))
