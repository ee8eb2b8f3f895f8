"""The tables of a comparison in the terminal: complete in any width, names of groups readable."""

from io import StringIO

import pytest
from rich.console import Console

from corea.comparing.show_comparison import _tables, part_sizes

METRICS = ["slm/accuracy", "slm/ece", "slm/auroc", "areas/area_gain", "cascade/accuracy_change", "cascade/cost_change"]
CELLS = [f"0.{k}28\n0.{k}84 to 0.{k}71" for k in range(6)]


UNEQUAL = ["0.1", "0.25\n0.1 to 0.9", "-0.5 (-0.2 to 0.3) and more words", "x" * 30, "1", "0.5\n0.4 to 0.6"]


@pytest.mark.parametrize("cells", [CELLS, UNEQUAL], ids=["equal", "unequal"])
def test_no_character_is_lost_in_any_width(cells):
    rows = {("off_policy_steps=0", 3): cells, ("off_policy_steps=1", 3): cells}
    before = len(METRICS)
    for width in range(66, 201):
        console = Console(width=width, record=True, file=StringIO())
        tables = list(_tables("in_domain", METRICS, rows, width))
        for table in tables:
            console.print(table)
        shown = console.export_text()
        assert max(map(len, shown.splitlines())) <= width
        assert "…" not in shown
        assert shown.count("off_policy_steps=0") == len(tables)
        for text in cells:
            assert all(shown.count(piece) >= 2 for piece in text.split("\n")), width
        assert len(tables) <= before
        before = len(tables)
    assert before == 1
    assert [str(t.title) for t in _tables("d", METRICS, rows, 80)][:2] == ["d", "d, continued"]


@pytest.mark.parametrize(
    ("widths", "room", "expected"),
    [([5, 5, 5, 5], 20, [4]), ([5, 5, 5, 5], 15, [2, 2]), ([10, 6, 40, 36], 60, [3, 1]), ([99, 5], 20, [1, 1])],
)
def test_columns_are_shared_out(widths, room, expected):
    assert part_sizes(widths, room) == expected


def test_a_long_name_takes_several_lines():
    name = "model.path=" + "x" * 60
    (table,) = _tables("d", METRICS[:1], {(name, 1): CELLS[:1]}, 80)
    console = Console(width=80, record=True, file=StringIO())
    console.print(table)
    lines = [line.split()[0] for line in console.export_text().splitlines() if "x" in line or "model" in line]
    assert "".join(lines) == name
