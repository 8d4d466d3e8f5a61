import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur import units
from secateur.budget import parse_budget
from secateur.errors import SecateurError, UsageError


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.parse_bytes, "12KiB", 12288),
        (units.parse_bytes, "1.5 KiB", 1536),
        (units.parse_bytes, "2.01MB", 2_010_000),
        (units.parse_bytes, "1.001kB", 1001),
        (units.parse_seconds, "2ms", 0.002),
        (units.parse_fraction, "0%", 0.0),
        (units.parse_hertz, "500Hz", 500.0),
        (units.parse_fraction, "5%", 0.05),
        (units.parse_fraction, "0.05", 0.05),
    ],
)
def test_known_quantities(parse, text, value):
    assert parse(text) == pytest.approx(value)


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_usage_error(text):
    for parse in (units.parse_bytes, units.parse_seconds, units.parse_hertz, units.parse_fraction):
        with contextlib.suppress(UsageError):
            assert parse(text) >= 0


@pytest.mark.parametrize(
    "text", ["0KiB", "-1KiB", "12kb", "12", "KiB", "1.3B", "nan", "1e3B", "9" * 400 + "GiB"]
)
def test_bad_sizes(text):
    with pytest.raises(UsageError):
        units.parse_bytes(text)


def test_the_tighter_of_rate_and_latency_holds():
    assert parse_budget(None, None, "1ms", "500Hz", [], "5%").total.latency_s == pytest.approx(0.001)
    assert parse_budget(None, None, "3ms", "500Hz", [], "5%").total.latency_s == pytest.approx(0.002)


def test_component_limits():
    budget = parse_budget(None, None, None, None, ["perception.latency=20ms", "perception.flash=4KiB"], "5%")
    assert budget.components["perception"].flash_bytes == 4096
    assert budget.components["perception"].latency_s == pytest.approx(0.02)
    for text in ("perception=20ms", "perception.weight=1KiB", ".flash=1KiB", "perception.flash"):
        with pytest.raises(SecateurError):
            parse_budget(None, None, None, None, [text], "5%")
