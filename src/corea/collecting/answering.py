"""Answer all questions with all tiers; store each chunk when it is finished, and write the tables at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from corea.answers.fit_part import FITTED
from corea.answers.schema import write_answers
from corea.collecting.answer_rows import Answered, describe, table_rows
from corea.collecting.answer_store import Store
from corea.collecting.asking_progress import asking
from corea.collecting.confidence_signals import add_signals, check_signals, note, to_record
from corea.collecting.plan import Tier, asked_of, held_out_questions, is_for_fit, question_key
from corea.config import CollectConfig
from corea.display import say
from corea.engines.build import build_engine
from corea.engines.remote.ledger import Ledger
from corea.errors import Interrupted, UserError
from corea.tasks.grading import unreadable_warning
from corea.tasks.prompts import build_messages
from corea.types import Completion, Engine, Question, Sampling

ANSWERS = "answers.parquet"
BEFORE = "answers_before.parquet"
LEDGER = "spending-{}.jsonl"
"""File beside the answers with the costs of a tier's server calls."""


Answers = Callable[[Tier, Sequence[Question], Path], Iterator[tuple[list[Question], list[list[Completion]]]]]
"""Asks a tier elsewhere: (tier, questions, file of its expenses) -> some questions with their samples, as they come."""


def collect_answers(
    cfg: CollectConfig, tiers: Sequence[Tier], folder: Path, elsewhere: Answers | None = None
) -> pd.DataFrame:
    """Write `folder`/answers.parquet and, with a run, answers_before.parquet; resume an earlier run.

    Args:
        elsewhere: asks a tier; None: its engine runs in this process.

    Returns:
        All rows; those of the model before RL have its own model name.
    """
    questions = held_out_questions(cfg.data)
    if warning := unreadable_warning(questions):
        say(warning)
    answered: dict[str, list[dict[str, Any]]] = {}
    for tier in tiers:
        asked = asked_of(tier, questions, cfg)
        say(f"{tier.name}: {len(asked)} questions, {tier.samples} completion(s) each")
        answers = answer_all(tier, asked, folder / "answers", cfg.chunk, elsewhere)
        rows = table_rows(tier, answers)
        add_signals(tier, answers, rows, cfg.seed)
        if cfg.fit_without_llm:
            rows = [
                {**row, "split": FITTED if is_for_fit(a.question) else row["split"]}
                for a, row in zip(answers, rows, strict=True)
            ]
        answered[tier.label] = rows
    larger = [tier for tier in tiers if tier.tier > 0]
    for file, label in ((ANSWERS, "slm"), (BEFORE, "slm_before")):
        for small in (tier for tier in tiers if tier.label == label):
            rows = [row for tier in (small, *larger) for row in answered[tier.label]]
            write_answers(folder / file, rows, describe([small, *larger]))
    return pd.DataFrame([r for rows in answered.values() for r in rows])


def answer_all(
    tier: Tier, questions: Sequence[Question], folder: Path, chunk: int, elsewhere: Answers | None = None
) -> list[Answered]:
    """The tier's completions of all questions in order; only those that `folder` lacks are generated.

    Raises:
        Interrupted: by the user; finished chunks are kept.
    """
    store = Store(folder, tier)
    try:
        done = [q for q in questions if store.has(question_key(q), tier.samples)]
        _check_prompts(tier, done, [[store.get(question_key(q), 0)] for q in done])
        known = {question_key(q) for q in done}
        open_questions = [q for q in questions if question_key(q) not in known]
        if open_questions and elsewhere is not None:
            _ask_elsewhere(elsewhere, tier, open_questions, store, len(questions))
        elif open_questions:
            _ask(tier, open_questions, store, chunk, len(questions))
        return [
            Answered(question=q, sample=sample, completion=store.get(question_key(q), sample))
            for q in questions
            for sample in range(tier.samples)
        ]
    except KeyboardInterrupt as error:
        kept = sum(store.has(question_key(q), tier.samples) for q in questions)
        raise Interrupted(
            f"{tier.name}: interrupted; {kept} of {len(questions)} questions are answered and kept; the same command "
            "continues from there"
        ) from error
    finally:
        store.close()


