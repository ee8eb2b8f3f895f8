"""Tasks of lm-evaluation-harness as a data set: data=lm_eval:TASK, with the task's own filters and metric as grader.

TASK is a task of the package, the path of a task's YAML file, or FOLDER/TASK for a task in a folder of YAML files (the
harness's include_path). The package comes with the extra `lm_eval`. A task may run Python of its own.

A task that generates is judged on the parsed answer: its filters are applied in their order until one finds an answer,
then its metric. For multiple choice the answer names an option, which then counts as the likeliest one.
"""

from __future__ import annotations

import importlib
import os
import string
from functools import lru_cache
from pathlib import Path
from typing import Any

from corea.errors import UserError
from corea.tasks.grading.choices import choice_or_reason
from corea.types import Question

PREFIX = "lm_eval:"
EXTRA = "pip install 'corea[lm_eval]'"
KINDS = ("generate_until", "multiple_choice")
METRICS = ("exact_match", "acc", "acc_norm", "pass@1", "math_verify")
"""Metrics that are verdicts, the first one of a task counts; else its only metric, if that is 0 or 1."""
INVALID = "[invalid]"
"""What the harness's filters return where they find nothing."""
UNLIKELY = -1e9


def lm_eval_rows(name: str) -> list[dict[str, Any]]:
    """Rows of a task's test documents (else its validation documents): question_id, question, gold, lm_eval.

    Raises:
        UserError: the package or the task is missing, or the task neither generates nor has options.
    """
    file = task_file(name.removeprefix(PREFIX))
    task = load_task(file)
    if task.OUTPUT_TYPE not in KINDS or task.multiple_input:
        kind = "several inputs" if task.multiple_input else task.OUTPUT_TYPE
        raise UserError(f"data={name}: is a task of the kind {kind}; allowed is {' or '.join(KINDS)}")
    return [_row(task, file, number, doc) for number, doc in enumerate(task.eval_docs)]


class TaskGrader:
    """The grader of the questions of a task."""

    def __call__(self, question: Question, answer: str) -> bool | None:
        """Whether the task's filters and metric find the answer right; None: they find no answer."""
        where = question.meta["lm_eval"]
        task = load_task(where["file"])
        doc = task.eval_docs[where["doc"]]
        found = _chosen(where["options"], answer) if where["options"] else _filtered(task, doc, answer)
        return None if found is None else _verdict(task.process_results(doc, found))

    def prepare(self, question: Question) -> None:
        """Load the task, which takes longer than a single answer may."""
        load_task(question.meta["lm_eval"]["file"])


grade = TaskGrader()


def task_file(spec: str) -> str:
    """The YAML file of a task; UserError if there is none."""
    path = Path(spec)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UserError(f"data={PREFIX}{spec}: no such file")
        return str(path.resolve())
    manager = _package().TaskManager
    if path.parent != Path() and path.parent.is_dir():
        known, place = manager(include_path=str(path.parent), include_defaults=False), f"folder {path.parent}"
    else:
        known, place = manager(), "lm-evaluation-harness"
    entry = known.task_index.get(path.name)
    if entry is None or entry.yaml_path is None or path.name not in known.all_subtasks:
        shown = ", ".join(known.all_subtasks[:8]) + (", …" if len(known.all_subtasks) > 8 else "")
        what = "is a group; take one of its tasks" if entry is not None else f"no such task in the {place}"
        raise UserError(f"data={PREFIX}{spec}: {what}; allowed is {shown or 'nothing: there is no task'}")
    return str(Path(entry.yaml_path).resolve())


@lru_cache(maxsize=32)
def load_task(file: str) -> Any:
    """The task object of a YAML file."""
    try:
        (task,) = _package().TaskManager(include_defaults=False).load(file)["tasks"].values()
    except Exception as error:  # a task may run any code and load any data set
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(f"data={PREFIX}{file}: cannot be loaded ({line})") from error
    return task


def _package() -> Any:
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    try:
        return importlib.import_module("lm_eval.tasks")
    except ImportError as error:
        raise UserError(f"data={PREFIX}TASK needs lm-evaluation-harness: {EXTRA}") from error


def _row(task: Any, file: str, number: int, doc: dict[str, Any]) -> dict[str, Any]:
    text, options = task.fewshot_context(doc, 0), {}
    target = task.doc_to_target(doc)
    if task.OUTPUT_TYPE == "multiple_choice":
        texts = [str(choice).strip() for choice in task.doc_to_choice(doc)]
        options = dict(zip(string.ascii_uppercase, texts, strict=False))
        if texts != list(options):  # else the question's text holds the options
            text = "\n".join([text, *(f"{letter}. {option}" for letter, option in options.items())])
        gold = ", ".join(_letter(options, value) for value in _listed(target))
    else:
        choices = task.doc_to_choice(doc) if task.config.doc_to_choice is not None else None
        gold = ", ".join(str(choices[v] if choices is not None else v) for v in _listed(target)[:1])
    where = {"file": file, "doc": number, "options": options}
    return {"question_id": f"{task.task_name}-{number}", "question": text, "gold": gold, "lm_eval": where}


def _listed(target: Any) -> list[Any]:
    return list(target) if isinstance(target, list | tuple) else [target]


def _letter(options: dict[str, str], target: Any) -> str:
    if isinstance(target, int):
        return list(options)[target]
    return next((letter for letter, text in options.items() if text == str(target).strip()), str(target))


def _chosen(options: dict[str, str], answer: str) -> list[tuple[float, bool]] | None:
    """Log-likelihood of each option, and whether it would be generated: that of the answer is the highest."""
    letter, _ = choice_or_reason(answer, options)
    return None if letter is None else [(0.0, True) if name == letter else (UNLIKELY, False) for name in options]


def _filtered(task: Any, doc: dict[str, Any], answer: str) -> list[Any] | None:
    """The answer behind the first of the task's filters that finds one."""
    instance = importlib.import_module("lm_eval.api.instance").Instance
    for one in task._filters:
        request = instance(request_type=task.OUTPUT_TYPE, doc=doc, arguments=("", {}), idx=0, resps=[answer])
        one.apply([request])
        found = request.filtered_resps[one.name]
        first = found[0] if isinstance(found, list) and found else found
        if first not in (INVALID, "", None):
            return [found]
    return None


def _verdict(metrics: dict[str, Any]) -> bool:
    name = next((name for name in METRICS if name in metrics), None)
    if name is None and len(metrics) == 1:
        (name,) = metrics
    value = None if name is None else metrics[name]
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if value not in (0, 1):
        raise UserError(
            f"the task's metrics ({', '.join(metrics)}) give no verdict; needed is one of {', '.join(METRICS)}"
        )
    return bool(value)
