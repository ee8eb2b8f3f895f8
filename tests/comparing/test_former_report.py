"""The results of an evaluation against a former report: paired on the same questions, else independent."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from answer_tables import config, simulated
from corea.comparing.former_report import against_former, independent
from corea.config.logger_schema import NoLoggerConfig
from corea.config.roots import EvaluateConfig
from corea.errors import UserError
from corea.evaluate import main
from corea.evaluation.pipeline import run_evaluation
from corea.metrics.figures import Figure
from corea.report.former_section import FormerSection
from corea.report.html_report import render
from corea.report.terminal import print_summary
from corea.run_folder import use_run_dir


def evaluated(folder: Path, frame: pd.DataFrame, former: str | None = None) -> EvaluateConfig:
    """Evaluate as the command does; the folder then holds the report."""
    folder.mkdir(exist_ok=True)
    frame.to_parquet(folder / "answers.parquet", index=False)
    cfg = config(folder / "answers.parquet", folder, resamples=200)
    cfg = replace(cfg, plots=False, former=former, logger=NoLoggerConfig())
    with use_run_dir(folder):
        main(replace(cfg, display="none"))
    return cfg


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("former") / "old"
    evaluated(folder, one_dataset())
    return folder


def one_dataset(seed: int = 0) -> pd.DataFrame:
    frame = simulated(100, seed)[0]
    return frame[frame["dataset"] == "in_domain"]


def better() -> pd.DataFrame:
    """The same questions; ten more test answers of the small model are right."""
    frame = one_dataset()
    wrong = frame.index[(frame["tier"] == 0) & (frame["split"] == "test") & ~frame["correct"]]
    frame.loc[wrong[:10], "correct"] = True
    return frame


def compared(folder: Path, frame: pd.DataFrame, former: Path) -> tuple[FormerSection, pd.DataFrame]:
    cfg = evaluated(folder, frame, str(former))
    section = against_former(run_evaluation(cfg), cfg)
    return section, section.table.set_index("figure")


def test_the_same_questions_are_paired(old: Path, tmp_path: Path) -> None:
    section, table = compared(tmp_path / "new", better(), old)
    row = table.loc["slm/accuracy"]
    assert row["change"] == pytest.approx(0.1)
    assert row["interval"] == "paired"
    # ten of 100 differences are 1, the others 0: a binomial share, far narrower than two shares of 100 apart
    normal = 1.96 * math.sqrt(0.1 * 0.9 / 100)
    assert [row["low"], row["high"]] == pytest.approx([0.1 - normal, 0.1 + normal], abs=0.025)
    assert section.words[0] == "Paired 95 % intervals: both reports have the same test questions."
    assert table.loc["llm/accuracy", ["change", "low", "high"]].tolist() == [0, 0, 0]
    assert math.isnan(table.loc["cascade/threshold", "low"])
    written = pd.read_csv(tmp_path / "new" / "former.csv")
    assert written["figure"].tolist() == section.table["figure"].tolist()


def three_tiers(moved: int = 0) -> pd.DataFrame:
    """Three tiers on the same questions. Of the first one, `moved` wrong test answers become right and sure, and half
    as many of the sure ones that were right become wrong."""
    frame = one_dataset()
    rng = np.random.default_rng(5)
    middle = frame[frame["tier"] == 0].assign(tier=1, model="middle", cost_usd=4e-5)
    middle["correct"] = rng.random(len(middle)) < 0.7
    middle["confidence"] = np.where(middle["correct"], 0.9, rng.integers(1, 9, len(middle)) / 10)
    frame = pd.concat([frame.replace({"tier": {1: 2}}), middle], ignore_index=True)
    tested = frame[(frame["tier"] == 0) & (frame["split"] == "test")]
    sure = tested.index[tested["correct"] & (tested["confidence"] == 1)][: moved // 2]
    wrong = tested.index[~tested["correct"]][:moved]
    frame.loc[sure, "correct"] = False
    frame.loc[wrong, ["correct", "confidence"]] = [True, 1.0]
    return frame


def by_question(folder: Path, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Verdict and cost of the reported chain and cost of its reference, question by question."""
    part = json.loads((folder / "metrics.json").read_text())["tiers"]["in_domain"]
    chain, thresholds = part["best"]["chain"], [*part["best"]["thresholds"], -1]
    rows = []
    for _, answers in frame[frame["split"] == "test"].groupby("question_id"):
        of_tier, cost = {row.tier: row for row in answers.itertuples()}, 0.0
        for tier, threshold in zip(chain, thresholds, strict=True):
            cost += of_tier[tier].cost_usd
            if tier == chain[-1] or of_tier[tier].confidence >= threshold:
                rows.append((of_tier[tier].correct, cost, of_tier[part["reference"]].cost_usd))
                break
    return tuple(np.array(rows, float).T)


