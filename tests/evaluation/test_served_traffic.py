"""A served log is an unbiased answers table: shadowed questions stand for all kept ones."""

import json

import numpy as np
import pandas as pd
import pytest
from served_logs import tier, traffic, write_log

from answer_tables import config
from corea.answers.served_answers import _uniform, judged, read_served, taken_share
from corea.errors import UserError
from corea.evaluation.pipeline import run_evaluation
from corea.evaluation.served_log_point import results_folder
from corea.report.result_files import metrics_document, write_files


def estimates(table: pd.DataFrame, threshold: float) -> tuple[float, float, float]:
    """Deferral rate and agreement of the cascade at `threshold`, and agreement of the SLM alone."""
    deferred = table["confidence"] < threshold
    return deferred.mean(), (deferred | table["agrees"]).mean(), table["agrees"].mean()


def replicates(
    count: int, change=lambda table, rng: table, share: float = 0.1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[count, 3] estimates from all served questions, from the sample, and from all that have an LLM answer."""
    rows = []
    for seed in range(count):
        table = change(traffic(2000, seed, share), np.random.default_rng([seed, 1]))
        taken = taken_share(table) > _uniform(table["request_id"], seed)
        answered = table[(table["shadow"] | ~table["kept"]) & table["usable"]]
        rows.append([estimates(part, 0.5) for part in (table, table[taken], answered)])
    found = np.array(rows)
    return found[:, 0], found[:, 1], found[:, 2]


def error(estimate: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean error, and its standard error."""
    off = estimate - truth
    return off.mean(0), off.std(0) / len(off) ** 0.5


def test_the_sample_is_unbiased_and_all_answered_questions_are_not():
    truth, sample, answered = replicates(20)
    off, deviation = error(sample, truth)
    assert (np.abs(off) < 4 * deviation).all()
    assert (deviation < 0.01).all()
    biased, _ = error(answered, truth)
    assert biased[0] > 0.3  # deferral rate
    assert biased[2] < -0.1  # the SLM looks worse than it is


def test_bounded_shadowing_and_a_budget_that_runs_out_leave_it_unbiased():
    def bounded(table, rng):
        minute = table["window"]
        closed = (minute % 3 == 0) & (rng.random(len(table)) < 0.7)  # the rate is reached in every third minute
        table["probability"] = table["probability"].mask(closed & table["kept"], 0.0)
        table["shadow"] &= ~closed
        table["usable"] = table["kept"] | (minute % 5 != 1) | (rng.random(len(table)) < 0.5)  # LLM budget
        return table

    truth, sample, _ = replicates(20, bounded)
    off, deviation = error(sample, truth)
    assert (np.abs(off) < 4 * deviation).all()
    assert (deviation < 0.012).all()


@pytest.mark.parametrize("change", ["dollars", "budget"])
def test_one_question_a_minute_and_a_limit_that_is_reached_leave_it_unbiased(change):
    """A minute then holds kept or deferred questions, not both."""

    def slow(table, rng):
        table["window"] = np.arange(len(table))
        late = table["window"] >= len(table) // 2
        if change == "dollars":
            table["probability"] = table["probability"].mask(late & table["kept"], 0.0)
            table["shadow"] &= ~late
        else:
            table["usable"] = table["kept"] | ~late
        return table

    truth, sample, _ = replicates(15, slow, share=0.5)
    off, deviation = error(sample, truth)
    assert (np.abs(off) < 4 * deviation).all()
    assert (deviation < 0.012).all()


def test_probabilities_of_being_taken_by_hand():
    table = pd.DataFrame(
        {
            "dataset": "d",
            "window": [0, 0, 0, 0, 0, 1, 1, 2],
            "kept": [True, True, False, False, True, True, False, False],
            "shadow": [True, False, False, False, False, False, False, False],
            "probability": [0.2, 0.2, np.nan, np.nan, 0.0, 0.0, np.nan, np.nan],
            "usable": [True, False, True, False, False, False, True, True],
        }
    )
    # minute 0: t = min(0.2, 0.2 * 2/3, 1/2) = 2/15; minute 1: no kept question had a chance; minute 2: as minute 1
    assert taken_share(table) == pytest.approx([1.0, 0, (2 / 15) / 0.5, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("small", "large", "agrees", "expected"),
    [
        (None, None, True, (True, True)),
        (None, None, False, (False, True)),
        (True, None, True, (True, True)),
        (True, None, False, (True, False)),
        (False, None, True, (False, False)),
        (False, None, False, (False, True)),
        (None, True, False, (False, True)),
        (None, False, True, (False, False)),
        (None, False, False, (False, False)),
        (True, False, True, (True, False)),
    ],
)
def test_verdicts_from_feedback_and_agreement(small, large, agrees, expected):
    assert judged(small, large, agrees) == expected


def test_a_log_is_evaluated_and_a_point_proposed_beside_the_running_one(tmp_path):
    log = write_log(tmp_path / "served", traffic(4000, 0, share=0.5))
    (log / "operating_points").mkdir()
    running = {"datasets": {"sums": {"signal": "verbalized", "thresholds": [0.6]}}, "models": {"0": {"model": "slm"}}}
    (log / "operating_points" / "point.json").write_text(json.dumps(running))
    cfg = config(log, rule="max_drop", delta=0.25, compare=False)
    results = run_evaluation(cfg)
    truth = estimates(traffic(4000, 0), 0.6)
    (old,) = (line for line in results.notes if line.startswith("sums: running point"))
    (new,) = (line for line in results.notes if line.startswith("sums: proposed"))
    assert "verbalized, threshold 0.6: on" in old
    assert float(old.split("deferral ")[1].split(" %")[0]) / 100 == pytest.approx(truth[0], abs=0.05)
    assert float(old.split("pass@1 ")[1].split(",")[0]) == pytest.approx(truth[1], abs=0.05)
    assert "; threshold " in new
    assert " points, cost " in new
    assert results.first.calibration_questions > 800
    folder = results_folder(cfg)
    folder.mkdir()
    write_files(results, folder)
    document = json.loads((log / "evaluation" / "operating_point.json").read_text())
    assert document["models"] == running["models"]
    assert 0 < document["thresholds"][0] < 0.6  # a drop of 25 points allows more kept answers
    notes = " ".join(metrics_document(results)["notes"])
    assert "verdicts: no feedback; the LLM's answer stands in for the right one" in notes
    assert "taken with probability 0.5 as the kept ones were" in notes


def test_feedback_decides_where_it_is_given_and_the_last_verdict_wins(tmp_path):
    log = write_log(tmp_path, traffic(300, 0, share=1.0).assign(agrees=True))
    lines = [{"request_id": "s0-1", "correct": True}, {"request_id": "s0-1", "correct": False}]
    (log / "feedback.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    answers = read_served(log)
    wrong = answers.frame[answers.frame["correct"] == 0]
    assert wrong[["question_id", "tier"]].values.tolist() == [["s0-1", 0], ["s0-1", 1]]
    assert any(n.startswith("verdicts: feedback on 1 of 300 questions (those that users chose") for n in answers.notes)
    assert answers.signals == ["verbalized", "avg_prob"]


def test_requests_that_the_small_model_did_not_decide_are_left_out(tmp_path):
    failed = [tier(0, status="error"), tier(1)]
    more = {
        "s0-0": {"reason": "uncalibrated"},
        "s0-1": {"tiers": []},
        "s0-2": {"operating_point": "earlier"},
        "s0-3": {"reason": "slm_error", "tiers": failed, "agrees": None, "tier": 1},
        "s0-5": {"reason": "kept", "tier": None},
        "s0-6": {"reason": "low", "tier": 1, "tiers": [tier(0, status="unparsed_answer"), tier(1)], "agrees": None},
        "s0-4": {"reason": "low", "tiers": [tier(0), tier(1, status="error")], "agrees": None, "shadow": False},
    }
    answers = read_served(write_log(tmp_path, traffic(60, 0, share=1.0), more))
    names = set(answers.frame["question_id"])
    assert names & {"s0-0", "s0-1", "s0-2", "s0-4", "s0-5"} == set()
    frame = answers.frame.set_index(["question_id", "tier"])
    for name in {"s0-3", "s0-6"} & names:
        assert frame.loc[name, "correct"].tolist() == [0, 1]
    assert {"s0-3", "s0-6"} & names
    assert any("1 requests of earlier operating points" in note for note in answers.notes)
    assert any("1 questions without a usable answer of the LLM" in note for note in answers.notes)
    assert any("3 requests are left out: the small model did not decide" in note for note in answers.notes)


def test_a_log_without_shadowed_questions_is_refused_in_one_line(tmp_path):
    log = write_log(tmp_path, traffic(100, 0, share=0.0))
    with pytest.raises(UserError, match=r"none of the \d+ kept questions of the served log was shadowed") as raised:
        run_evaluation(config(log))
    assert "\n" not in str(raised.value)


def test_a_log_too_small_for_a_test_question_is_refused_in_one_line(tmp_path):
    table = traffic(20, 0)
    two = table[~table["kept"]].iloc[:2].assign(request_id=["r10", "r11"])  # both in the half that chooses thresholds
    log = write_log(tmp_path, two)
    with pytest.raises(UserError, match=f"{log}: none of its 2 questions is a test question; more are needed"):
        run_evaluation(config(log))


def test_a_point_that_served_is_not_overwritten(tmp_path):
    log = write_log(tmp_path / "run" / "served", traffic(10, 0))
    (log / "evaluation").mkdir()
    (log / "evaluation" / "operating_point.json").write_text("{}")
    assert results_folder(config(log)) == log / "evaluation"
    (log / "operating_points").mkdir()
    known = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # sha256 of {}
    (log / "operating_points" / f"{known}.json").write_text("{}")
    with pytest.raises(UserError, match="holds an operating point that served"):
        results_folder(config(log))


@pytest.mark.slow
def test_the_log_can_be_read_from_the_command_line(tmp_path):
    from corea.composition import compose
    from corea.evaluate import main
    from corea.run_folder import use_run_dir

    log = write_log(tmp_path / "served", traffic(2000, 1, share=0.5))
    flags = ("plots=false", "report=false", "logger=none", "cascade=max_drop", "cascade.resamples=20")
    with use_run_dir(tmp_path):
        main(compose("evaluate", f"answers={log}", *flags))
    assert sorted(p.name for p in (log / "evaluation").glob("*.json")) == [
        "metrics.json",
        "operating_point.json",
        "provenance.json",
    ]
