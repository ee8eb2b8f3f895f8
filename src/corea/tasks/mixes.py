"""Weighted mixes of sources, each a reasoning-gym task or a data set, and the streams that the verbs draw from.

A source is a mapping: {"name", "weight", optional "dataset"} with either {"task", "params"} or {"set": DataSet}.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from corea.config.data_schema import DataConfig, SourceConfig
from corea.errors import UserError
from corea.tabular import SUFFIXES
from corea.tasks.contamination import Known, Screening, screen
from corea.tasks.gym import gym_question
from corea.tasks.question_text import normalise, partition
from corea.tasks.seeds import base_seed
from corea.tasks.sets import DataSet
from corea.tasks.splits import SplitReport, is_procedural, training_only
from corea.types import Question

Source = dict[str, Any]


def mix_questions(
    sources: Sequence[Source], *, dataset: str, split: str, seed: int, start: int = 0
) -> Iterator[Question]:
    """Stream of a weighted mix: item i is a function of (sources, split, seed, i) alone.

    It has no end, unless all sources are data sets and the split is held out. Item i of a task is the task's item i;
    of a data set it is the one behind that of its last item, so that its questions come in whole epochs.

    Args:
        dataset: family name for sources that do not name their own.
        start: index of the first item, so that a step can be drawn again without those before it.
    """
    choices = _choices(tuple(s["name"] for s in sources), tuple(_weight(s) for s in sources), split, seed)
    exhausted: set[int] = set()
    for index in itertools.count(start):
        chosen = choices.source(index)
        source = sources[chosen]
        family = source.get("dataset") or dataset
        if "set" in source:
            question = source["set"].question(choices.position(index), split, seed)
            if question is None:
                exhausted.add(chosen)
                if len(exhausted) == len(sources):
                    return
                continue
            yield replace(question, dataset=family)
        else:
            yield gym_question(
                index,
                task=source["task"],
                params=source.get("params") or {},
                name=source["name"],
                dataset=family,
                split=split,
                seed=seed,
            )


def _weight(source: Source) -> float:
    return float(source.get("weight", 1.0))


class _Choices:
    """Which source each item of a mix comes from, and how many items of that source come before it."""

    def __init__(self, weights: Sequence[float], split: str, seed: int):
        self.weights, self.split, self.seed = weights, split, seed
        self.counts = [0] * len(weights)
        self.positions: list[int] = []

    def source(self, index: int) -> int:
        rng = random.Random(base_seed(self.seed, self.split, f"mix/{index}"))
        return rng.choices(range(len(self.weights)), self.weights)[0]

    def position(self, index: int) -> int:
        if len(self.weights) == 1:
            return index
        while len(self.positions) <= index:
            chosen = self.source(len(self.positions))
            self.positions.append(self.counts[chosen])
            self.counts[chosen] += 1
        return self.positions[index]


@lru_cache(maxsize=64)
def _choices(names: tuple[str, ...], weights: tuple[float, ...], split: str, seed: int) -> _Choices:
    return _Choices(weights, split, seed)


def family_sources(data: DataConfig, family: str) -> list[Source]:
    """Sources of one family, for the mix functions."""
    return [_source(data, s, family) for s in data.families[family].sources]


def training_sources(data: DataConfig) -> list[Source]:
    """Sources of the families in `data.train`, as one flat mix: family weight x share within the family."""
    flat = []
    for name in data.train:
        family = data.families[name]
        total = sum(s.weight for s in family.sources)
        for source in family_sources(data, name):
            flat.append({**source, "weight": family.weight * source["weight"] / total, "dataset": name})
    return flat


def _source(data: DataConfig, source: SourceConfig, family: str) -> Source:
    if source.task is not None:
        return {"name": source.name, "task": source.task, "params": source.params, "weight": source.weight}
    if data.path is not None and source.path is None:
        source = replace(source, path=local_copy(data, source.name))
    return {"name": source.name, "set": DataSet(source, family), "weight": source.weight}


def local_copy(data: DataConfig, name: str) -> str:
    """Where the copy of a data set lies under `data.path`.

    Raises:
        UserError: nowhere.
    """
    assert data.path is not None
    root = Path(data.path)
    names = [s.name for f in data.families.values() for s in f.sources if s.task is None and s.path is None]
    for candidate in (root / name, *(root / f"{name}{kind}" for kind in SUFFIXES)):
        if candidate.exists():
            return str(candidate)
    if len(set(names)) == 1 and root.exists():
        return str(root)
    raise UserError(
        f"data.path={data.path}: holds no {name}; allowed is a folder with a file or folder for {', '.join(names)}"
    )


def family_questions(data: DataConfig, family: str, split: str, size: int | None) -> list[Question]:
    """`size` distinct questions (None: all) of the "calibration" or "test" split of a family.

    Raises:
        UserError: its sources cannot supply them.
    """
    return held_out(family_sources(data, family), split, size, dataset=family, seed=data.seed)


def held_out(
    sources: Sequence[Source],
    split: str,
    size: int | None,
    *,
    dataset: str,
    seed: int,
) -> list[Question]:
    """`size` distinct questions of the "calibration" or "test" side.

    Args:
        size: None: all that there are, which takes data sets alone.

    Raises:
        UserError: the sources cannot supply that many distinct questions.
    """
    if size is None and not all("set" in s for s in sources):
        raise UserError(f"data.families.{dataset}.{split}=null: allowed is a number, since its tasks have no end")
    chosen: dict[str, Question] = {}
    for drawn, question in enumerate(mix_questions(sources, dataset=dataset, split=split, seed=seed)):
        if len(chosen) == size:
            break
        if size is not None and drawn > 200 * size + 10_000:
            break
        if not is_procedural(question) or partition(question.text) == split:
            chosen.setdefault(normalise(question.text), question)
    if size is not None and len(chosen) < size:
        raise UserError(
            f"data {dataset!r}: only {len(chosen)} distinct questions for split {split!r}, {size} wanted; "
            "widen the difficulty parameters or ask for fewer"
        )
    return list(chosen.values())


class TrainingStream:
    """The training questions of each step, a function of (configuration, seed, step).

    Data sets are cleaned of duplicates and of what is held out anywhere in the configuration when the stream is made;
    `screenings` says what that found. Procedural questions are left out one by one, as they are drawn.
    """

    def __init__(self, data: DataConfig, *, split: str, seed: int, size: int):
        self.sources = training_sources(data)
        self.split, self.seed, self.size = split, seed, size
        self.screenings = _clean(data, self.sources)
        # One procedural question in eight is held out on average: a step then does not reach into the next one's part.
        self.stride = size if all("set" in s for s in self.sources) else 2 * size

    def take(self, step: int) -> tuple[list[Question], SplitReport]:
        """Questions of step `step` (from 0), and how many were read and dropped to get them."""
        report = SplitReport()
        stream = mix_questions(self.sources, dataset="", split=self.split, seed=self.seed, start=step * self.stride)
        return list(itertools.islice(training_only(stream, report), self.size)), report


def _clean(data: DataConfig, sources: Sequence[Source]) -> list[Screening]:
    sets = [s["set"] for s in sources if "set" in s]
    if not sets:
        return []
    known = Known()
    if data.contamination != "off":
        for name in data.families:
            for source in family_sources(data, name):
                if "set" in source:
                    known.add(source["set"].questions("calibration"))
                    known.add(source["set"].questions("test"))
    screenings: list[Screening] = []
    seen: set[str] = set()
    for each in sets:
        found, screening = screen(each.questions("train"), known, each.source.name, seen)
        drop = {"duplicate": data.duplicates == "drop", "contaminated": data.contamination == "drop"}
        each.keep([q for q, reason in found if not drop.get(reason, False)])
        screening.kept = len(each.questions("train"))
        screenings.append(screening)
    return screenings
