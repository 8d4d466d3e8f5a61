"""The tables of docs/targets.md say what there is."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tables_are_not_stale(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    from operator_tables import written

    page = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
    assert written(page) == page, "python bench/operator_tables.py --write docs/targets.md"