def test_chains_on_the_same_questions_are_paired(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    evaluated(old, three_tiers())
    section, table = compared(new, three_tiers(moved=20), old)
    before, after = by_question(old, three_tiers()), by_question(new, three_tiers(moved=20))
    drawn = np.random.default_rng(77).integers(0, 100, (4000, 100))  # another bootstrap than that of the package
    cost = [part[1][drawn].sum(1) / part[2][drawn].sum(1) for part in (after, before)]
    expected = {"chain/accuracy": (after[0] - before[0])[drawn].mean(1), "chain/cost_change": cost[0] - cost[1]}
    for figure, draws in expected.items():
        row = table.loc[figure]
        assert row["interval"] == "paired"
        assert [row["low"], row["high"]] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.03)
    assert table.loc["chain/accuracy", "change"] == pytest.approx((after[0] - before[0]).mean())
    assert table.loc["chain/accuracy", "change"] < 0
    assert table.loc["chain/cost_change", "high"] < 0
    assert section.words[0] == "Paired 95 % intervals: both reports have the same test questions."
    assert not any("chains" in words for words in section.words)


def test_answers_that_have_changed_since_the_report_are_not_paired(tmp_path: Path) -> None:
    old = tmp_path / "old"
    evaluated(old, three_tiers())
    three_tiers(moved=9).to_parquet(old / "answers.parquet", index=False)  # no longer those of the report
    section, table = compared(tmp_path / "new", three_tiers(moved=20), old)
    assert set(table["interval"]) - {""} == {"independent"}
    assert section.words[0].startswith("Independent 95 % intervals of in_domain: the former answers are gone, have ch")


def test_other_questions_are_independent(old: Path, tmp_path: Path) -> None:
    frame = one_dataset(seed=1)
    frame["question_id"] = "other-" + frame["question_id"]
    section, table = compared(tmp_path / "new", frame, old)
    row = table.loc["slm/accuracy"]
    assert row["interval"] == "independent"
    p, q = row["former"], row["now"]
    normal = 1.96 * math.sqrt((p * (1 - p) + q * (1 - q)) / 100)  # of two independent shares
    assert [row["low"] - row["change"], row["high"] - row["change"]] == pytest.approx([-normal, normal], abs=0.03)
    assert section.words[0].startswith("Independent 95 % intervals of in_domain: the former answers are gone, ")


def test_a_metrics_file_without_answers_is_enough(old: Path, tmp_path: Path) -> None:
    alone = tmp_path / "metrics.json"
    alone.write_text((old / "metrics.json").read_text())
    section, table = compared(tmp_path / "new", better(), alone)
    assert set(table["interval"].dropna()) - {""} == {"independent"}
    assert "Independent" in section.words[0]


def test_the_half_widths_of_independent_figures_add_in_quadrature() -> None:
    former = Figure(value=0.50, low=0.46, high=0.53, n=100)
    now = Figure(value=0.60, low=0.56, high=0.68, n=100)
    found = independent(former, now)
    assert found.low == pytest.approx(0.10 - math.hypot(0.04, 0.03))
    assert found.high == pytest.approx(0.10 + math.hypot(0.08, 0.04))
    assert not independent(former, Figure(value=0.6, low=math.nan, high=math.nan, n=1)).known


def test_another_level_gives_no_interval(old: Path, tmp_path: Path) -> None:
    cfg = evaluated(tmp_path / "new", better())
    cfg = replace(cfg, former=str(old), cascade=replace(cfg.cascade, level=0.9))
    section = against_former(run_evaluation(cfg), cfg)
    assert section.words[0] == "No intervals: the former report has another level than 90 %."
    assert np.isnan(section.table["low"]).all()


def test_the_page_and_the_terminal_show_it(old: Path, tmp_path: Path) -> None:
    cfg = evaluated(tmp_path / "new", better(), str(old))
    results = run_evaluation(cfg)
    section = against_former(results, cfg)
    page = render(results, section)
    assert "<h2>Against the former report</h2>" in page
    assert '<th scope="row">small model: pass@1</th>' in page
    out = io.StringIO()
    print_summary(results, Console(file=out), section)
    assert "Against " in out.getvalue()
    assert "+0.100 *" in out.getvalue()
    assert "Against the former report" not in render(results)


def test_what_is_no_report_is_named(tmp_path: Path) -> None:
    cfg = evaluated(tmp_path / "new", one_dataset())
    results = run_evaluation(cfg)
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"x\.json: not a metrics\.json of corea\.evaluate"):
        against_former(results, replace(cfg, former=str(tmp_path / "x.json")))
    with pytest.raises(UserError, match=r"former=.*empty: no metrics\.json; give the folder"):
        against_former(results, replace(cfg, former=str(tmp_path / "empty")))
