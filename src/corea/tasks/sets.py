"""A data set as a source of a mix: the split and the order of its questions.

Training reads the training questions in epochs, each in its own order. Held-out questions come in the order of a
hash of their text, so that a smaller test set is part of a larger one, for every seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from corea.config.data_schema import SPLITS, SourceConfig
from corea.errors import UserError
from corea.tasks.data_files import hub_rows, local_rows, own_rows
from corea.tasks.grading.names import is_own
from corea.tasks.lm_eval_task import PREFIX, lm_eval_rows
from corea.tasks.question_text import data_set_partition, fraction
from corea.tasks.questions import to_questions, top_columns
from corea.tasks.seeds import base_seed
from corea.types import Question


class DataSet:
    """The questions of one source; each split is loaded on first use."""

    def __init__(self, source: SourceConfig, dataset: str):
        self.source = source
        self.dataset = dataset
        self._rows: dict[str, list[Question]] = {}
        self._splits: dict[str, list[Question]] = {}
        self._order = cache(self._shuffled)

    def questions(self, split: str) -> list[Question]:
        """All questions of a split ("pretrain" is "train"), in the order of a hash of their text.

        Raises:
            UserError: the data set cannot be loaded or read, or has no such split.
        """
        split = "train" if split == "pretrain" else split
        if split not in self._splits:
            own = self._own_split(split)
            rows = [] if own is None else self._load(own)
            sides = [q for q in rows if self._side(q, own) == split]
            ordered = sorted(sides, key=lambda q: fraction(q.text, "order"))
            limit = self.source.limit if split == "train" else None
            self._splits[split] = [replace(q, split=split) for q in ordered[:limit]]
        return self._splits[split]

    def keep(self, questions: Sequence[Question]) -> None:
        """Restrict training to these questions."""
        self._splits["train"] = list(questions)

    def question(self, position: int, split: str, seed: int) -> Question | None:
        """Question number `position` of the split; None after the last question of a held-out split."""
        questions = self.questions(split)
        if split != "train" and split != "pretrain":
            return questions[position] if position < len(questions) else None
        if not questions:
            raise UserError(f"data source {self.source.name}: no questions to train on; see its splits and filters")
        epoch, place = divmod(position, len(questions))
        question = questions[self._order(split, seed, epoch, len(questions))[place]]
        return replace(question, split=split)

    def _shuffled(self, split: str, seed: int, epoch: int, size: int) -> list[int]:
        order = list(range(size))
        random.Random(base_seed(seed, split, f"{self.source.name}/epoch {epoch}")).shuffle(order)
        return order

    def _side(self, question: Question, own: str | None) -> str:
        """Split of a question, among the splits that the data set's split `own` supplies."""
        sharing = [s for s in SPLITS if self._own_split(s) == own]
        if len(sharing) == 1:
            return sharing[0]
        if "train" in sharing:
            side = data_set_partition(question.text)
            return side if side in sharing else "train"
        share = self.source.calibration_share
        if "validation" in sharing and fraction(question.text, "validation") < share:
            return "validation"
        rest = [s for s in sharing if s != "validation"]
        return rest[0] if len(rest) == 1 or fraction(question.text, "side") < share else rest[1]

    def _own_split(self, split: str) -> str | None:
        """The data set's split that supplies `split`, or None."""
        if split == "validation" and split not in self.source.splits:
            split = "train"
        return self.source.splits.get(split)

    def _load(self, own: str) -> list[Question]:
        if own not in self._rows:
            where, rows = self._read(own)
            self._rows[own] = to_questions(self.source, rows, dataset=self.dataset, where=where)
        return self._rows[own]

    def _read(self, own: str) -> tuple[str, list[dict[str, Any]]]:
        """(origin, for messages; rows) of one of the data set's own splits."""
        source = self.source
        columns = top_columns(source)
        if source.path is None:
            assert source.hub is not None
            rows = hub_rows(source.hub, own, source.subset, source.revision, columns, source.name)
            return f"{source.hub} ({own})", rows
        if source.path.startswith(PREFIX):
            return source.path, lm_eval_rows(source.path)
        if is_own(source.path):
            return source.path, own_rows(source.path, own, source.name)
        return source.path, local_rows(source.path, own, source.subset, columns)