def tier_engine(tier: Tier, budget_usd: float | None, ledger: Path | Ledger) -> Engine:
    """The engine of a tier. Paid calls are charged to `ledger`, at most `budget_usd`."""
    return build_engine(
        tier.engine,
        model=tier.path,
        revision=tier.revision,
        dtype=tier.dtype,
        template=tier.template,
        price=tier.price,
        budget_usd=budget_usd,
        ledger=ledger,
    )


def tier_sampling(tier: Tier) -> Sampling:
    """Sampling parameters of a tier that collects."""
    return Sampling(
        temperature=tier.temperature,
        max_tokens=tier.max_tokens,
        n=tier.samples,
        seed=tier.seed,
        record=to_record(tier.signals),
    )


def _ask(tier: Tier, questions: Sequence[Question], store: Store, chunk: int, total: int) -> None:
    """Generate in chunks of similar length, which need little padding, and store each chunk.

    The longest prompts come first, so that a prompt that does not fit fails at once.
    """
    check_signals(tier)
    engine = tier_engine(tier, tier.budget_usd, _ledger(store, tier))
    sampling = tier_sampling(tier)
    ordered = sorted(questions, key=lambda q: len(q.text), reverse=True)
    failed: list[tuple[str, str]] = []
    try:
        spent = lambda: getattr(engine, "spent_usd", None)  # noqa: E731
        with asking(tier.name, total, total - len(questions), spent) as progress:
            for start in range(0, len(ordered), chunk):
                part = ordered[start : start + chunk]
                groups = engine.generate([build_messages(tier.prompt, q) for q in part], sampling, progress.answered)
                note(tier, [completion for group in groups for completion in group])
                stopped = getattr(engine, "stopped", None)
                pairs = zip(part, groups, strict=True)
                store.add((question_key(q), g) for q, g in pairs if stopped is None or not _failed(g))
                _check_prompts(tier, part, groups)  # after they are stored: they may be paid for
                if stopped is not None:
                    raise stopped
                progress.kept(len(part), tokens=sum(c.completion_tokens for g in groups for c in g))
                failed += _errors(part, groups)
    finally:
        engine.close()
    _report(tier, failed)


def _ask_elsewhere(answers: Answers, tier: Tier, questions: Sequence[Question], store: Store, total: int) -> None:
    """Store what `answers` gives, in the order in which it comes; the longest questions are asked first."""
    check_signals(tier)
    ordered = sorted(questions, key=lambda q: len(q.text), reverse=True)
    failed: list[tuple[str, str]] = []
    with asking(tier.name, total, total - len(questions)) as progress:
        for part, groups in answers(tier, ordered, _ledger(store, tier)):
            store.add((question_key(q), g) for q, g in zip(part, groups, strict=True))
            _check_prompts(tier, part, groups)
            progress.kept(len(part), tokens=sum(c.completion_tokens for g in groups for c in g))
            failed += _errors(part, groups)
    _report(tier, failed)


def _ledger(store: Store, tier: Tier) -> Path:
    return store.path.with_name(LEDGER.format(tier.label))


def _report(tier: Tier, failed: Sequence[tuple[str, str]]) -> None:
    if failed:
        named = "; ".join(f"{question}: {error}" for question, error in failed[:3])
        print(f"{tier.name}: {len(failed)} questions failed; the next start tries them again ({named})", flush=True)


def _check_prompts(tier: Tier, questions: Sequence[Question], groups: Sequence[list[Completion]]) -> None:
    for question, group in zip(questions, groups, strict=True):
        tokens = group[0].prompt_tokens
        if tier.max_prompt_tokens is not None and tokens > tier.max_prompt_tokens:
            raise UserError(
                f"question {question.id}: prompt of {tokens} tokens; model.max_prompt_tokens={tier.max_prompt_tokens}"
            )


def _errors(questions: Sequence[Question], groups: Sequence[list[Completion]]) -> list[tuple[str, str]]:
    found = []
    for question, group in zip(questions, groups, strict=True):
        found += [(question.id, c.error) for c in group if c.finish_reason == "error"][:1]
    return found


def _failed(group: list[Completion]) -> bool:
    return any(c.finish_reason == "error" for c in group)
