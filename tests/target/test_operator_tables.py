"""The tables of docs/targets.md say what there is."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tables_are_not_stale():
    script = ROOT / "bench" / "operator_tables.py"
    spec = importlib.util.spec_from_file_location("operator_tables", script)
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    page = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
    assert tables.written(page) == page, f"python {script.relative_to(ROOT)} --write docs/targets.md"
