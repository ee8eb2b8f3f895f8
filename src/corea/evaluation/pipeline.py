"""From an answers table to all results of an evaluation; reads files, writes none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs, cost_unit, pair, split_by_hash
from corea.answers.table import Answers, read_answers
from corea.cascade.chains import TierResults, measure_tiers, stack
from corea.config.cascade_schema import CascadeConfig
from corea.config.roots import EvaluateConfig
from corea.errors import UserError
from corea.evaluation.audit import Audit, Regrader, moves, regraded
from corea.evaluation.dataset import Evaluation, Point, evaluate_dataset
from corea.evaluation.price_sensitivity import priced
from corea.evaluation.results import POOLED, Results
from corea.evaluation.signal_comparison import LEAST, SignalRow, compare, recalibrated, variants
from corea.runtime import read_metrics


def run_evaluation(cfg: EvaluateConfig, regrade: Regrader | None = None) -> Results:
    """Read `cfg.answers` (and the tables beside it) and measure every dataset. Raises UserError for a bad table.

    `regrade` does what `cfg.audit` asks for.
    """
    theirs = {k: v for k, v in cfg.columns.items() if k != v}
    answers = priced(read_answers(cfg.answers, text=regrade is not None, names=theirs), cfg.cascade.prices)
    checked = regraded(answers, regrade) if regrade is not None else None
    recorded = answers
    if checked is not None and cfg.verdicts == "regraded":
        answers = checked[0]
        answers.notes = [*answers.notes, f"verdicts are those of the grader {cfg.audit}, not the recorded ones"]
    before = _read_before(cfg)
    if before is not None:
        before = priced(before, cfg.cascade.prices)
    notes = [*answers.notes, *cost_unit(answers)[1]]
    now = pair(answers, cfg.cascade.signal, cfg.cascade.large)
    old = pair(answers, cfg.cascade.signal, cfg.cascade.large, slm=before) if before is not None else None
    now = _with_splits(now, cfg.cascade, answers.path, notes)
    if old is not None:
        old = _with_splits(old, cfg.cascade, answers.path, [])
    raw = now
    if cfg.cascade.recalibrate != "none":
        now = _recalibrated(now, cfg.cascade, answers.path)
        old = _recalibrated(old, cfg.cascade, answers.path) if old is not None else None
        notes.append(f"the signal is recalibrated ({cfg.cascade.recalibrate}) on half of the calibration questions")
    names = _names(now, answers, cfg.cascade, notes)
    datasets: dict[str, Evaluation] = {}
    hashes: dict[str, str] = {}
    transferred: Point | None = None
    for name in [*names, POOLED]:
        inside = np.isin(now.dataset.astype(str), names) if name == POOLED else now.dataset == name
        if name == POOLED and len(names) == 1:
            datasets[POOLED], hashes[POOLED] = datasets[names[0]], hashes[names[0]]
            break
        test, known, earlier = _parts(now, old, inside, cfg.cascade)
        other = None if name == POOLED else transferred
        datasets[name] = evaluate_dataset(name, test, known, earlier, cfg.cascade, other)
        hashes[name] = _hash(known) if known is not None else ""
        if name == names[0] and len(names) > 1:
            point = datasets[name].point(cfg.cascade.rule)
            transferred = point if point.figures else None
    pooled = datasets.pop(POOLED)
    return Results(
        answers=answers,
        cfg=cfg.cascade,
        datasets=datasets,
        pooled=pooled,
        primary=names[0],
        notes=notes,
        calibration_hash=hashes,
        tiers=_tiers(answers, names, cfg.cascade),
        audit=_audit(recorded, checked, names, cfg) if checked is not None else None,
        signals=_compare(answers, raw, names, cfg.cascade) if cfg.cascade.compare else {},
        training=_read_training(cfg),
    )


def _recalibrated(pairs: Pairs, cfg: CascadeConfig, path: str) -> Pairs:
    mapped = recalibrated(pairs, cfg.recalibrate, cfg)
    if mapped is None:
        raise UserError(
            f"{path}: cascade.recalibrate={cfg.recalibrate}: needs {2 * LEAST} calibration questions with a confidence "
            "in each dataset, some right and some wrong; cascade.split_fraction=0.3 sets some aside"
        )
    return mapped


def _compare(answers: Answers, now: Pairs, names: list[str], cfg: CascadeConfig) -> dict[str, list[SignalRow]]:
    """All signals of the table on the same questions, raw and recalibrated; the configured one first."""
    raw = {cfg.signal: now}
    for signal in answers.signals:
        if signal != cfg.signal:
            raw[signal] = _with_splits(pair(answers, signal, cfg.large), cfg, answers.path, [])
    found = variants(raw, cfg)
    if len(found) < 2:
        return {}
    parts = {name: now.dataset == name for name in names}
    if len(names) > 1:
        parts[POOLED] = np.isin(now.dataset.astype(str), names)
    return {name: compare(found, inside, cfg) for name, inside in parts.items()}


def _tiers(answers: Answers, names: list[str], cfg: CascadeConfig) -> dict[str, TierResults]:
    """Chains of more than two tiers, of the raw signal."""
    found = {}
    for name in names:
        if answers.frame.loc[answers.frame["dataset"] == name, "tier"].nunique() > 2:
            data, pairs = stack(answers, cfg.signal, name)
            split = _with_splits(pairs, cfg, answers.path, []).split
            measured = measure_tiers(data, split, cfg) if len(split) == data.correct.shape[1] else None
            if measured is not None:
                found[name] = measured
    return found


def _audit(recorded: Answers, checked: tuple[Answers, pd.DataFrame], names: list[str], cfg: EvaluateConfig) -> Audit:
    """Every dataset with both verdicts, raw signal."""
    cascade = cfg.cascade
    both = [_with_splits(pair(a, cascade.signal, cascade.large), cascade, a.path, []) for a in (checked[0], recorded)]
    evaluations, moved = {}, []
    for name in [*names, *([POOLED] if len(names) > 1 else [])]:
        inside = np.isin(both[0].dataset.astype(str), names) if name == POOLED else both[0].dataset == name
        test, known, old = _parts(both[0], both[1], inside, cascade)
        evaluations[name] = evaluate_dataset(name, test, known, old, cascade)
        assert old is not None
        moved.append(moves(name, evaluations[name], old, cascade))
    return Audit(
        grader=str(cfg.audit),
        graded=len(recorded.frame),
        disagreements=checked[1],
        evaluations=evaluations,
        moves=pd.concat(moved, ignore_index=True),
    )


def _read_before(cfg: EvaluateConfig) -> Answers | None:
    """The table named by `before`, or answers_before.parquet beside the answers where there is one."""
    path = Path(cfg.before) if cfg.before else Path(cfg.answers).with_name("answers_before.parquet")
    if cfg.before is None and (not path.exists() or path == Path(cfg.answers)):
        return None
    return read_answers(path, tiers=False)


def _read_training(cfg: EvaluateConfig) -> pd.DataFrame | None:
    """metrics.jsonl, one row a step; a line that a crash left half written is dropped."""
    path = Path(cfg.metrics) if cfg.metrics else Path(cfg.answers).with_name("metrics.jsonl")
    if not path.exists():
        if cfg.metrics:
            raise UserError(f"metrics={path}: no such file")
        return None
    rows = read_metrics(path)
    return pd.DataFrame(rows).drop_duplicates("step", keep="last").sort_values("step") if rows else None


def _with_splits(pairs: Pairs, cfg: CascadeConfig, path: str, notes: list[str]) -> Pairs:
    """Make sure that there are test questions; draw calibration questions by hash where that is asked for."""
    found = sorted(set(pairs.split))
    if found == [""]:
        if cfg.split_fraction is None:
            notes.append("no column split: every question is a test question, and rules have nothing to choose on")
            pairs.split = np.full(len(pairs), cfg.test_split, object)
            return pairs
        return split_by_hash(pairs, cfg.split_fraction, cfg.seed, cfg.calibration_split, cfg.test_split)
    if cfg.test_split not in found:
        raise UserError(f"{path}: cascade.test_split={cfg.test_split}: column split holds {', '.join(found)}")
    if cfg.calibration_split not in found:
        if cfg.split_fraction is not None:
            pairs = pairs.where(pairs.split == cfg.test_split)
            return split_by_hash(pairs, cfg.split_fraction, cfg.seed, cfg.calibration_split, cfg.test_split)
        notes.append(f"column split holds no {cfg.calibration_split}: rules have nothing to choose on")
    other = [s or "(null)" for s in found if s not in (cfg.test_split, cfg.calibration_split)]
    if other:
        notes.append(f"questions of the splits {', '.join(other)} are left out")
    return pairs


def _names(pairs: Pairs, answers: Answers, cfg: CascadeConfig, notes: list[str]) -> list[str]:
    """Datasets that have test questions, the primary one first."""
    tested = set(pairs.dataset[pairs.split == cfg.test_split])
    names = [name for name in answers.datasets if name in tested]
    lacking = [name for name in answers.datasets if name not in tested]
    if lacking:
        notes.append(f"no test questions, left out: {', '.join(lacking)}")
    if cfg.primary is not None:
        if cfg.primary not in names:
            raise UserError(f"{answers.path}: cascade.primary={cfg.primary}: allowed is {', '.join(names)}")
        names.sort(key=lambda name: name != cfg.primary)
    return names


def _parts(
    now: Pairs, old: Pairs | None, inside: np.ndarray, cfg: CascadeConfig
) -> tuple[Pairs, Pairs | None, Pairs | None]:
    """Test questions, calibration questions (None without any) and the earlier model's test questions."""
    tested, known = inside & (now.split == cfg.test_split), inside & (now.split == cfg.calibration_split)
    return (
        now.where(tested),
        now.where(known) if known.any() else None,
        old.where(tested) if old is not None else None,
    )


def _hash(pairs: Pairs) -> str:
    """SHA-256 over ids, confidences and verdicts of the questions that thresholds were chosen on."""
    digest = hashlib.sha256("\n".join(map("\0".join, zip(pairs.dataset, pairs.question_id, strict=True))).encode())
    for values in (pairs.confidence, pairs.slm_correct, pairs.llm_correct):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
