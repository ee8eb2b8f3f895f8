"""Held-out questions: the validation, calibration and test splits of a mix, which share no question with each other or
with training."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from corea.config.data_schema import DataConfig
from corea.errors import UserError
from corea.tasks.mixes import Source, family_sources, mix_questions, training_sources
from corea.tasks.question_text import normalise, partition
from corea.tasks.splits import is_procedural
from corea.types import Question

log = logging.getLogger(__name__)

SourceKey = tuple[str, str]
"""(dataset, source) of a question."""


def family_questions(data: DataConfig, family: str, split: str, size: int | None) -> list[Question]:
    """`size` distinct questions (None: all) of the "calibration" or "test" split of a family.

    Raises:
        UserError: its sources have fewer.
    """
    return held_out(family_sources(data, family), split, size, dataset=family, seed=data.seed)


def validation_questions(data: DataConfig, size: int) -> list[Question]:
    """Up to `size` distinct questions of the families in `data.train`, which are in no other split.

    The split of a question follows from its text. A data set's question is also left out if another data set of the
    configuration holds it out for calibration or test.

    Raises:
        UserError: there are none.
    """
    elsewhere = {
        normalise(question.text)
        for family in data.families
        for source in family_sources(data, family)
        if "set" in source
        for split in ("calibration", "test")
        for question in source["set"].questions(split)
    }
    sources = training_sources(data)
    selection = _Selection(sources, size, "validation", elsewhere)
    selection.read(mix_questions(sources, dataset="validation", split="validation", seed=data.seed), "validation")
    questions = selection.questions()
    if not questions:
        names = ", ".join(s["name"] for s in sources)
        raise UserError(f"data: no validation questions in {names}; see splits.validation, or switch validation off")
    if len(questions) < size:
        log.warning("validation: the training sources have %d questions for it, not %d", len(questions), size)
    return questions


def held_out(
    sources: Sequence[Source],
    split: str,
    size: int | None,
    *,
    dataset: str,
    seed: int,
) -> list[Question]:
    """`size` distinct questions of a held-out split, in the proportions of the mix.

    Args:
        size: None: all that there are; allowed if all sources are data sets.

    Raises:
        UserError: the sources have fewer distinct questions.
    """
    if size is None and not all("set" in s for s in sources):
        raise UserError(f"data.families.{dataset}.{split}=null: allowed is a number, because its tasks are endless")
    selection = _Selection(sources, size, dataset)
    selection.read(mix_questions(sources, dataset=dataset, split=split, seed=seed), split)
    questions = selection.questions()
    if size is not None and len(questions) < size:
        raise UserError(
            f"data {dataset!r}: only {len(questions)} distinct questions for split {split!r}, {size} required; "
            "widen the difficulty parameters or require fewer"
        )
    return questions


class _Selection:
    """Picks distinct questions from a mix in the proportions of its weights.

    Taking the first distinct questions of the stream would shift the proportions towards sources that rarely repeat a
    question, and more so the larger the split. Here every place of the split belongs to one source and
    takes the next distinct question of that source. A smaller selection is the beginning of a larger one.
    """

    def __init__(self, sources: Sequence[Source], size: int | None, dataset: str, elsewhere: Collection[str] = ()):
        self.size = size
        self.elsewhere = elsewhere
        self.seen: set[str] = set()
        self.distinct: list[Question] = []
        """In the order of the stream."""
        shares = {(s.get("dataset") or dataset, s["name"]): float(s.get("weight", 1.0)) for s in sources}
        self.places = assign_places(shares, size or 0)
        self.open = Counter(self.places)
        """Source -> its places that have no question yet; negative if it has more questions than places."""

    def read(self, stream: Iterable[Question], split: str) -> None:
        """Read `stream` until every place is filled, it ends, or its sources yield no new questions."""
        since_new = 0
        for count, question in enumerate(stream):
            if self.size is not None and self._stop(count, since_new):
                return
            since_new += 1
            if (not is_procedural(question) or partition(question.text) == split) and self._add(question):
                since_new = 0

    def _stop(self, count: int, since_new: int) -> bool:
        assert self.size is not None
        if all(n <= 0 for n in self.open.values()):
            return True
        enough = len(self.distinct) >= self.size
        return since_new > 20 * self.size + 5_000 if enough else count > 200 * self.size + 10_000

    def _add(self, question: Question) -> bool:
        """Keep a new question; True if its source has an open place."""
        text = normalise(question.text)
        if text in self.seen or text in self.elsewhere:
            return False
        self.seen.add(text)
        key = (question.dataset, question.source)
        self.distinct.append(question)
        self.open[key] -= 1
        return self.open[key] >= 0

    def questions(self) -> list[Question]:
        """The selection in the order of places; places of an exhausted source go to questions left over from others."""
        if self.size is None:
            return self.distinct
        queues: dict[SourceKey, deque[Question]] = defaultdict(deque)
        for question in self.distinct:
            queues[question.dataset, question.source].append(question)
        filled = [queues[key].popleft() if queues[key] else None for key in self.places]
        left = iter([q for queue in queues.values() for q in queue])
        return [q for q in (q or next(left, None) for q in filled) if q is not None]


def assign_places(shares: Mapping[SourceKey, float], size: int) -> list[SourceKey]:
    """Source of each of `size` places: always the one that is furthest behind its share.

    Every beginning of the list has the proportions of `shares`, up to less than one place per source.
    """
    total = sum(shares.values())
    given = dict.fromkeys(shares, 0)
    places = []
    for number in range(1, size + 1):
        key = max(shares, key=lambda k: shares[k] / total * number - given[k])
        given[key] += 1
        places.append(key)
    return places
