"""engine=replay: the answers table from answers that were recorded elsewhere, joined by question id.

Every row of every table must find its partner: what does not is an error that counts and names it. Recorded verdicts
and confidences are used as they are, right or wrong; an answer without a verdict is graded.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from corea.answers.schema import write_answers
from corea.answers.typed_columns import confidences, floats, integers, texts, verdicts
from corea.collecting.answer_rows import Answered, table_rows
from corea.config import PriceConfig
from corea.config.answer_columns import RECORDED_COLUMNS
from corea.config.engine_schema import ReplayEngineConfig
from corea.engines.replay import ReplayEngine
from corea.errors import UserError
from corea.tabular import Columns, read_columns
from corea.types import RETRIES, Completion, Question

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
NAMED = 5
"""Ids that an error names before it only counts."""


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
    """Write `folder`/answers.parquet; returns its rows. Raises UserError where the tables do not fit together."""
    if not cfg.tiers:
        raise UserError("engine.tiers=[]: allowed is one table of recorded answers a tier, the smallest model first")
    tables = [_read_tier(path, cfg.columns) for path in cfg.tiers]
    _check_mapping(cfg, tables)
    questions = _read_questions(cfg) if cfg.questions else _questions_of(tables[0], cfg)
    tiers = [_tier(cfg, number, table) for number, table in enumerate(tables)]
    for tier in tiers:
        _check_join(tier, questions, cfg.questions or cfg.tiers[0])
    if cfg.tokenizer:
        _count_tokens(cfg.tokenizer, tiers, {q.id: q.text for q in questions})
    rows = []
    for tier in tiers:
        answered: list[Answered] = []
        engine = ReplayEngine(tier.samples, model_name=tier.name, texts={})
        for question in questions:
            for sample, completion in enumerate(engine.recorded(question.id, len(tier.samples[question.id]))):
                answered.append(Answered(question=question, sample=sample, completion=completion))
        rows += table_rows(tier, answered)
    write_answers(folder / "answers.parquet", rows, _describe(tiers))
    return pd.DataFrame(rows)


def _read_tier(path: str, columns: dict[str, str]) -> Columns:
    wanted = set(columns.values())
    table = read_columns(path, lambda name: name in wanted)
    if columns["question_id"] not in table.data:
        raise UserError(f"{path}: no column {columns['question_id']}: set engine.columns.question_id; {_has(path)}")
    if not any(columns.get(key) in table.data for key in ("text", "answer", "correct")):
        raise UserError(f"{path}: no column for text, answer or correct: set engine.columns; {_has(path)}")
    return table


def _has(path: str) -> str:
    return f"the file has {', '.join(read_columns(path).data)}"


def _check_mapping(cfg: ReplayEngineConfig, tables: list[Columns]) -> None:
    """A column that the user names must be somewhere."""
    for key, name in cfg.columns.items():
        if name != RECORDED_COLUMNS[key] and not any(name in table.data for table in tables):
            raise UserError(f"engine.columns.{key}={name}: no tier has this column; {_has(cfg.tiers[0])}")


def _read_questions(cfg: ReplayEngineConfig) -> list[Question]:
    assert cfg.questions is not None
    names = cfg.question_columns
    table = read_columns(cfg.questions)
    if names["question_id"] not in table.data:
        raise UserError(f"{cfg.questions}: no column {names['question_id']}; {_has(cfg.questions)}")
    ids = texts(table, names["question_id"], required=True).to_pylist()
    _no_duplicates(cfg.questions, ids)
    values = {
        key: texts(table, names[key]).to_pylist() if names.get(key) in table.data else [None] * len(ids)
        for key in ("question", "gold", "split")
    }
    return [
        _question(cfg, id=i, text=text, gold=gold, split=split)
        for i, text, gold, split in zip(ids, values["question"], values["gold"], values["split"], strict=True)
    ]


def _questions_of(table: Columns, cfg: ReplayEngineConfig) -> list[Question]:
    ids = texts(table, cfg.columns["question_id"], required=True).to_pylist()
    return [_question(cfg, id=i) for i in dict.fromkeys(ids)]


def _question(
    cfg: ReplayEngineConfig, *, id: str, text: str | None = None, gold: str | None = None, split: str | None = None
) -> Question:
    return Question(
        id=id,
        dataset=cfg.dataset,
        source=cfg.dataset,
        split=split or "",
        text=text or "",
        gold=gold or "",
        grader=cfg.grader,
    )


def _tier(cfg: ReplayEngineConfig, number: int, table: Columns) -> RecordedTier:
    """Rows to completions, each with what was recorded beside its text."""
    name = cfg.names[number] if cfg.names else Path(table.path).stem
    names = cfg.columns
    last = number == len(cfg.tiers) - 1
    tier = RecordedTier(
        tier=number,
        name=name,
        path=table.path,
        price=cfg.prices[number] if cfg.prices else PriceConfig(),
        expects_confidence=number == 0 or (not last and _states_confidence(table, names)),
    )
    ids = texts(table, names["question_id"], required=True).to_pylist()
    numbered = names.get("sample") in table.data
    samples = integers(table, names["sample"]).tolist() if numbered else [0] * len(ids)
    _no_duplicates(
        table.path, ids if not numbered else [f"{i} (sample {s})" for i, s in zip(ids, samples, strict=True)]
    )
    completions = _completions(table, names, name)
    for _, i, completion in sorted(zip(samples, ids, completions, strict=True), key=lambda item: item[0]):
        tier.samples.setdefault(i, []).append(completion)
    return tier


def _states_confidence(table: Columns, names: dict[str, str]) -> bool:
    """Whether any answer comes with a confidence; a plain LLM between two others states none and lacks nothing."""
    if names["confidence"] in table.data:
        return True
    written = texts(table, names["text"]).to_pylist() if names["text"] in table.data else []
    return any("<confidence>" in text for text in written if text)


def _completions(table: Columns, names: dict[str, str], model: str) -> list[Completion]:
    def column(key: str, read: Callable[[Columns, str], Any]) -> list[Any]:
        if names.get(key) not in table.data:
            return [None] * len(table)
        values = read(table, names[key])
        listed = values.to_pylist() if hasattr(values, "to_pylist") else values.tolist()
        return [None if v is None or v != v else v for v in listed]

    text, answer = column("text", texts), column("answer", texts)
    correct = [None if v is None else bool(v) for v in column("correct", verdicts)]
    confidence = column("confidence", confidences)
    tokens = {key: column(key, floats) for key in TOKENS}
    retries = {key: column(key, floats) for key in RETRIES}
    latency, cost = column("latency_s", floats), column("cost_usd", floats)
    known = {key for key in ("text", "answer", "correct", "confidence") if names.get(key) in table.data}
    completions = []
    for n in range(len(table)):
        recorded = {"answer": answer[n], "correct": correct[n], "confidence": confidence[n], "cost_usd": cost[n]}
        recorded = {k: v for k, v in recorded.items() if v is not None or (k == "confidence" and k in known)}
        again = {key: int(values[n]) for key, values in retries.items() if values[n] is not None}
        counted = tokens["completion_tokens"][n] is not None
        completions.append(
            Completion(
                text=text[n] or "",
                finish_reason="stop",
                **{key: int(tokens[key][n] or 0) for key in TOKENS},
                latency_s=latency[n] or 0.0,
                model=model,
                extra={"recorded": recorded, "tokens": "recorded" if counted else "unknown", **again},
            )
        )
    return completions


def _no_duplicates(path: str, ids: Iterable[str]) -> None:
    repeated = [i for i, count in Counter(ids).items() if count > 1]
    if repeated:
        raise UserError(f"{path}: {len(repeated)} question ids more than once: {_named(repeated)}")


def _check_join(tier: RecordedTier, questions: list[Question], where: str) -> None:
    """Both ways: an answer without its question, a question without its answer."""
    ids = {q.id for q in questions}
    strangers = [i for i in tier.samples if i not in ids]
    if strangers:
        raise UserError(f"{tier.path}: {len(strangers)} question ids that are not in {where}: {_named(strangers)}")
    lacking = [q.id for q in questions if q.id not in tier.samples]
    if lacking:
        raise UserError(f"{tier.path}: no row for {len(lacking)} of {len(ids)} questions: {_named(lacking)}")


def _named(ids: list[str]) -> str:
    return ", ".join(ids[:NAMED]) + (", …" if len(ids) > NAMED else "")


def _count_tokens(name: str, tiers: list[RecordedTier], prompts: dict[str, str]) -> None:
    """Fill in what was not recorded: tokens of the question and of the text, without any chat template."""
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
            str(t.tier): {"name": t.name, "recorded_in": Path(t.path).name, "sha256": _sha256(t.path)} for t in tiers
        },
        "prices": {str(t.tier): asdict(t.price) for t in tiers},
    }


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
