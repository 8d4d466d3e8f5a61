"""Parity and the golden vectors' file."""

from dataclasses import replace

import numpy as np
import pytest

from secateur.errors import SecateurError
from secateur.network import Network, Quantization, Tensor
from secateur.verify.golden import Golden, load_golden, save_golden
from secateur.verify.parity import compare, max_abs_error, mismatched_bytes

NETWORK = Network(
    (
        Tensor("x", (1, 2), "int8", Quantization((0.1,), (0,))),
        Tensor("y", (1, 3), "int8", Quantization((0.5,), (-2,))),
    ),
    (),
    {"x": 0},
    {"y": 1},
)


def golden(n=4):
    rng = np.random.default_rng(0)
    stored = rng.integers(-128, 128, (n, 3)).astype(np.int8)
    return Golden(
        inputs={"x": rng.normal(size=(n, 2)).astype(np.float32)},
        torch={"y": (np.float32(0.5) * (stored.astype(np.float32) + 2)) + np.float32(0.125)},
        quantized_inputs={"x": rng.integers(-128, 128, (n, 2)).astype(np.int8)},
        quantized={"y": stored},
    )


def test_every_hop_is_compared():
    vectors = golden()
    float_outputs = {"y": vectors.torch["y"] + np.float32(0.25)}
    device = {"y": vectors.quantized["y"].copy()}
    device["y"][1, 2] ^= 1
    parity = compare(vectors, float_outputs, device, NETWORK)
    assert parity.vectors == 4
    assert parity.float_max_abs_error == pytest.approx(0.25)
    assert parity.int8_mismatched_bytes == 1
    assert parity.int8_max_abs_error == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("outputs", "seen"), [({"y": 0}, 0.125), ({"y": 0, "state": 9}, 0.125), ({"state": 9}, 9.0)]
)
def test_states_are_no_actions(outputs, seen):
    """Torch and int8 remember each in their own way; but what a network has no other outputs than, counts."""
    base = golden()
    stored, wanted = base.quantized["y"], base.torch["y"]
    vectors = replace(
        base,
        torch={name: wanted + (off and np.float32(off - 0.125)) for name, off in outputs.items()},
        quantized=dict.fromkeys(outputs, stored),
    )
    network = replace(
        NETWORK,
        inputs={"x": 0, "kept": 1},
        outputs=dict.fromkeys(outputs, 1),
        states={"kept": "state"} if "state" in outputs else {},
    )
    parity = compare(vectors, vectors.torch, vectors.quantized, network)
    assert parity.int8_max_abs_error == pytest.approx(seen)


def test_both_bytes_of_an_int16_count():
    assert mismatched_bytes({"y": np.array([0, 256], np.int16)}, {"y": np.array([257, 256], np.int16)}) == 2


def test_nan_is_never_small():
    assert np.isnan(max_abs_error({"y": np.zeros(2)}, {"y": np.array([np.nan, 0])}))
    assert np.isnan(
        max_abs_error({"a": np.zeros(1), "b": np.zeros(1)}, {"a": np.array([np.nan]), "b": np.ones(1)})
    )


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ({"z": np.zeros((4, 3), np.int8)}, "same outputs"),
        ({"y": np.zeros((3, 3), np.int8)}, "same shape"),
        ({"y": np.zeros((4, 3), np.int16)}, "one type"),
    ],
)
def test_what_cannot_be_compared_is_an_error(got, message):
    with pytest.raises(SecateurError, match=message):
        mismatched_bytes(golden().quantized, got)


@pytest.mark.parametrize("starts", [(1,), (0, 4), (0, 3, 2), (0, 2, 2), (-1, 0)])
def test_episodes_begin_in_order(starts):
    with pytest.raises(SecateurError, match="episodes in order"):
        replace(golden(), starts=starts)


@pytest.mark.parametrize("starts", [(), (0,), (0, 1, 3)])
def test_golden_vectors_survive_their_file(tmp_path, starts):
    path = tmp_path / "golden.npz"
    save_golden(replace(golden(), starts=starts), path)
    again = load_golden(path)
    assert again.vectors == 4
    assert again.starts == starts
    for kind in ("inputs", "torch", "quantized_inputs", "quantized"):
        before, after = getattr(golden(), kind), getattr(again, kind)
        assert before.keys() == after.keys()
        for name in before:
            assert before[name].dtype == after[name].dtype
            assert np.array_equal(before[name], after[name])
    assert list(tmp_path.iterdir()) == [path]


def test_a_pickle_is_not_loaded(tmp_path):
    np.savez(tmp_path / "evil.npz", **{"inputs/x": np.array([object()])})
    with pytest.raises(SecateurError, match="plain arrays"):
        load_golden(tmp_path / "evil.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04short", b"something else"])
def test_a_broken_file_is_an_error(tmp_path, content):
    (tmp_path / "golden.npz").write_bytes(content)
    with pytest.raises(SecateurError, match="plain arrays"):
        load_golden(tmp_path / "golden.npz")


def test_a_missing_or_foreign_file_is_an_error(tmp_path):
    with pytest.raises(SecateurError):
        load_golden(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(SecateurError, match="plain arrays"):
        load_golden(tmp_path / "one.npy")
    with pytest.raises(SecateurError, match="plain arrays"):
        load_golden(tmp_path / "other.npz")


def test_rows_must_match():
    with pytest.raises(SecateurError, match="same number of rows"):
        Golden(
            {"x": np.zeros((2, 1))}, {"y": np.zeros((3, 1))}, {"x": np.zeros((2, 1))}, {"y": np.zeros((2, 1))}
        )
    with pytest.raises(SecateurError, match="same number of rows"):
        Golden({}, {}, {}, {})
