"""Computers of the Raspberry Pi class: shipped ones load and say how far they can be trusted; work is counted."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_networks import Layer, network

from secateur.errors import SecateurError
from secateur.export.read import read_tflite
from secateur.latency.probes import Pictures, probe_model
from secateur.target.computer import COMPUTER_DTYPES, Computer
from secateur.target.target import list_targets, load_any, load_target
from secateur.target.work import TERMS, Work, work_of

ROOT = Path(__file__).parent.parent.parent
COMPUTERS = [name for name in list_targets() if isinstance(load_any(name), Computer)]


def test_the_raspberry_pis_are_there():
    assert {
        "raspberry-pi-zero-2w",
        "raspberry-pi-3b-plus",
        "raspberry-pi-4b",
        "raspberry-pi-5",
        "linux-aarch64",
    } <= set(COMPUTERS)


@pytest.mark.parametrize("name", COMPUTERS)
def test_shipped_computers(name):
    target = load_any(name)
    assert target.name == name
    assert set(target.latency) == set(COMPUTER_DTYPES)
    assert 0 < target.network_ram_bytes <= target.ram_bytes
    assert target.validity
    for model in target.latency.values():
        assert set(model.seconds) == set(TERMS)
        assert model.source
        if model.points == 0:  # nobody measured it: the interval is wide, and says where it comes from
            assert model.high / model.low >= 5
            assert model.source.startswith("derived")


def test_targets_are_what_the_published_figures_give():
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "fit_published.py"), "--check"], capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


def test_work_of_a_network():
    work = work_of(
        read_tflite(network(6, [Layer(17, activation=1, zero_point=-128), Layer(3, tail=("TANH",))], 0))
    )
    assert (work.dense, work.conv, work.depthwise, work.operators) == (6 * 17 + 17 * 3, 0, 0, 3)
    assert work.weights_bytes == 6 * 17 + 17 * 3 + 4 * (17 + 3)
    assert work.activations_bytes == 17 + 3 + 3
    assert (work.idle, work.taps) == (6 * 15 + 17 * 13, 0)


def test_vectors_of_a_convolution():
    work = work_of(read_tflite(probe_model(Pictures(16, (8, 24), dense=(16,)))))
    assert work.conv == 64 * 9 * 3 * 8 + 16 * 9 * 8 * 24
    assert work.idle == 64 * 9 * 3 * 8 + 16 * 9 * 8 * 8
    assert work.taps == 9 * (64 * 1 + 16 * 2)


amounts = st.integers(0, 10**9)


@settings(deadline=None, max_examples=50)
@given(
    st.builds(Work, amounts, amounts, amounts, amounts, amounts, amounts),
    st.sampled_from(COMPUTER_DTYPES),
    st.integers(1, 4),
)
def test_latency_grows_with_work_and_falls_with_threads(work, dtype, threads):
    target = load_any("raspberry-pi-4b")
    span = target.latency_s(work, dtype, threads)
    assert 0 < span.low <= target.middle_s(work, dtype, threads) <= span.high
    more = dataclasses.replace(work, dense=work.dense + 10**6)
    assert target.middle_s(more, dtype, threads) > target.middle_s(work, dtype, threads)
    assert target.middle_s(work, dtype, threads) >= target.middle_s(work, dtype, 4) * (1 - 1e-12)


def test_far_from_the_fit_the_interval_is_wider():
    target = load_any("raspberry-pi-4b")
    near, far = Work(28, 0, 300_000_000, 0, 0, 0), Work(5, 9000, 0, 0, 9000, 300)
    widths = [span.high / span.low for span in (target.latency_s(w, "float32") for w in (near, far))]
    assert widths[0] < 2.5 < widths[1]


def test_no_c_for_a_computer():
    with pytest.raises(SecateurError, match="raspberry-pi-5 runs"):
        load_target("raspberry-pi-5")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("cores = 4", "core_count = 4"), ("core_count", "Did you mean")),
        (("parallel =", "paralel ="), ("paralel", "Did you mean parallel?")),
        (("threads = 1", "threads = 9"), ("threads is above cores",)),
        (("[latency.int8]", "[latency.int9]"), ("int9",)),
        (("operator =", "operation ="), ("terms are",)),
        (("beyond_low = 0.30", "beyond_low = 0.99"), ("narrower",)),
        (("points = 4", "points = 0"), ("median_error",)),
    ],
)
def test_mistakes_are_named(tmp_path, change, expected):
    text = (ROOT / "targets" / "raspberry-pi-4b.toml").read_text()
    assert change[0] in text
    path = tmp_path / "pi.toml"
    path.write_text(text.replace(*change))
    with pytest.raises(SecateurError) as caught:
        load_any(path)
    assert all(part in str(caught.value) for part in expected), str(caught.value)
