"""The report of the study: tables between markers of README.md, figures beside it, from whatever jobs are finished."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from corea.config import CascadeConfig
from corea.errors import UserError
from corea.runtime import atomic_write
from study.figures import plot_study
from study.jobs import is_finished
from study.plan import Job, Study
from study.recipes import REFERENCE
from study.systems import RULES, Results, measure_systems, systems_of
from study.tables import ablation_table, difference_table, main_table

TITLES = {
    "llm_accuracy": "By the paper's rule, `llm_accuracy`: the threshold is the LLM's pass@1 on calibration questions",
    "max_drop": "By `max_drop`: at most 2 points below the LLM on new questions, with probability 0.9",
}


def write_report(study: Study, folder: Path, resamples: int = 1000) -> Path:
    """Write the block of this scale into README.md of `folder`, and its figures; returns the path of README.md."""
    results = measure_systems(study, CascadeConfig(name="paper", compare=True, resamples=resamples))
    systems = systems_of(study.recipes)
    figures = plot_study(results.of, systems, folder, study.scale.name) if results.of else {}
    parts = [state(study), *notes(results)]
    for family, measured in results.of.items():
        parts.append(f"#### {study.scale.name}: {family}")
        parts.append(f"![cost and pass@1 of the systems, {family}]({figures[f'pareto_{family}'].name})")
        for rule in RULES:
            parts += [f"{TITLES[rule]}.", main_table(measured, systems, rule)]
        if REFERENCE in measured and (table := difference_table(measured, systems)):
            parts += [f"Differences from {REFERENCE}:", table]
    if "reliability" in figures:
        parts += [f"#### {study.scale.name}: reliability", "Answers of all seeds; the area of a dot is its share."]
        parts.append(f"![reliability diagrams of the small models]({figures['reliability'].name})")
    for ablation in study.ablations:
        if table := ablation_table(study, ablation):
            parts += [f"#### {study.scale.name}: {ablation.title[0].lower()}{ablation.title[1:]}", table]
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else f"# Study at scale {study.scale.name}\n"
    with atomic_write(readme) as path:
        path.write_text(with_block(text, study.scale.name, "\n\n".join(parts)), encoding="utf-8")
    return readme


def markers(name: str) -> tuple[str, str]:
    """The lines around the block of a scale."""
    return f"<!-- results {name}: written by make paper -->", f"<!-- end of results {name} -->"


def with_block(text: str, name: str, block: str) -> str:
    """`text` with the block of a scale replaced, or added at the end.

    Raises:
        UserError: one marker without the other, or out of order.
    """
    begin, end = markers(name)
    inside = f"{begin}\n\n{block}\n\n{end}"
    if begin not in text and end not in text:
        return f"{text.rstrip()}\n\n{inside}\n"
    found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", text, re.DOTALL)
    if found is None or text.count(begin) != 1 or text.count(end) != 1:
        raise UserError(f"README.md: the lines `{begin}` and `{end}` must both stand there once, in this order")
    return text[: found.start()] + inside + text[found.end() :]


def state(study: Study) -> str:
    """Which run the tables are of, and what is missing, in words."""
    jobs = study.jobs()
    done = {job.name for job in jobs if is_finished(job, Path(study.root))}
    steps = study.steps or study.scale.steps
    words = f"**State.** {len(done)} of {len(jobs)} jobs are finished; {steps} training steps"
    if steps < study.scale.steps:
        words += f" instead of {study.scale.steps}: **a shortened run** that shows that the commands work, no result"
    words += f"; {study.seeds} seed{'s' if study.seeds > 1 else ''}"
    if study.extra:
        words += f", with `{' '.join(study.extra)}`"
    lines = [words + "."]
    missing = missing_jobs(jobs, done)
    if missing:
        lines.append(f"Missing: {missing}.")
    return "\n".join(lines)


def missing_jobs(jobs: Sequence[Job], done: set[str]) -> str:
    """Names of the jobs that are not finished, the seeds of one setting together."""
    groups: dict[str, list[str]] = {}
    for job in jobs:
        if job.name not in done:
            setting, _, last = job.name.rpartition("/")
            groups.setdefault(setting, []).append(last.removeprefix("seed"))
    return "; ".join(f"{setting} ({', '.join(seeds)})" for setting, seeds in groups.items())


def notes(results: Results) -> list[str]:
    """Systems that could not be measured."""
    return [f"Not measured: {note}." for note in dict.fromkeys(results.notes)]
