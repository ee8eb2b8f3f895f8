"""Weighted mixes of sources, each a reasoning-gym task or a data set, and the question streams of the verbs.

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
from corea.tabular_text import ENDINGS
from corea.tasks.contamination import HeldOut, Screening, screen
from corea.tasks.gym import gym_question
from corea.tasks.seeds import base_seed
from corea.tasks.sets import DataSet
from corea.tasks.splits import SplitReport, training_only
from corea.types import Question

Source = dict[str, Any]


def mix_questions(
    sources: Sequence[Source], *, dataset: str, split: str, seed: int, start: int = 0
) -> Iterator[Question]:
    """Stream of a weighted mix: item i is a function of (sources, split, seed, i).

    The stream is endless, unless all sources are data sets and the split is held out. If item i comes from a task,
    it is the task's item i; if it comes from a data set, it is that set's next question, so that a data set is read
    in whole epochs.

    Args:
        dataset: family name of sources that do not name their own.
        start: index of the first item; a step can be built without the ones before it.
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
    """The source of each item of a mix, and how many earlier items have the same source."""

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
    """Sources of one family."""
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
    """Path of the local copy of a data set under `data.path`.

    Raises:
        UserError: there is none.
    """
    assert data.path is not None
    root = Path(data.path)
    names = [s.name for f in data.families.values() for s in f.sources if s.task is None and s.path is None]
    for candidate in (root / name, *(root / f"{name}{kind}" for kind in ENDINGS)):
        if candidate.exists():
            return str(candidate)
    if len(set(names)) == 1 and root.exists():
        return str(root)
    raise UserError(
        f"data.path={data.path}: holds no {name}; allowed is a folder with a file or folder for {', '.join(names)}"
    )


class TrainingStream:
    """The training questions of each step, a function of (configuration, seed, step).

    When the stream is built, duplicates and questions that are held out anywhere in the configuration are removed from
    data sets; `screenings` holds the counts. Procedural questions of a held-out split are dropped one by one.
    """

    def __init__(self, data: DataConfig, *, split: str, seed: int, size: int):
        self.sources = training_sources(data)
        self.split, self.seed, self.size = split, seed, size
        self.screenings = _clean(data, self.sources)
        # Some procedural questions are dropped; with twice the items, steps do not overlap.
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
    held_out_texts = HeldOut()
    if data.contamination != "off":
        for name in data.families:
            for source in family_sources(data, name):
                if "set" in source:
                    held_out_texts.add(source["set"].questions("calibration"))
                    held_out_texts.add(source["set"].questions("test"))
        for each in sets:
            held_out_texts.add(each.questions("validation"))
    screenings: list[Screening] = []
    seen: set[str] = set()
    for each in sets:
        found, screening = screen(each.questions("train"), held_out_texts, each.source.name, seen)
        drop = {"duplicate": data.duplicates == "drop", "contaminated": data.contamination == "drop"}
        each.keep([q for q, reason in found if not drop.get(reason, False)])
        screening.kept = len(each.questions("train"))
        screenings.append(screening)
    return screenings
