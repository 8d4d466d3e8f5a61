"""Sweep files: what is read, what is refused and in which words."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.errors import SecateurError
from secateur.sweep import file as sweep_file
from secateur.sweep.file import read_sweep

WHOLE = """
policies = ["tdmpc_cartpole", "balance"]
targets = ["stm32f446re", "boards/mine.toml"]
strategies = ["uniform", "component-aware"]
importance = ["taylor", "l1"]
seeds = [0, 1, 2]
minutes = 30

[[budgets]]
flash = "12KiB"
component = ["encoder.latency=1ms"]
[[budgets]]

[prune]
episodes = 8
"""


def _read(tmp_path, text):
    path = tmp_path / "many.toml"
    path.write_text(text, encoding="utf-8")
    return read_sweep(path)


def test_a_product_has_every_combination_once(tmp_path):
    (tmp_path / "balance").mkdir()
    sweep = _read(tmp_path, WHOLE)
    assert len(sweep.runs) == 2 * 2 * 2 * 2 * 3 * 2
    assert [run.number for run in sweep.runs] == list(range(96))
    asked = {repr(run.request) for run in sweep.runs}
    assert len(asked) == 96
    assert {run.request.policy for run in sweep.runs} == {"tdmpc_cartpole", str(tmp_path / "balance")}
    assert {run.request.target for run in sweep.runs} == {"stm32f446re", str(tmp_path / "boards/mine.toml")}
    assert {run.budget for run in sweep.runs} == {
        "flash 12KiB, encoder.latency=1ms",
        "the board's own",
    }
    assert {run.request.episodes for run in sweep.runs} == {8}
    assert sweep.identity == _read(tmp_path, WHOLE + "\n# a remark\n").identity
    assert sweep.identity != _read(tmp_path, WHOLE.replace("8", "9")).identity


def test_a_list_says_each_run(tmp_path):
    text = """
    [[runs]]
    policy = "a:b"
    target = "rp2040"
    budget = { rate = "1kHz", ram = "2KiB" }
    seed = 7
    [[runs]]
    policy = "a:b"
    target = "rp2350"
    """
    one, two = _read(tmp_path, text).runs
    assert (one.request.seed, one.request.budget.total.ram_bytes, one.request.policy) == (7, 2048, "a:b")
    assert one.request.budget.total.latency_s == pytest.approx(1e-3)
    assert (two.number, two.request.target, two.request.strategy) == (1, "rp2350", "component-aware")


REFUSED = {
    "no such key": ("polices = []", "Did you mean policies?"),
    "no such key of a budget": (
        WHOLE.replace("flash", "falsh"),
        "budgets.0.falsh is unknown. Did you mean flash?",
    ),
    "no such key of prune": (WHOLE.replace("episodes", "episode"), "Did you mean episodes?"),
    "nothing": ("", "policies and targets, or runs"),
    "empty list": ('policies = ["a"]\ntargets = ["b"]\nseeds = []', "asks for 0"),
    "both ways": (WHOLE + '[[runs]]\npolicy = "a"\ntarget = "b"', "not both"),
    "no quantity": (WHOLE.replace("12KiB", "12kb"), "a size is"),
    "twice": ('policies = ["a", "a"]\ntargets = ["b"]', "run 1 asks for the same as run 0"),
    "no seed": ('policies = ["a"]\ntargets = ["b"]\nseeds = ["x"]', "seeds.0"),
    "negative seed": ('[[runs]]\npolicy = "a"\ntarget = "b"\nseed = -1', "runs.0.seed"),
    "no TOML": ("policies = [", "readable TOML"),
    "negative seed of a product": ('policies = ["a"]\ntargets = ["b"]\nseeds = [0, -1]', "seeds.1"),
    "seed too large": (f'policies = ["a"]\ntargets = ["b"]\nseeds = [{1 << 32}]', "seeds.0"),
    "no time": (WHOLE.replace("minutes = 30", "minutes = 0"), "minutes"),
    "too many": (f'policies = ["a"]\ntargets = ["b"]\nseeds = {list(range(100_001))}', "100,001"),
    "nested": ("a = " + "[" * 5000, "readable TOML"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_sweep_is_one_error(tmp_path, text, said, monkeypatch):
    with pytest.raises(SecateurError) as refused:
        _read(tmp_path, text)
    assert said in str(refused.value)


def test_files_that_are_none(tmp_path, monkeypatch):
    with pytest.raises(SecateurError, match="No such file"):
        read_sweep(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SecateurError, match="readable TOML"):
        read_sweep(tmp_path / "bytes.toml")
    monkeypatch.setattr(sweep_file, "MAX_FILE_BYTES", 10)
    with pytest.raises(SecateurError, match="at most 10 bytes"):
        _read(tmp_path, WHOLE)


@given(st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_the_count_is_that_of_the_product(sizes):
    names = ("policies", "targets", "strategies", "importance")
    lists = {name: tuple(f"{name}{n}" for n in range(size)) for name, size in zip(names, sizes)}
    budgets = tuple(sweep_file.BudgetText(flash=f"{n + 1}KiB") for n in range(sizes[4]))
    file = sweep_file.SweepFile.model_construct(
        **lists, budgets=budgets, seeds=tuple(range(sizes[5])), runs=()
    )
    texts = file.texts()
    assert len(texts) == sweep_file._product(file)
    every = itertools.product(*(lists[name] for name in names), budgets, range(sizes[5]))
    assert {(t.policy, t.target, t.strategy, t.importance, t.budget, t.seed) for t in texts} == set(every)
