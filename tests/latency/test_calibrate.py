"""Calibration: the fit finds what was put in, probes are the networks they say, and a device can be fitted."""

import dataclasses
import json
import tomllib
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.export.litert import drawn_inputs, run_signature
from secateur.export.quantize import RECIPES, convert
from secateur.export.read import read_tflite
from secateur.latency import board
from secateur.latency import computer as story
from secateur.latency.computer import errors_of, fit_relative
from secateur.latency.probes import FITTED, HELD_OUT, Pictures, probe_model
from secateur.target.computer import Computer
from secateur.target.target import load_any
from secateur.target.work import TERMS, dtype_of, work_of


@cache
def works(probes):
    return [work_of(read_tflite(probe_model(probe, index))) for index, probe in enumerate(probes)]


def test_no_probe_is_both_fitted_and_held_out():
    assert not set(FITTED) & set(HELD_OUT)
    assert len(FITTED) > 2 * len(TERMS)


def test_every_term_is_in_the_design():
    """Terms that rise and fall together cannot be told apart; these can: the design has full rank."""
    terms = np.array([[work.amounts()[term] for term in TERMS] for work in works(FITTED)])
    assert np.linalg.matrix_rank(terms / terms.max(axis=0)) == len(TERMS)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_fit_finds_costs_through_noise_and_an_odd_probe(seed):
    generator = np.random.default_rng(seed)
    terms = np.array([[work.amounts()[term] for term in TERMS] for work in works(FITTED)])
    costs = np.exp(generator.uniform(-1, 1, len(TERMS))) * [
        5e-7,
        5e-8,
        1e-11,
        1e-11,
        1e-10,
        1e-11,
        1e-9,
        1e-11,
        1e-11,
    ]
    exact = terms @ costs
    measured = exact * generator.uniform(0.98, 1.02, len(exact))
    measured[int(generator.integers(len(exact)))] *= 3
    found = fit_relative(terms, measured)
    assert (found >= 0).all()
    assert errors_of(terms @ found / exact).median < 0.02


@pytest.mark.parametrize("dtype", RECIPES)
@pytest.mark.parametrize("probe", [(5, 12, 3), Pictures(16, (4, 8)), Pictures(16, (4, 8), separable=True)])
def test_probes_are_networks(probe, dtype):
    model = probe_model(probe)
    drawn = drawn_inputs(model, "act", 8)["observation"]
    samples = {"observation": drawn[:, 0]}
    stored = convert(model, dtype, {"act": samples})
    assert dtype_of(read_tflite(stored)) == dtype
    exact, got = (
        run_signature(model, samples, "act")["action"],
        run_signature(stored, samples, "act")["action"],
    )
    assert np.abs(exact - got).max() <= 0.05 * np.abs(exact).max()


def test_a_computer_is_fitted_and_its_file_used(secateur, tmp_path, monkeypatch):
    """The device is played: its calls take what a model of known costs says, so the fit must find it again."""
    costs = dict(zip(TERMS, [6e-7, 5e-8, 2e-11, 1e-11, 1e-10, 1e-11, 8e-10, 1e-11, 2e-11]))

    def played(link, models, effort, share):
        found = []
        for timed in models:
            amounts = work_of(read_tflite(timed.model)).amounts()
            seconds = sum(costs[term] * amount for term, amount in amounts.items())
            found.append({"invoke": {"quiet_s": seconds}, "library": "played", "library_version": "1"})
        machine = {"architecture": "riscv64", "cores": 2, "cpu": 'the "one"', "model": None}
        return {"throttled": None, "machine": machine, "models": found}

    monkeypatch.setattr(story, "time_models", played)
    path = tmp_path / "mine.toml"
    code, out, err = secateur(
        "calibrate", "raspberry-pi-4b", "--device", "host", "--dtype", "int8", "-o", path, "--json"
    )
    assert code == 0, err
    errors = json.loads(out)["errors"]["int8"]
    assert errors["after"]["largest"] < 0.01 < errors["before"]["median"]
    mine, shipped = load_any(path), load_any("raspberry-pi-4b")
    assert isinstance(mine, Computer)
    assert (mine.architecture, mine.cores) == ("riscv64", 2)
    assert mine.latency["float32"] == shipped.latency["float32"]
    work = works(HELD_OUT[:1])[0]
    exact = sum(costs[term] * amount for term, amount in work.amounts().items())
    assert mine.middle_s(work, "int8") == pytest.approx(exact, rel=0.01)
    assert secateur("targets", path)[0] == 0
    code, _, err = secateur("calibrate", "raspberry-pi-4b", "--device", "host", "-o", path)
    assert (code, "is a new .toml" in err) == (1, True)


