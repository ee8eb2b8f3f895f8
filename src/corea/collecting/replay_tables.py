"""engine=replay: build the answers table from recorded answers of other tools, joined by question id.

Every question needs a row in every table; missing or unknown ids are an error that counts and names them. Recorded
verdicts and confidences are used unchanged; answers without a verdict are graded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from corea.answers.importers.model_tables import ModelTable
from corea.answers.schema import write_answers
from corea.answers.typed_columns import amounts, confidences, integers, texts, verdicts
from corea.collecting.answer_rows import Answered, table_rows
from corea.collecting.imported_tiers import guessed_questions, join_by_position_or_text, read_tiers
from corea.column_hints import mapping_hint, no_confidence
from corea.config import PriceConfig
from corea.config.engine_schema import QUESTION_COLUMNS, ReplayEngineConfig
from corea.display import say
from corea.engines.replay import ReplayEngine
from corea.errors import UserError
from corea.tabular import Columns, read_columns
from corea.tabular_arrow import file_hash
from corea.tabular_text import refuse
from corea.tasks.grading import unreadable_warning
from corea.types import RETRIES, Completion, Outcome, Question

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
TAIL = 40
"""Characters that a message shows of a text, from its end."""
NAMED = 5
"""Maximum number of ids that an error names."""


@dataclass(slots=True, kw_only=True)
class RecordedTier:
    """One table of recorded answers."""

    tier: int
    name: str
    path: str
    price: PriceConfig
    expects_confidence: bool
    percent: bool = False
    samples: dict[str, list[Completion]] = field(default_factory=dict)
    """Question id -> its completions, by sample."""


def replay_answers(cfg: ReplayEngineConfig, folder: Path) -> pd.DataFrame:
    """Write `folder`/answers.parquet; returns its rows. Raises UserError if the tables do not fit together."""
    if not cfg.tiers:
        raise UserError("engine.tiers=[]: allowed is one table of recorded answers a tier, the smallest model first")
    tables = read_tiers(cfg)
    questions = _read_questions(cfg) if cfg.questions else _questions_of(tables[0].columns, cfg)
    for table in tables:
        join_by_position_or_text(table, questions, cfg.questions or cfg.tiers[0])
    tiers = [_tier(cfg, number, table, last=number == len(tables) - 1) for number, table in enumerate(tables)]
    for tier in tiers:
        _check_join(tier, questions, cfg.questions or cfg.tiers[0])
    if cfg.tokenizer:
        _count_tokens(cfg.tokenizer, tiers, {q.id: q.text for q in questions})
    graded = bool(cfg.questions) or not all("correct" in table.columns.data for table in tables)
    if graded and (warning := unreadable_warning(q for q in questions if q.gold)):
        say(warning)
    rows = []
    for tier in tiers:
        answered: list[Answered] = []
        engine = ReplayEngine(tier.samples, model_name=tier.name, texts={})
        for question in questions:
            for sample, completion in enumerate(engine.recorded(question.id, len(tier.samples[question.id]))):
                answered.append(Answered(question=question, sample=sample, completion=completion))
        _check_gradable(cfg, tier, answered)
        rows += _checked(tier, table_rows(tier, answered))
    write_answers(folder / "answers.parquet", rows, _describe(tiers))
    return pd.DataFrame(rows)


def _check_gradable(cfg: ReplayEngineConfig, tier: RecordedTier, answers: list[Answered]) -> None:
    """Raise UserError for an answer that has neither a verdict nor a gold answer."""
    for answer in answers:
        recorded = answer.completion.extra["recorded"]
        if answer.question.gold or "correct" in recorded or not (answer.completion.text or recorded.get("answer")):
            continue
        where = f"{cfg.questions} (engine.question_columns.gold)" if cfg.questions else "engine.questions is not set"
        what = "neither a recorded verdict nor a gold answer to grade by"
        raise refuse(tier.path, f"question {answer.question.id}: {what}: engine.columns.correct; {where}")


def _checked(tier: RecordedTier, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return `rows`; print one line if most texts have no readable answer, and one if there is no confidence."""
    graded = [r for r in rows if r["text"] and r["outcome"] is not None]
    unread = [r for r in graded if r["answer"] is None or r["outcome"] == Outcome.UNPARSED.value]
    if 2 * len(unread) > len(rows):
        first = f"first question {unread[0]['question_id']}: …{' '.join(unread[0]['text'].split())[-TAIL:]}"
        what = f"{len(unread)} of {len(rows)} texts have no readable answer and count as wrong"
        say(f"{tier.path}: {what}; check engine.columns.text and engine.grader; {first}")
    if tier.tier == 0 and all(r["confidence"] is None for r in rows):
        say(no_confidence(tier.path, "engine.columns"))
    return rows


