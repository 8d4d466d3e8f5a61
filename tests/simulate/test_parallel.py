"""Episodes in several processes: the same to the last bit, and errors come home whole."""

import pytest
from moving import Pendulum

from secateur.errors import SecateurError
from secateur.simulate.disturb import Disturbance
from secateur.simulate.jitter import Jitter
from secateur.simulate.parallel import CALM, Conditions, close_all, episodes, paired, portion_size
from secateur.verify.scores import score

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
    one, two = (paired(sides, SEEDS, processes, score) for processes in (1, 2))
    assert one == two
    assert [each.seed for each, _ in one] == list(SEEDS)
    (alone,) = episodes(Pendulum(hardest=1.0), (52,), ROUGH)
    assert score(alone) == one[12][1]


def test_an_error_of_another_process_comes_home_whole():
    with pytest.raises(SecateurError) as raised:
        episodes(Pendulum(fails="refuses"), SEEDS, CALM, 2)
    assert (raised.value.rule, raised.value.seen, raised.value.remedy) == (
        "a rule",
        "what was seen",
        "The remedy.",
    )


def test_portions_fill_all_lanes():
    for count in (1, 7, 8, 100, 5000):
        for processes in (1, 2, 16):
            assert portion_size(count, processes) % 8 == 0
    assert portion_size(5000, 2) < 2500


def test_progress_ends_with_all_episodes():
    told = []
    episodes(Pendulum(), SEEDS, CALM, 1, score, lambda done, total: told.append((done, total)))
    assert told[-1] == (21, 21)
    assert told == sorted(told)
