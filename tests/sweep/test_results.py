"""The results' file: lands whole, equal for equal sweeps whatever the order, refused where it is another's."""

import sqlite3

import pytest
from errands import BUDGET, summary
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.errors import SecateurError
from secateur.pipeline import PruneRequest
from secateur.sweep.file import Run
from secateur.sweep.one import Outcome
from secateur.sweep.results import FILE, create, look, resume

RUNS = tuple(Run(n, "flash 4KiB", PruneRequest("p", f"b{n % 2}", BUDGET, seed=n)) for n in range(6))
META = {"sweep": "s", "code": "c"}


def _ended(number, status="passed", wall_s=1.0, worker="w"):
    if status in ("passed", "failed"):
        return Outcome(number, status, 0 if status == "passed" else 4, "", summary(number), wall_s, worker)
    return Outcome(number, status, 3 if status == "infeasible" else 1, "why", None, wall_s, worker)


def test_what_landed_is_there_and_what_is_missing_shows(tmp_path):
    results = create(tmp_path, RUNS, META)
    results.add(_ended(0))
    results.add(_ended(1, "infeasible"))
    results.add(_ended(2, "crashed"))
    assert results.finished() == {0, 1}
    assert results.statuses() == {"passed": 1, "infeasible": 1, "crashed": 1}
    results.close()
    rows = look(tmp_path).rows()
    assert [row["status"] for row in rows] == ["passed", "infeasible", "crashed", None, None, None]
    assert (rows[0]["flash_bytes"], rows[0]["return_kept"], rows[1]["message"]) == (1000, 1.0, "why")


@settings(deadline=None, max_examples=5)  # every result is on the disk before the next
@given(
    order=st.permutations(range(6)), broken=st.lists(st.integers(0, 5), max_size=2), seconds=st.floats(0, 1e6)
)
def test_equal_sweeps_have_equal_results(tmp_path_factory, order, broken, seconds):
    plain = create(tmp_path_factory.mktemp("a"), RUNS, META)
    other = create(tmp_path_factory.mktemp("b"), RUNS, META)
    for number in range(6):
        plain.add(_ended(number, "passed" if number % 2 == 0 else "failed"))
    for number in broken:
        other.add(_ended(number, "crashed", seconds, "elsewhere"))
    for number in order:
        other.add(_ended(number, "passed" if number % 2 == 0 else "failed", seconds, "elsewhere"))
    for number in broken:  # a result is not replaced by what a late attempt says
        other.add(_ended(number, "error", seconds))
    assert plain.digest() == other.digest()
    plain.close()
    other.close()


def test_another_sweeps_file_is_not_gone_on_with(tmp_path):
    create(tmp_path, RUNS, META).close()
    resume(tmp_path, META).close()
    with pytest.raises(SecateurError, match="code was c and is now d"):
        resume(tmp_path, {**META, "code": "d"})


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0rubbish", b"x" * 5000])
def test_what_is_no_results_file_is_one_error(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(SecateurError, match=r"results\.sqlite"):
        look(tmp_path).rows()


def test_a_view_in_the_place_of_a_table_is_not_asked(tmp_path):
    create(tmp_path, RUNS, META).close()
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("ALTER TABLE attempts RENAME TO others")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    connection.execute(f"CREATE VIEW attempts AS {endless}")
    connection.close()
    with pytest.raises(SecateurError, match="the view attempts"):
        look(tmp_path)


def test_a_file_from_others_runs_no_code_and_is_not_written_to(tmp_path):
    create(tmp_path, RUNS, META).close()
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("CREATE VIEW extra AS SELECT load_extension('evil')")
    connection.close()
    results = look(tmp_path)
    with pytest.raises(SecateurError):
        results._rows("SELECT * FROM extra")
    with pytest.raises(SecateurError, match="readonly"):
        results.add(_ended(0))
    results.close()
