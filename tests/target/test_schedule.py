"""Response times, against a core that is simulated tick by tick."""

from hypothesis import given
from hypothesis import strategies as st

from secateur.records import Part, PartTime, Range
from secateur.target.schedule import late_periods, response_s, with_responses


def through(part, costs, periods):
    """When a part's first job is through, all being due at 0: ticks of a core that runs by rate, then by place."""
    left, order = list(costs), sorted(range(len(costs)), key=lambda i: (periods[i], i))
    for now in range(10_000):
        if now:
            for i in range(len(costs)):
                if now % periods[i] == 0 and periods[i] < periods[part]:
                    left[i] += costs[i]
        for i in order:
            if left[i]:
                left[i] -= 1
                break
        if not left[part]:
            return now + 1
    raise AssertionError


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 30)), min_size=1, max_size=4), st.data())
def test_a_part_is_through_when_a_core_has_run_it(drawn, data):
    costs, periods = zip(*drawn)
    part = data.draw(st.integers(0, len(costs) - 1))
    found = response_s(part, [float(c) for c in costs], [float(t) for t in periods])
    if found <= periods[part]:
        assert found == through(part, costs, periods)
    elif sum(c / t for c, t in drawn) <= 1:
        assert through(part, costs, periods) > periods[part]


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
