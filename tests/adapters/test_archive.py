"""Hostile and damaged files: one clear error, and nothing of them is run."""

import io
import json
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import SB3_DATA, VECTOR, sb3_state, sb3_zip, torch_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.adapters import archive, cleanrl, rsl_rl, sb3, tdmpc2
from secateur.adapters.layers import load_statistics
from secateur.errors import SecateurError

RAN = []


def ran():
    RAN.append(True)


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return ran, ()


@pytest.fixture(autouse=True)
def _nothing_runs():
    yield
    assert not RAN


def refused(path, words, **kwargs):
    with pytest.raises(SecateurError, match=words):
        sb3.load_ppo(path, VECTOR, **kwargs)


def with_state(path, **change):
    return sb3_zip(path, {**sb3_state(), **change})


def test_a_pickle_among_the_weights_is_not_run(tmp_path):
    refused(with_state(tmp_path / "a.zip", extra=Payload()), "tensors and plain data only")
    (tmp_path / "b.zip").write_bytes(pickle.dumps(Payload()))
    refused(tmp_path / "b.zip", "whole zip")
    refused(sb3_zip(tmp_path / "c.zip", **{"policy.pth": pickle.dumps(Payload())}), "torch.save")
    (tmp_path / "model_1.pt").write_bytes(torch_bytes({"model_state_dict": Payload()}))
    with pytest.raises(SecateurError, match="tensors and plain data only"):
        rsl_rl.load_actor_critic(tmp_path / "model_1.pt", activation="elu")


def test_pickles_in_the_json_are_left_alone(tmp_path):
    told = json.loads(SB3_DATA)
    told["clip_range"] = {":serialized:": pickle.dumps(Payload()).hex()}
    told["policy_kwargs"] = {":serialized:": "AAAA", "activation_fn": "<class 'mine.Payload'>"}
    path = sb3_zip(tmp_path / "a.zip", data=json.dumps(told).encode())
    refused(path, "mine.Payload")
    sb3.load_ppo(path, VECTOR, activation="relu")


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sb3, "LARGEST_TEXT_BYTES", 1 << 16)
    monkeypatch.setattr(archive, "LARGEST_BYTES", 1 << 20)
    refused(sb3_zip(tmp_path / "a.zip", data=SB3_DATA + b" " * (1 << 20)), "unpacks to at most 65,536 B")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("archive/data.pkl", b"\0" * (1 << 22))
    refused(sb3_zip(tmp_path / "b.zip", **{"policy.pth": inner.getvalue()}), "unpacks to at most 1,048,576 B")


def test_a_tensor_that_pretends_to_be_large_is_refused(tmp_path):
    refused(with_state(tmp_path / "a.zip", wide=torch.zeros(1).expand(1 << 40)), "all tensors take at most")


def test_names_that_leave_the_folder_are_no_members(tmp_path):
    evil = {"policy.pth": None, "../policy.pth": torch_bytes(sb3_state()), "/policy.pth": b""}
    (tmp_path / "in").mkdir()
    refused(sb3_zip(tmp_path / "in" / "a.zip", **evil), "holds 0")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_members_that_are_there_twice_are_refused(tmp_path):
    path = sb3_zip(tmp_path / "a.zip")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as made:
        made.writestr("policy.pth", torch_bytes(sb3_state(hidden=4)))
    refused(path, "holds 2")


