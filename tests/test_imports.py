"""The imports of every module keep to the table of docs/architecture.md, and files and functions stay short."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
SOURCE = CHECKOUT / "src"
MODULES = sorted(SOURCE.rglob("*.py"))

ALLOWED = {
    "config": (),
    "tasks": (),
    "engines": ("tasks",),
    "answers": (),
    "metrics": (),
    "cascade": ("metrics", "answers"),
    "rl": ("engines", "tasks", "metrics"),
    "sft": ("rl.update", "rl.run", "engines", "tasks"),
    "collecting": ("engines", "tasks", "answers"),
    "evaluation": ("cascade", "metrics", "answers", "tasks.grading"),
    "report": ("evaluation", "cascade", "metrics"),
    "publishing": ("collecting", "tasks"),
    "comparing": ("evaluation", "report", "metrics", "answers"),
    "plan": (),
    "serving": ("cascade", "engines", "tasks", "answers", "collecting"),
    "cluster": ("serving", "collecting", "cascade", "engines", "tasks"),
}
"""Package -> what its modules may import besides themselves, `config` and the common modules."""
VERBS = ("train", "sft", "collect", "evaluate", "answer", "serve", "compare", "publish", "plan")
PUBLIC = ("rewards", "python_api")
"""Modules of the Python interface."""
MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 60


def module_name(path: Path) -> str:
    """corea.rl.trainer for src/corea/rl/trainer.py; a package has the name of its folder."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in MODULES}
COMMON = {path.stem for path in (SOURCE / "corea").glob("*.py")} - {*VERBS, *PUBLIC, "__init__"}
"""The modules beside these; they import `config` and one another."""


def imported(source: str, module: str = "corea.x") -> set[str]:
    """Modules of corea that a module's source text imports anywhere, in functions as well."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                folder = module.split(".")[: -node.level]
                base = ".".join([*folder, *([node.module] if node.module else [])])
            found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in NAMES else base for a in node.names}
    return {name for name in found if name.split(".")[0] == "corea"}


def may_import(module: str, other: str) -> bool:
    """Whether the table allows `module` to import `other`, both with their full names."""
    path = module.removesuffix(".__main__").removeprefix("corea").strip(".")
    target = other.removeprefix("corea").strip(".")
    package, goal = path.split(".")[0], target.split(".")[0]
    if path in ("", *VERBS, *PUBLIC) or not target:
        return True
    if package == "config":
        return goal in ("config", "errors")
    if goal in ("config", *COMMON):
        return True
    if package in COMMON:
        return False
    within = any(f"{target}.".startswith(f"{prefix}.") for prefix in ALLOWED[package])
    return within or (goal == package and target != "sft")


def test_every_import_is_one_that_the_table_allows():
    wrong = [
        f"{name} imports {other}"
        for path in MODULES
        for name in [module_name(path)]
        for other in sorted(imported(path.read_text(encoding="utf-8"), name))
        if not may_import(name, other)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "other", "allowed"),
    [
        ("corea.config.roots", "corea.config.checks", True),
        ("corea.config.typed", "corea.errors", True),
        ("corea.config.roots", "corea.runtime", False),
        ("corea.config.roots", "corea.tasks.prompts", False),
        ("corea.evaluation.regrade", "corea.tasks.grading.pool", True),
        ("corea.evaluation.regrade", "corea.tasks.parsing", False),
        ("corea.sft.cold_start", "corea.rl.update.policy", True),
        ("corea.sft.cold_start", "corea.rl.trainer", False),
        ("corea.sft.cold_start", "corea.sft", False),
        ("corea.prices", "corea.config", True),
        ("corea.prices", "corea.engines.build", False),
        ("corea.sft", "corea.report.write_results", True),
        ("corea.train", "corea.rl.trainer", True),
        ("corea.report.plots", "corea.answers.table", False),
    ],
)
def test_the_table_reads_as_meant(module, other, allowed):
    assert may_import(module, other) is allowed


def test_imports_inside_functions_and_relative_ones_are_found():
    lines = ["from corea.rl import trainer", "from ..tasks import parsing", "import corea.app, numpy"]
    source = "def f():\n    " + "\n    ".join(lines)
    assert imported(source, "corea.engines.build") == {"corea.rl.trainer", "corea.tasks.parsing", "corea.app"}


def test_the_page_for_users_shows_the_same_table():
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", (CHECKOUT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    shown = {package: tuple(re.findall(r"`([\w.]+)`", cell)) for package, cell in rows}
    assert shown.pop("config") == ("errors",)
    assert shown == {package: names for package, names in ALLOWED.items() if package != "config"}


@pytest.mark.parametrize("module", ["corea.config", "corea.config.engine_schema", "corea.config.roots"])
def test_the_configuration_loads_no_other_package(module):
    code = f"import sys, {module}; print(sorted(m for m in sys.modules if m.split('.')[0] == 'corea'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[1] for name in ast.literal_eval(done.stdout) if "." in name} <= {"config", "errors"}


def test_a_files_name_occurs_once():
    counts = Counter(path.name for path in MODULES if path.stem not in ("__init__", "__main__"))
    assert [name for name, count in counts.items() if count > 1] == []


def test_no_module_is_long():
    lengths = {module_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_function_is_long():
    long = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    long[f"{module_name(path)}.{node.name}"] = lines
    assert long == {}