def _read_questions(cfg: ReplayEngineConfig) -> list[Question]:
    assert cfg.questions is not None
    names = cfg.question_columns
    table = read_columns(cfg.questions, lambda name: name in names, names, key=None)
    if "question_id" not in table.data and names == QUESTION_COLUMNS:
        table = guessed_questions(cfg.questions) or table
    for key, name in names.items():
        if key not in table.data and (key == "question_id" or name != QUESTION_COLUMNS[key]):
            raise refuse(
                cfg.questions, f"no column {name}; {mapping_hint([key], table.found, 'engine.question_columns')}"
            )
    ids = texts(table, "question_id", required=True).to_pylist()
    _no_duplicates(cfg.questions, ids)
    keys = ("question", "gold", "split")
    others = [texts(table, key).to_pylist() if key in table.data else [None] * len(ids) for key in keys]
    return [
        _question(cfg, id=i, text=text, gold=gold, split=split)
        for i, text, gold, split in zip(ids, *others, strict=True)
    ]


def _questions_of(table: Columns, cfg: ReplayEngineConfig) -> list[Question]:
    """The questions of the first tier, with what a file of another tool says about them."""
    ids = texts(table, "question_id", required=True).to_pylist()
    keys = ("question", "gold", "dataset")
    others = [texts(table, key).to_pylist() if key in table.data else [None] * len(ids) for key in keys]
    found = {i: rest for i, *rest in zip(ids, *others, strict=True)}
    return [_question(cfg, id=i, text=text, gold=gold, dataset=name) for i, (text, gold, name) in found.items()]


def _question(
    cfg: ReplayEngineConfig,
    *,
    id: str,
    text: str | None = None,
    gold: str | None = None,
    split: str | None = None,
    dataset: str | None = None,
) -> Question:
    name = dataset if dataset and cfg.dataset == ReplayEngineConfig.dataset else cfg.dataset
    return Question(
        id=id,
        dataset=name,
        source=name,
        split=split or "",
        text=text or "",
        gold=gold or "",
        grader=cfg.grader,
    )


def _tier(cfg: ReplayEngineConfig, number: int, recorded: ModelTable, last: bool) -> RecordedTier:
    """The completions of a tier, each with its recorded values."""
    table = recorded.columns
    name = cfg.names[number] if cfg.names else recorded.model or Path(table.path).stem
    tier = RecordedTier(
        tier=number,
        name=name,
        path=table.path,
        price=cfg.prices[number] if cfg.prices else PriceConfig(),
        expects_confidence=number == 0 or (not last and _states_confidence(table)),
    )
    ids = texts(table, "question_id", required=True).to_pylist()
    numbered = "sample" in table.data
    samples = integers(table, "sample").tolist() if numbered else [0] * len(ids)
    _no_duplicates(
        table.path, ids if not numbered else [f"{i} (sample {s})" for i, s in zip(ids, samples, strict=True)]
    )
    completions = _completions(table, name, cfg.confidence_scale)
    for _, i, completion in sorted(zip(samples, ids, completions, strict=True), key=lambda item: item[0]):
        tier.samples.setdefault(i, []).append(completion)
    return tier


def _states_confidence(table: Columns) -> bool:
    """True if any answer has a confidence. A tier without any, e.g. a plain LLM, is not expected to state one."""
    if "confidence" in table.data:
        return True
    written = texts(table, "text").to_pylist() if "text" in table.data else []
    return any("<confidence>" in text for text in written if text)


