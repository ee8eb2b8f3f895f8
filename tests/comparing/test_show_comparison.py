"""The tables of a comparison in the terminal: complete in any width, names of groups readable."""

from io import StringIO

import pytest
from rich.console import Console

from corea.comparing.show_comparison import _tables

METRICS = ["slm/accuracy", "slm/ece", "slm/auroc", "areas/area_gain", "cascade/accuracy_change", "cascade/cost_change"]
CELLS = [f"0.{k}28\n0.{k}84 to 0.{k}71" for k in range(6)]
ROWS = {("trainer.off_policy_steps=0", 3): CELLS, ("trainer.off_policy_steps=1", 3): CELLS}


@pytest.mark.parametrize(("width", "parts"), [(60, 6), (118, 2), (160, 1)])
def test_what_is_too_wide_for_one_table_gets_several(width, parts):
    tables = list(_tables("in_domain", METRICS, ROWS, width))
    assert [str(table.title) for table in tables] == ["in_domain"] + ["in_domain, continued"] * (parts - 1)
    console = Console(width=width, record=True, file=StringIO())
    for table in tables:
        console.print(table)
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("trainer.off_policy_steps=0") == parts
    for text in CELLS:
        assert all(shown.count(piece) >= 2 for piece in text.split("\n"))


def test_a_long_name_takes_several_lines():
    name = "model.path=" + "x" * 60
    (table,) = _tables("d", METRICS[:1], {(name, 1): CELLS[:1]}, 80)
    console = Console(width=80, record=True, file=StringIO())
    console.print(table)
    lines = [line.split()[0] for line in console.export_text().splitlines() if "x" in line or "model" in line]
    assert "".join(lines) == name