@pytest.mark.parametrize("data", [b"", b"[1]", b"[" * 100_000, b'{"policy_class": 1}', b"\xff"])
def test_json_that_tells_nothing_is_refused(tmp_path, data):
    refused(sb3_zip(tmp_path / "a.zip", data=data), "JSON|class is one of")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"action_net.weight": torch.zeros(2, 9)}, "fit the observation"),
        ({"action_net.weight": torch.zeros(2)}, "PPO's head"),
        ({"action_net.bias": torch.zeros(3)}, r"bias is \[3\]"),
        ({"mlp_extractor.policy_net.2.weight": torch.zeros(8, 9)}, "takes 9 numbers"),
        ({"mlp_extractor.policy_net.5.weight": torch.zeros(8, 8)}, "layer 5"),
        ({"mlp_extractor.policy_net.0.weight": torch.zeros(8, 4)}, "fit the observation"),
        ({"mlp_extractor.policy_net.0.weight": torch.full((8, 5), float("nan"))}, "NaN"),
        ({"mlp_extractor.policy_net.0.running_mean": torch.zeros(8)}, "running_mean"),
        ({"pi_features_extractor.mine.weight": torch.zeros(8)}, "pi_features_extractor.mine"),
    ],
)
def test_layers_of_other_shapes_are_refused(tmp_path, change, words):
    refused(with_state(tmp_path / "a.zip", **change), words)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_damaged_files_give_one_error(tmp_path_factory, data):
    """Cut short or with bytes changed, a file is refused, or what it says is still a policy."""
    folder = tmp_path_factory.mktemp("damaged")
    whole = bytearray(sb3_zip(folder / "a.zip").read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a.zip").write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with suppress(SecateurError):
        sb3.load_ppo(folder / "a.zip", VECTOR)


@given(st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_no_bytes_make_a_loader_raise_anything_else(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "model.pt"
    path.write_bytes(data)
    for load in (
        lambda: sb3.load_sac(path, VECTOR),
        lambda: cleanrl.load_ppo(path, VECTOR, activation="tanh"),
        lambda: rsl_rl.load_actor_critic(path, activation="elu"),
        lambda: tdmpc2.load_world_model(path),
    ):
        with pytest.raises(SecateurError):
            load()


def test_statistics_come_as_arrays_alone(tmp_path):
    (tmp_path / "vec_normalize.pkl").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(SecateurError, match=r"numpy\.savez"):
        load_statistics(tmp_path / "vec_normalize.pkl")
    np.savez(tmp_path / "a.npz", mean=np.array([Payload()], object), var=np.ones(1))
    with pytest.raises(SecateurError, match="mean and var"):
        load_statistics(tmp_path / "a.npz")
    for arrays, words in (
        ({"mean": np.zeros(3)}, "var"),
        ({"mean": np.zeros(3), "var": -np.ones(3)}, "positive"),
        ({"mean": np.zeros(3), "var": np.full(3, np.nan)}, "finite"),
        ({"mean": np.zeros(4), "var": np.ones(4)}, "fit the observation"),
        ({"joints.mean": np.zeros(3), "joints.var": np.ones(3)}, "'joints' is none of observation"),
    ):
        np.savez(tmp_path / "a.npz", **arrays)
        refused(sb3_zip(tmp_path / "a.zip"), words, normalise=tmp_path / "a.npz")


def test_statistics_that_unpack_to_too_much_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", mean=np.zeros(1 << 21), var=np.ones(1 << 21))
    assert (tmp_path / "a.npz").stat().st_size < 1 << 16
    with pytest.raises(SecateurError, match="statistics unpacks to at most 16,777,216 B"):
        load_statistics(tmp_path / "a.npz")


def test_a_member_packed_in_another_way_and_damaged_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as made:
        made.writestr("data", SB3_DATA * 9)
    whole = bytearray((tmp_path / "a.zip").read_bytes())
    whole[30 + len("data") + 9] ^= 0xFF  # behind the local header, the name, and the header of LZMA
    (tmp_path / "a.zip").write_bytes(whole)
    refused(tmp_path / "a.zip", "a whole zip file")


def test_a_checkpoint_of_torchs_older_format_before_a_zip_is_refused(tmp_path):
    """Its sizes are not those that the zip's table states."""
    older = io.BytesIO()
    torch.save(sb3_state(), older, _use_new_zipfile_serialization=False)
    both = older.getvalue() + torch_bytes(sb3_state())
    refused(sb3_zip(tmp_path / "a.zip", **{"policy.pth": both}), "does not begin as a zip")


def test_a_missing_file_is_named(tmp_path):
    refused(Path(tmp_path / "none.zip"), "there is no file")