def _completions(table: Columns, model: str, scale: float) -> list[Completion]:
    def column(key: str, read: Callable[[Columns, str], Any]) -> list[Any]:
        if key not in table.data:
            return [None] * len(table)
        values = read(table, key)
        listed = values.to_pylist() if hasattr(values, "to_pylist") else values.tolist()
        return [None if v is None or v != v else v for v in listed]

    text, answer = column("text", texts), column("answer", texts)
    correct = [None if v is None else bool(v) for v in column("correct", verdicts)]
    confidence = column("confidence", partial(confidences, scale=scale))
    reason, failure = column("finish_reason", texts), column("error", texts)
    tokens = {key: column(key, amounts) for key in TOKENS}
    retries = {key: column(key, amounts) for key in RETRIES}
    latency, cost = column("latency_s", amounts), column("cost_usd", amounts)
    known = {key for key in ("text", "answer", "correct", "confidence") if key in table.data}
    free = {} if "answer" in table.data else {"free_text": True}
    completions = []
    for n in range(len(table)):
        recorded = {"answer": answer[n], "correct": correct[n], "confidence": confidence[n], "cost_usd": cost[n]}
        recorded = {k: v for k, v in recorded.items() if v is not None or (k == "confidence" and k in known)}
        again = {key: int(values[n]) for key, values in retries.items() if values[n] is not None}
        counted = tokens["completion_tokens"][n] is not None
        completions.append(
            Completion(
                text=text[n] or "",
                finish_reason=reason[n] or "stop",
                prompt_tokens=int(tokens["prompt_tokens"][n] or 0),
                cached_tokens=int(tokens["cached_tokens"][n] or 0),
                completion_tokens=int(tokens["completion_tokens"][n] or 0),
                latency_s=latency[n] or 0.0,
                model=model,
                error=failure[n] or "",
                extra={"recorded": recorded, "tokens": "recorded" if counted else "unknown", **again, **free},
            )
        )
    return completions


def _no_duplicates(path: str, ids: Iterable[str]) -> None:
    repeated = [i for i, count in Counter(ids).items() if count > 1]
    if repeated:
        raise refuse(path, f"{len(repeated)} question ids occur more than once: {_named(repeated)}")


def _check_join(tier: RecordedTier, questions: list[Question], where: str) -> None:
    """Raise UserError for answers to unknown questions, and for questions without an answer."""
    ids = {q.id for q in questions}
    strangers = [i for i in tier.samples if i not in ids]
    if strangers:
        raise refuse(tier.path, f"{len(strangers)} question ids that are not in {where}: {_named(strangers)}")
    lacking = [q.id for q in questions if q.id not in tier.samples]
    if lacking:
        raise refuse(tier.path, f"no row for {len(lacking)} of {len(ids)} questions: {_named(lacking)}")


def _named(ids: list[str]) -> str:
    return ", ".join(ids[:NAMED]) + (", …" if len(ids) > NAMED else "")


def _count_tokens(name: str, tiers: list[RecordedTier], prompts: dict[str, str]) -> None:
    """Count tokens that were not recorded: those of the question and of the text, without a chat template."""
    from corea.engines.loading import load_tokenizer

    tokenizer = load_tokenizer(name)

    def length(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False).input_ids)

    for tier in tiers:
        for question_id, completions in tier.samples.items():
            for completion in completions:
                if completion.extra["tokens"] == "unknown" and completion.text:
                    completion.prompt_tokens = length(prompts[question_id])
                    completion.completion_tokens = length(completion.text)
                    completion.extra["tokens"] = f"counted by {name}"


def _describe(tiers: list[RecordedTier]) -> dict[str, Any]:
    return {
        "models": {
            str(t.tier): {"name": t.name, "recorded_in": Path(t.path).name, "sha256": file_hash(t.path)} for t in tiers
        },
        "prices": {str(t.tier): asdict(t.price) for t in tiers},
    }
