"""Scores of a model in supervised training on the test questions of each family."""

from __future__ import annotations

from corea.config import SftConfig
from corea.engines.local.hf import HFEngine
from corea.tasks.grading import grade_many
from corea.tasks.parsing import is_well_formed, parse_completion
from corea.tasks.prompts import build_messages, get_prompt
from corea.types import Question, Sampling


def test_metrics(engine: HFEngine, questions: dict[str, list[Question]], cfg: SftConfig) -> dict[str, float]:
    """Greedy pass@1 and shares of well-formed completions, answers and confidences on each family's test questions;
    pass@1 also of each source (family/source/pass@1) where a family has several."""
    metrics: dict[str, float] = {}
    for family, rows in questions.items():
        prompts = [build_messages(cfg.model.prompt, q) for q in rows]
        answers = engine.generate(prompts, Sampling(temperature=0.0, max_tokens=cfg.model.max_tokens))
        parsed = [parse_completion(a[0].text, a[0].finish_reason, expect_confidence=False) for a in answers]
        expected = get_prompt(cfg.model.prompt).expects_confidence
        formed = [a[0].finish_reason == "stop" and is_well_formed(a[0].text, expected) for a in answers]
        right = [bool(v.correct) for v in grade_many(rows, parsed)]
        stated = [p.confidence is not None for p in parsed]
        metrics[f"{family}/pass@1"] = sum(right) / len(right)
        metrics |= source_metrics(family, rows, right)
        metrics[f"{family}/format_share"] = sum(formed) / len(formed)
        metrics[f"{family}/answer_share"] = sum(p.answer is not None for p in parsed) / len(parsed)
        metrics[f"{family}/confidence_share"] = sum(stated) / len(stated)
    return metrics


def source_metrics(family: str, rows: list[Question], right: list[bool]) -> dict[str, float]:
    """pass@1 of each source as "family/source/pass@1"; {} for a family with one source."""
    by_source: dict[str, list[bool]] = {}
    for question, correct in zip(rows, right, strict=True):
        by_source.setdefault(question.source, []).append(correct)
    if len(by_source) == 1:
        return {}
    return {f"{family}/{name}/pass@1": sum(oks) / len(oks) for name, oks in by_source.items()}