def test_threads_are_fitted(tmp_path, monkeypatch):
    """The device is played: 70 % of its work is divided, and each operator takes 0.5 µs to divide."""
    costs = dict(zip(TERMS, [6e-7, 5e-8, 2e-11, 1e-11, 1e-10, 1e-11, 8e-10, 1e-11, 2e-11]))

    def played(link, models, effort, share):
        found = []
        for timed in models:
            amounts = work_of(read_tflite(timed.model)).amounts()
            fixed = sum(costs[term] * amounts[term] for term in ("call", "operator"))
            rest = sum(costs[term] * amount for term, amount in amounts.items()) - fixed
            fork_s = 5e-7 * amounts["operator"] * (effort.threads > 1)
            seconds = fixed + rest * (0.3 + 0.7 / effort.threads) + fork_s
            found.append({"invoke": {"quiet_s": seconds}, "library": "played", "library_version": "1"})
        machine = {"architecture": "aarch64", "cores": 8, "cpu": None, "model": "it"}
        return {"throttled": None, "machine": machine, "models": found}

    monkeypatch.setattr(story, "time_models", played)
    link = type("Played", (), {"name": "played"})()
    (fitted, (part,), machine) = story.calibrate_computer(
        load_any("raspberry-pi-4b"), link, ["int8"], lambda *_: None
    )
    assert part.model.parallel == pytest.approx(0.7, abs=0.01)
    assert part.model.fork_s == pytest.approx(5e-7, rel=0.02)
    assert part.threads.threads == story.MOST_THREADS
    assert part.threads.after.largest < 0.05
    assert 0 < part.threads.quicker < part.threads.probes
    small, large = (works(FITTED)[index] for index in (0, 12))
    assert fitted.middle_s(small, "int8", 4) > fitted.middle_s(small, "int8", 1)
    assert fitted.middle_s(large, "int8", 4) < fitted.middle_s(large, "int8", 1)
    path = tmp_path / "it.toml"
    path.write_text(story.computer_toml(fitted, {**machine, "library": "a"}, "it"))
    assert load_any(path).latency == fitted.latency


def test_a_throttled_computer_is_not_fitted(secateur, tmp_path, monkeypatch):
    monkeypatch.setattr(story, "time_models", lambda *_: {"throttled": True})
    arguments = (
        "calibrate",
        "raspberry-pi-4b",
        "--device",
        "host",
        "--dtype",
        "float32",
        "-o",
        tmp_path / "a.toml",
    )
    code, _, err = secateur(*arguments)
    assert (code, "was throttled" in err) == (1, True)
    assert not (tmp_path / "a.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("raspberry-pi-4b", "--device", "emulator"), "a computer is host or ssh"),
        (("stm32f446re", "--device", "host"), "--device emulator"),
        (("stm32f446re", "--device", "serial:/dev/null"), "openocd"),
        (("stm32f446re", "--device", "emulator", "--flash", "true {image}"), "on a serial port"),
        (("stm32f446re", "--device", "emulator", "--dtype", "int8"), "Leave --dtype to computers"),
        (("stm32f446re", "--device", "serial:/dev/null", "--flash", "st-flash"), "where the image is"),
        (("stm32f446re", "--device", "serial:/dev/null", "--flash", "'{image}"), "No closing quotation"),
        (("stm32f446re", "--device", "serial:/dev/null", "--flash", "false {image}"), "false: exit code 1"),
        (("stm32f446re", "--device", "serial:/dev/null", "--flash", "no-such {image}"), "No such file"),
        (("raspberry-pi-4b", "--device", "host", "--dtype", "int4"), "int4"),
        (("raspberry-pi-6", "--device", "host"), "Did you mean"),
    ],
)
def test_mistakes_are_named(secateur, tmp_path, arguments, expected):
    code, _, err = secateur("calibrate", *arguments, "-o", tmp_path / "mine.toml")
    assert code != 0
    assert expected in err


def test_a_board_whose_kernels_take_longer(tmp_path, monkeypatch):
    """Every count doubled: the factors are twice as large, and the file prices networks at twice as much."""
    target = load_any("stm32f446re")
    monkeypatch.setattr(board, "FITTED", board.FITTED[:2])
    monkeypatch.setattr(board, "HELD_OUT", board.HELD_OUT[:1])
    factors, before, after = board.calibrate_board(target, lambda *_: None)
    assert all(abs(factor - 1) < 0.1 for factor in factors.values())
    assert after.largest < 0.05
    doubled = {kernel: 2 * factor for kernel, factor in factors.items()}
    path = tmp_path / "mine.toml"
    path.write_text(board.board_toml(target, "stm32f446re", doubled, after, "a test"))
    mine = load_any(path)
    for kernel, factor in doubled.items():
        for term, value in target.kernels[kernel].instructions.items():
            assert mine.kernels[kernel].instructions[term] == pytest.approx(factor * value, rel=1e-3)
    assert mine.latency == target.latency
    assert dataclasses.asdict(before).keys() == dataclasses.asdict(after).keys()


@pytest.mark.slow
def test_this_machine(secateur, tmp_path):
    """Measured, not played: networks held out are predicted, though other programs may be running here."""
    path = tmp_path / "host.toml"
    arguments = ("calibrate", "linux-aarch64", "--device", "host", "--dtype", "int8", "-o", path, "--json")
    code, out, err = secateur(*arguments)
    assert code == 0, err
    errors = json.loads(out)["errors"]["int8"]
    assert errors["after"]["median"] < errors["before"]["median"]
    assert errors["after"]["median"] <= 0.1


@given(st.text(), st.text())
def test_files_are_whole_whatever_a_target_or_a_command_is_called(description, command):
    target = load_any("stm32f446re").model_copy(update={"description": description})
    text = board.board_toml(target, "stm32f446re", {}, story.Errors(0.1, 0.2, 0.3), command)
    found = tomllib.loads(text)
    assert found["description"] == f"{description}; instructions fitted anew"
    assert found["inherit"] == "stm32f446re"
    assert found.keys() == {"inherit", "description", "fit"}
