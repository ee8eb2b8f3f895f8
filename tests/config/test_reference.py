"""The configuration reference: complete, and equal to what the schemas check."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass

import pytest

import corea.config
from corea.config.reference import SECTIONS, meaning, page
from corea.config.trainer_schema import LossConfig

PARENTS = {
    "EngineConfig",
    "LoggerConfig",
    "ServeWatchConfig",
    "ResultsConfig",
    "AnswersSourceConfig",
    "ComparedRunsConfig",
}
"""Their fields appear in every choice of the group, or in the schema that adds to them."""


def schemas() -> list[type]:
    """Every dataclass of the configuration, found by looking through the modules of schemas."""
    names = [m.name for m in pkgutil.iter_modules(corea.config.__path__) if m.name.endswith("_schema")]
    modules = [importlib.import_module(f"corea.config.{name}") for name in [*names, "roots"]]
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and is_dataclass(value)
    }
    return sorted((schema for schema in found if schema.__name__.endswith("Config")), key=lambda s: s.__name__)


@pytest.mark.parametrize("schema", schemas(), ids=lambda schema: schema.__name__)
def test_every_field_of_every_schema_has_a_meaning_and_a_row(schema):
    assert [field.name for field in fields(schema) if not meaning(schema, field.name)] == []
    if schema.__name__ in PARENTS:
        return
    (section,) = [section for section in SECTIONS if section.schema is schema]
    text = page().split(f"\n## {section.title}\n")[1].split("\n## ")[0]
    prefix = f"{section.path}." if section.path else ""
    keys = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert keys == [prefix + field.name for field in fields(schema)]
    assert all(len(re.split(r"(?<!\\)\|", row)) == 7 for row in text.splitlines() if row.startswith("| `"))


def test_rows_say_what_is_checked():
    rows = page().splitlines()
    (row,) = [row for row in rows if row.startswith("| `trainer.loss.eps_low`")]
    cells = ["`trainer.loss.eps_low`", "float", "`0.2`", "a number > 0"]
    assert row == f"| {' | '.join(cells)} | Lower clip range: ratios are clipped at 1 - eps_low. |"
    with pytest.raises(ValueError, match=r"trainer\.loss\.eps_low=0: allowed is a number > 0"):
        LossConfig(eps_low=0)
    (row,) = [row for row in rows if row.startswith("| `reward.target`")]
    assert "| sample, group, group_loo |" in row
    (row,) = [row for row in rows if row.startswith("| `trainer.best_by`")]
    assert row.startswith("| `trainer.best_by` | str or null | `null` | pass@1, ece, brier, auroc, cascade_area |")
    (row,) = [row for row in rows if row.startswith("| `answers`")]
    assert row.startswith("| `answers` | str | `???` | an existing file or folder |")
    (row,) = [row for row in rows if row.startswith("| `reward.distance`")]
    assert r"l1 \|c-p\|" in row


def test_a_field_whose_default_alone_changes_keeps_its_meaning():
    (section,) = [section for section in SECTIONS if section.title == "`engine=vllm_server`"]
    assert meaning(section.schema, "base_url").startswith("Address of the server")


def test_the_command_prints_the_page():
    done = subprocess.run([sys.executable, "-m", "corea.config.reference"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("# Configuration\n")
    assert done.stdout.strip() == page().strip()
