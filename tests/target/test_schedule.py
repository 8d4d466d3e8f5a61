"""Response times, against a core that is simulated tick by tick."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.benchmark import schedule
from secateur.records import Measurement, Part, PartTime, Range
from secateur.target.schedule import late_periods, response_s, with_responses


def slowest(costs, periods, count=240):
    """Each part's longest time until it is through, all being due at 0: ticks of a core, by rate, then by place.

    Parts of the shortest period interrupt the others, which run to their end once they have begun. None where one is
    due again before it is through.
    """
    places, left = range(len(costs)), [0] * len(costs)
    longest, begun = [0] * len(costs), None
    order = sorted(places, key=lambda i: (periods[i], i))
    for now in range(count):
        for i in places:
            if now % periods[i] == 0:
                if left[i]:
                    return None
                left[i] = costs[i]
        ready = [i for i in order if left[i]]
        if not ready:
            continue
        running = ready[0]
        if periods[running] > min(periods):
            running = begun = ready[0] if begun is None else begun
        left[running] -= 1
        if not left[running]:
            longest[running] = max(longest[running], now % periods[running] + 1)
            begun = None if begun == running else begun
    return longest


@st.composite
def rates(draw):
    """Costs and periods in ticks: some parts at the control rate, the others at whole fractions of it."""
    control = draw(st.integers(2, 8))
    parts = [
        (draw(st.integers(1, 3)), control),
        *draw(
            st.lists(
                st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 6]).map(control.__mul__)),
                max_size=4,
            )
        ),
    ]
    return zip(*draw(st.permutations(parts)))


@given(rates())
def test_no_part_takes_longer_than_its_response_and_of_two_rates_one_takes_as_long(drawn):
    costs, periods = drawn
    found = [response_s(i, [float(c) for c in costs], [float(t) for t in periods]) for i in range(len(costs))]
    seen = slowest(costs, periods)
    if all(response <= period for response, period in zip(found, periods)):
        assert seen is not None
        assert all(took <= response for took, response in zip(seen, found))
        if len(set(periods)) <= 2:
            assert seen == found
    elif len(set(periods)) == 1:
        assert seen is None


@given(st.integers(2, 20), st.floats(0.01, 0.99), st.floats(0.01, 1.5))
def test_of_two_rates_the_slow_one_keeps_its_own_where_the_core_has_time(period, quick, busy):
    """Periods that divide each other can fill a core to the last."""
    slow = max(0.0, busy - quick) * period
    found = response_s(0, [slow, quick], [float(period), 1.0])
    if abs(busy - 1) > 1e-6 and slow:
        assert (found <= period * (1 + 1e-9)) == (busy < 1)


def test_late_is_the_response_in_whole_control_periods():
    parts = (Part("see", 4), Part("act", 1))
    times = with_responses(
        (
            PartTime("see", 0.04, Range(0.010, 0.012), 0.0),
            PartTime("act", 0.01, Range(0.003, 0.004), 0.0),
        )
    )
    assert [round(t.response_s, 6) for t in times] == [0.020, 0.004]
    assert late_periods(times, parts, 100.0) == {"see": 2}


@given(st.integers(1, 9), st.integers(1, 9))
def test_a_part_that_is_called_several_times_in_a_step_takes_as_long_as_all_of_them(quick, slow):
    parts = (Part("see", 4, calls=slow), Part("act", 1, calls=quick))
    seen = [Measurement("a board", latency_s=Range(0.5e-4, 1e-4))] * 2
    see, act = schedule(list(zip(parts, seen)), 100.0)
    assert (see["latency_s"], act["latency_s"]) == pytest.approx((slow * 1e-4, quick * 1e-4))
    assert (see["utilisation"], act["utilisation"]) == pytest.approx((slow * 25e-4, quick * 1e-2))
    assert see["response_s"] == pytest.approx((slow + quick) * 1e-4)
    assert schedule(list(zip(parts, [seen[0], Measurement("another")])), 100.0) == []
    assert schedule(list(zip(parts, seen)), None) == []
