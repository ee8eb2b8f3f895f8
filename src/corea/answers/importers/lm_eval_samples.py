"""samples_*.jsonl of lm-evaluation-harness (`--log_samples`): one object per document and filter.

Multiple choice: the answer is the option with the highest log-likelihood, and its softmax among all options is the
confidence. Of several filters the one that fails to extract the fewest answers is taken; its verdicts do not matter.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import number, part, plain_text, verdict, verdict_name
from corea.tabular import read_rows, table_stem
from corea.tabular_text import refuse

TOOL = "lm-evaluation-harness samples"
INVALID = "[invalid]"
"""What its filters write where they find no answer."""
PREFERRED = ("acc", "exact_match")
NO_METRIC = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}


def detect(source: Source) -> bool:
    return bool(source.rows) and {"doc_id", "resps", "filtered_resps"} <= source.rows[0].keys()


def read(source: Source, pick: str | None) -> Imported:
    """`pick` names a filter, a metric, or both as "filter/metric"."""
    records = read_rows(source.path)
    filters = list(dict.fromkeys(str(r.get("filter", "none")) for r in records))
    chosen, metric, notes = _filter(source, records, filters, pick)
    kept = [r for r in records if str(r.get("filter", "none")) == chosen]
    names = list(dict.fromkeys(n for r in kept for n in r.get("metrics") or r if n not in NO_METRIC))
    values = {n: [r.get(n) for r in kept] for n in names if not n.endswith("_hash")}
    metric = verdict_name(source.path, values, PREFERRED, metric, "metric")
    choices = bool(kept) and _likelihoods(kept[0]) is not None
    rows = [_row(r, metric, choices) for r in kept]
    repeats = sum(len(part(r, "resps.0") or []) > 1 for r in kept) if not choices else 0
    if repeats:
        notes.append(f"of {repeats} documents with repeats the first response is the text")
    model, task = _model_and_task(source)
    where = f"{metric}" + (f" (filter {chosen})" if len(filters) > 1 else "")
    taken = {"question_id": "doc_id", "text": "resps", "answer": "filtered_resps", "correct": where, "gold": "target"}
    if choices:
        taken |= {"text": "the likeliest option", "confidence": "softmax of the log-likelihoods"}
        del taken["answer"]
    rows = [{**r, "model": model, "dataset": task} for r in rows]
    return Imported(tool=TOOL, rows=rows, raw=kept, taken=taken, notes=notes)


def _model_and_task(source: Source) -> tuple[str, str | None]:
    """The model from the folder ORG__MODEL that the tool makes, and the task from samples_TASK_DATE; else the file."""
    folder, stem = source.path.resolve().parent.name, table_stem(source.path)
    dated = re.fullmatch(r"samples_(.+)_\d{4}-\d\d-\d\dT[\d\-.:]+", stem)
    if "__" in folder:
        return folder.replace("__", "/"), dated[1] if dated else None
    return dated[1] if dated else stem.removeprefix("samples_"), None


def _filter(
    source: Source, records: list[dict[str, Any]], filters: list[str], pick: str | None
) -> tuple[str, str | None, list[str]]:
    """Filter, metric (None: not picked) and remarks."""
    if pick is not None:
        name, _, metric = pick.partition("/")
        if name in filters:
            return name, metric or None, []
        if len(filters) > 1 and not any(name in r for r in records):
            raise refuse(source.path, f"pick={pick}: no such filter or metric; filters are {', '.join(filters)}")
    failed = Counter(str(r.get("filter", "none")) for r in records if INVALID in (r.get("filtered_resps") or []))
    chosen = min(filters, key=lambda name: failed[name])
    others = [f"{name} fails on {failed[name]}" for name in filters if name != chosen]
    notes = [f"filter {chosen} extracts the most answers ({', '.join(others)}): pick=FILTER"] if others else []
    return chosen, pick, notes


def _likelihoods(record: dict[str, Any]) -> list[float] | None:
    """[options] log-likelihoods; None where the record holds texts. Newer versions write numbers as texts."""
    pairs = [r[0] if isinstance(r, list) and len(r) == 1 else r for r in record.get("resps") or []]
    if not pairs or not all(isinstance(p, list) and len(p) == 2 and str(p[1]) in ("True", "False") for p in pairs):
        return None
    found = [-math.inf if str(p[0]) in ("-inf", "-Infinity") else number(p[0]) for p in pairs]
    return [v for v in found if v is not None] if None not in found else None


def _arguments(record: dict[str, Any]) -> list[Any]:
    """Requests of a document: [context, continuation], as lists or as gen_args_N objects."""
    given = record.get("arguments")
    if isinstance(given, dict):
        return [[v.get("arg_0"), v.get("arg_1")] if isinstance(v, dict) else v for v in given.values()]
    return given if isinstance(given, list) else []


def _row(record: dict[str, Any], metric: str, choices: bool) -> dict[str, Any]:
    arguments = _arguments(record)
    question = next(
        (t for k in ("question", "query", "problem") if isinstance(t := part(record, f"doc.{k}"), str)), None
    )
    row = {
        "question_id": str(record["doc_id"]),
        "question": question or plain_text(part(arguments, "0.0")),
        "correct": verdict(record.get(metric)),
        "gold": plain_text(record.get("target")),
    }
    likelihoods = _likelihoods(record) if choices else None
    if likelihoods is None:
        answer = plain_text(part(record, "filtered_resps.0"))
        return {
            **row,
            "text": plain_text(part(record, "resps.0.0")) or "",
            "answer": None if answer == INVALID else answer,
        }
    options = [str(part(a, "1") or "").strip() for a in arguments] or [str(i) for i in range(len(likelihoods))]
    best = max(range(len(likelihoods)), key=lambda i: likelihoods[i])
    gold = plain_text(record.get("target")) or ""
    return {
        **row,
        "text": part(options, str(best)) or str(best),
        "answer": part(options, str(best)) or str(best),
        "gold": part(options, gold) if gold.isdigit() and int(gold) < len(options) else gold,
        "confidence": _share(likelihoods, best),
    }


def _share(likelihoods: list[float], best: int) -> float | None:
    """Softmax of the best option; the likelihood itself where there is only one option."""
    top = likelihoods[best]
    if top == -math.inf:
        return None
    if len(likelihoods) == 1:
        return min(math.exp(top), 1.0)
    return 1 / sum(math.exp(value - top) for value in likelihoods)
