"""Episodes in several processes: the same to the last bit, and errors come home whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moving import Pendulum

from secateur.errors import SecateurError
from secateur.simulate.disturb import Disturbance
from secateur.simulate.jitter import Jitter
from secateur.simulate.parallel import (
    CALM,
    Conditions,
    Given,
    close_all,
    episodes,
    own_peak_bytes,
    paired,
    portion_size,
)
from secateur.verify.scores import score
from secateur.workers import Processes, ask

SEEDS = tuple(range(40, 61))
ROUGH = Conditions(
    Jitter((0.001, 0.01)),
    (Disturbance("pushes", 0.5), Disturbance("sensor-noise", 0.01), Disturbance("actuator-delay", 0.25)),
)


@pytest.fixture(autouse=True)
def closed():
    yield
    close_all()


def test_one_process_and_two_give_the_same_to_the_last_bit():
    sides = ((Pendulum(), CALM), (Pendulum(hardest=1.0), ROUGH))
    one, two = (paired(sides, SEEDS, workers, score) for workers in (None, Processes(2)))
    assert one == two
    assert [each.seed for each, _ in one] == list(SEEDS)
    (alone,) = episodes(Pendulum(hardest=1.0), (52,), ROUGH)
    assert score(alone) == one[12][1]


def test_an_error_of_another_process_comes_home_whole():
    with pytest.raises(SecateurError) as raised:
        episodes(Pendulum(fails="refuses"), SEEDS, CALM, Processes(2))
    assert (raised.value.rule, raised.value.seen, raised.value.remedy) == (
        "a rule",
        "what was seen",
        "The remedy.",
    )


def test_a_process_that_dies_is_one_error():
    with pytest.raises(SecateurError, match="every process lives until its work is done"):
        episodes(Pendulum(fails="dies"), SEEDS, CALM, Processes(2))


def test_a_policy_that_exits_ends_no_other_process():
    with pytest.raises(RuntimeError, match="SystemExit: 0"):
        episodes(Pendulum(fails="exits"), SEEDS, CALM, Processes(2))


class Away:
    """Workers that note what they are asked for, and do it here."""

    count, tells_which = 2, True

    def __init__(self):
        self.seeds = []

    def ended(self, function, calls):
        for number, call in reversed(list(enumerate(calls))):
            self.seeds += call[2]
            yield number, function(*call)


def test_what_does_not_travel_stays_here():
    opened = Pendulum(hardest=1.0)()
    sides = ((Pendulum(), CALM), (Given(opened.task, opened.controller), ROUGH))
    away = Away()
    told = []
    found = paired(sides, SEEDS, away, score, lambda done, total: told.append((done, total)))
    assert sorted(away.seeds) == sorted(SEEDS)
    assert found == paired(((Pendulum(), CALM), (Pendulum(hardest=1.0), ROUGH)), SEEDS, None, score)
    assert told == sorted(told)
    assert told[-1] == (42, 42)


def test_the_memory_of_a_process_is_its_own_and_not_that_of_who_started_it():
    large = bytearray(b"x" * (512 << 20))
    worker, here = ask(Processes(1), own_peak_bytes), own_peak_bytes()
    assert len(large) < here
    assert 8 << 20 < worker < here - (128 << 20)


@given(st.integers(1, 5000), st.integers(1, 64))
def test_portions_fill_all_lanes_or_leave_no_worker_idle(count, workers):
    size = portion_size(count, workers)
    portions = -(-count // size)
    assert size % 8 == 0 or portions >= min(workers, count) / 2
    assert portions == 1 or count > 8
    assert portions <= 3 * workers


def test_progress_ends_with_all_episodes():
    told = []
    episodes(Pendulum(), SEEDS, CALM, None, score, lambda done, total: told.append((done, total)))
    assert told == [(n, 21) for n in range(1, 22)]
