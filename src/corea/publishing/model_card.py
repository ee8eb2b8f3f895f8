"""The model card, README.md of a published model: model_card.jinja filled with the figures of the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from corea.errors import UserError
from corea.publishing.card_metadata import metadata_block, number
from corea.publishing.published_run import PublishedRun
from corea.publishing.training_facts import training_facts
from corea.tasks.prompts import get_prompt

SIGNALS = {
    "verbalized": "the one that the model states",
    "expected": "the mean of the confidences that the model could state, weighted by their probabilities",
    "avg_prob": "the mean probability of the answer's tokens",
    "vote": "the share of several answers that agree",
    "probe": "that of a probe on the hidden states",
    "router": "that of a router that reads the question alone",
    "combined": "a logistic stack of the stated confidence and other signals, fitted on calibration questions",
}
COLUMNS = {"accuracy": "pass@1", "ece": "ECE", "auroc": "AUROC", "brier": "Brier", "missing_confidence": "missing"}


def card_text(run: PublishedRun, plots: Sequence[str]) -> str:
    """The whole card. `plots`: names of the images that are published beside it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    metrics, model = run.metrics, run.config["model"]
    signal, primary = str(metrics["signal"]), run.metrics["datasets"][run.metrics["primary"]]
    rule = run.point.get("rule") or {}
    text = pages.get_template("model_card.jinja").render(
        metadata=metadata_block(run),
        title=run.title,
        base_line=_base_line(run),
        version=run.training.get("corea") or metadata.version("corea"),
        signal=SIGNALS.get(signal, f"the signal {signal}"),
        before=primary["slm_before"] is not None,
        level=f"{100 * metrics['level']:g}",
        calibration=calibration_table(metrics),
        plots=list(plots),
        bins=metrics["bins"],
        headline=metrics["headline"],
        cascade=cascade_table(run),
        rule=f"Rule {rule.get('name')}: {rule.get('guarantee') or 'no promise for new questions'}.",
        includes=metrics["intervals_include"],
        advice=metrics["advice"],
        repo=run.address,
        messages=_messages(str(model["prompt"])),
        max_tokens=model["max_tokens"],
        training=_table(("", ""), training_facts(run)),
        license=_license_line(run),
        notes=[*metrics["notes"], *run.notes],
    )
    return text.rstrip() + "\n"


def calibration_table(metrics: dict[str, Any]) -> str:
    """One row per dataset: the small model alone, with the figures before training where there are some."""
    rows = []
    for name, part in metrics["datasets"].items():
        before = part["slm_before"] or {}
        cells = [_change(before.get(key), part["slm"].get(key)) for key in COLUMNS]
        rows.append([name, f"{part['questions']:,}", *cells])
    return _table(("dataset", "questions", *COLUMNS.values()), rows)


def cascade_table(run: PublishedRun) -> str:
    """One row per dataset: the cascade at the operating point, against the large model alone."""
    rows = []
    for name, part in run.metrics["datasets"].items():
        point = (run.point.get("datasets") or {}).get(name) or {}
        thresholds, f = point.get("thresholds"), point.get("expected") or {}
        large = _value(part["llm"]["accuracy"])
        if not thresholds:
            rows.append([name, "none", "–", "–", large, "–", "–"])
            continue
        shown = ", ".join(f"{threshold:.4g}" for threshold in thresholds)
        cells = [_percent(f.get("deferral_rate")), _value(f.get("accuracy")), large]
        rows.append(
            [name, shown, *cells, _percent(f.get("accuracy_change"), True), _percent(f.get("cost_change"), True)]
        )
    unit = "cost" if run.metrics["cost_unit"] == "usd" else "LLM calls"
    heads = (
        "dataset",
        "threshold",
        "deferred",
        "pass@1",
        "LLM alone",
        "pass@1, change in points",
        f"{unit}, change in %",
    )
    return _table(heads, rows)


def _base_line(run: PublishedRun) -> str:
    link = f"[{run.base}](https://huggingface.co/{run.base})" if run.base_on_hub else f"`{run.base}`"
    return f"Base model: {link}."


def _license_line(run: PublishedRun) -> str:
    if run.license is None:
        return f"Unknown; that of the base model `{run.base}` applies."
    return f"`{run.license}`, as the base model `{run.base}`; its terms apply to this model."


def _messages(prompt: str) -> str:
    """Python source of the chat messages of a question."""
    try:
        found = get_prompt(prompt)
    except UserError:  # the user's own prompt, from a file that is not here
        return '[{"role": "user", "content": "…"}]  # the prompt is the author\'s own'
    lines = [{"role": "system", "content": found.system}] if found.system else []
    for asked, answered in found.examples:
        lines += [{"role": "user", "content": found.question.replace("{question}", asked)}]
        lines += [{"role": "assistant", "content": answered}]
    lines.append({"role": "user", "content": found.question.replace("{question}", "YOUR QUESTION")})
    return repr(lines)


def _change(before: Any, now: Any) -> str:
    interval = _interval(now)
    after = f"{_value(now)} ({interval})" if interval else _value(now)
    return f"{_value(before)} → {after}" if number(before) is not None else after


def _value(figure: Any) -> str:
    value = number(figure)
    return "–" if value is None else f"{value:.3f}"


def _interval(figure: Any, scale: float = 1.0, form: str = ".3f") -> str:
    ends = next((v for k, v in figure.items() if k.startswith("ci")), None) if isinstance(figure, dict) else None
    return " to ".join(f"{scale * end:{form}}" for end in ends) if ends and None not in ends else ""


def _percent(figure: Any, signed: bool = False) -> str:
    value, form = number(figure), "+.1f" if signed else ".1f"
    if value is None:
        return "–"
    interval = _interval(figure, 100, form)
    text = f"{100 * value:{form}}" + ("" if signed else " %")
    return f"{text} ({interval})" if interval else text


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars and line breaks in its cells are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
