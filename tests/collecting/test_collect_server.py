"""python -m corea.collect with a large model behind a server: budget, kills, dry run, and recorded answers."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from corea.answers.fit_part import is_fit_part
from corea.collect import main
from corea.composition import compose
from corea.errors import UserError
from corea.run_folder import use_run_dir
from fault_server import FAULTS, FaultServer

KEY = "sk-canary-5d41402abc4b2a76b9719d911017c592"
COST = 37.5e-6
PRICES = ["llm.price.input=1", "llm.price.cached=0.5", "llm.price.output=2"]


def only(questions: int) -> list[str]:
    sizes = {"in_domain": (questions // 2, questions - questions // 2), "other_math": (0, 0), "non_math": (0, 0)}
    return [
        f"data.families.{name}.{split}={size}"
        for name, pair in sizes.items()
        for split, size in zip(("calibration", "test"), pair, strict=True)
    ]


def overrides(folder, server, questions, *more) -> list[str]:
    logger = [] if any(o.startswith("logger") for o in more) else ["logger=none"]
    return [
        "llm=openai", "llm.model=big", f"llm.engine.base_url={server.url}", f"llm.engine.cache={folder / 'cache'}",
        "llm.max_tokens=64", *PRICES, *only(questions), *logger, *more,
    ]  # fmt: skip


def command(folder, server, questions, *more) -> list[str]:
    given = overrides(folder, server, questions, *more)
    return [sys.executable, "-m", "corea.collect", f"hydra.run.dir={folder / 'run'}", *given]


def environment(**more):
    return {**os.environ, "OPENAI_API_KEY": KEY, "OMP_NUM_THREADS": "1", **more}


def run(arguments, settings):
    return subprocess.run(arguments, capture_output=True, text=True, env=settings, check=False)


@pytest.fixture
def collect(tmp_path, monkeypatch, capsys):
    """`collect(server, questions, ...)` runs the verb in this process; what it printed."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("corea.engines.remote.attempts.FIRST_WAIT_S", 0.01)

    def run(server, questions, *more, run="run"):
        with use_run_dir(tmp_path / run):
            main(compose("collect", *overrides(tmp_path, server, questions, *more)))
        return capsys.readouterr().out

    return run


def test_answers_costs_and_a_second_start(collect, tmp_path):
    with FaultServer(lambda key, attempt: "500" if attempt == 1 else None) as server:
        out = collect(server, 12)
        assert "big 12/12  " in out
        assert f"${12 * COST:.4f}" in out
        asked = len(server.requests)
        (tmp_path / "run" / "answers").rename(tmp_path / "elsewhere")
        collect(server, 12)  # the run's answers are gone, the responses are not
        assert len(server.requests) == asked
        assert "big: 2 calls to make, 12 answers stored" in (out := collect(server, 14, "llm.dry_run=true"))
        assert "20 of the prompt, 10 of the answer (measured on the stored answers)" in out
    table = pd.read_parquet(tmp_path / "run" / "answers.parquet")
    large = table[table.tier == 1]
    assert large.model.unique().tolist() == ["big"]
    assert large.cost_usd.tolist() == pytest.approx([COST] * 12)
    assert (large.cached_tokens == 5).all()
    assert (large.answer == large.question).all()


class OddServer(FaultServer):
    """Half of a surrogate pair behind each answer, an unknown reason to finish, and counts that are none."""

    def send(self, handler, status, payload, **more):
        odd = payload.replace(b"</answer>", b"</answer> \\ud83d").replace(b'"stop"', b'"eos_token"')
        super().send(handler, status, odd.replace(b'"completion_tokens": 10', b'"completion_tokens": "many"'), **more)


def test_odd_replies_become_rows(collect, tmp_path):
    with OddServer(lambda key, attempt: None) as server:
        collect(server, 2)
        assert len(server.requests) == 2
    large = pd.read_parquet(tmp_path / "run" / "answers.parquet").query("tier == 1")
    assert [text.split("</answer>")[1] for text in large.text] == [" \ufffd"] * 2
    assert (large.status == "ok").all()
    assert (large.answer == large.question).all()
    assert large.cost_usd.isna().all()


def test_what_a_server_says_is_in_the_table_and_on_the_screen(collect, tmp_path):
    with FaultServer(lambda key, attempt: "422" if len(server.attempts) == 1 else None) as server:
        out = collect(server, 2, "llm.engine.concurrency=1")
    assert "big: 1 questions failed; the next start tries them again" in out
    assert "HTTP 422: body.seed: Extra inputs are not permitted (after 1 tries)" in out
    large = pd.read_parquet(tmp_path / "run" / "answers.parquet").query("tier == 1")
    assert sorted(large.status) == ["error", "ok"]
    assert large.error.dropna().tolist() == ["HTTP 422: body.seed: Extra inputs are not permitted (after 1 tries)"]


def served(server, tmp_path, *more) -> list[str]:
    """Overrides for a small model behind the server as well."""
    return [
        "engine=openai", f"engine.base_url={server.url}", f"engine.cache={tmp_path / 'cache'}", "model.path=small",
        *more,
    ]  # fmt: skip


def test_a_signal_that_servers_do_not_give_is_refused_before_a_call(collect, tmp_path):
    with FaultServer(lambda key, attempt: None) as server:
        with pytest.raises(UserError, match="engine=openai does not provide avg_prob; engine=hf does"):
            collect(server, 2, *served(server, tmp_path, "signals=[verbalized,avg_prob]"))
        assert server.requests == []


def test_answers_to_prompts_that_are_too_long_are_kept_when_they_are_paid_for(collect, tmp_path):
    with FaultServer(lambda key, attempt: None) as server:
        short = served(server, tmp_path, "engine.cache=null", "model.max_prompt_tokens=9")
        for _ in range(2):
            with pytest.raises(UserError, match=r"prompt of 20 tokens; model\.max_prompt_tokens=9"):
                collect(server, 2, *short)
            assert len(server.requests) == 2
        collect(server, 2, *served(server, tmp_path, "engine.cache=null"))
        assert len(server.requests) == 4  # the large model's


def test_failed_attempts_are_paid_for(collect, tmp_path):
    with FaultServer(lambda key, attempt: "no_choices" if attempt == 1 else None) as server:
        collect(server, 2)
    large = pd.read_parquet(tmp_path / "run" / "answers.parquet").query("tier == 1")
    assert large.retry_prompt_tokens.tolist() == [20, 20]
    assert large.retry_completion_tokens.tolist() == [10, 10]
    # 20 prompt tokens of the failed attempt, 15 fresh and 5 cached ones of the answer, 10 + 10 completion tokens
    assert large.cost_usd.tolist() == pytest.approx([(35 * 1 + 5 * 0.5 + 20 * 2) / 1e6] * 2)


def test_a_dry_run_calls_nobody_and_writes_nothing(collect, tmp_path, monkeypatch):
    with FaultServer(lambda key, attempt: None) as server:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        out = collect(server, 12, "llm.dry_run=true", "llm.budget_usd=1")
        assert server.requests == []
    assert "big: 12 calls to make, 0 answers stored" in out
    assert "within llm.budget_usd=1" in out
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "cache").exists()
    expected, most = (float(part.split()[0]) for part in out.split("$")[1:])
    prompts = expected - 12 * 16 * 2e-6  # a quarter of 64 tokens
    assert most == pytest.approx(prompts + 12 * 64 * 2e-6, abs=1e-4)


def test_the_large_model_is_not_asked_what_only_fits_a_signal(collect, tmp_path, monkeypatch):
    with FaultServer(lambda key, attempt: None) as server:
        estimated = collect(server, 24, "fit_without_llm=true", "llm.dry_run=true")
        collect(server, 24, "fit_without_llm=true")
        asked = len(server.requests)
    table = pd.read_parquet(tmp_path / "run" / "answers.parquet")
    small, large = table[table.tier == 0], table[table.tier == 1]
    fit = [is_fit_part(d, q) and "-calibration-" in q for d, q in zip(small.dataset, small.question_id, strict=True)]
    assert (small.split == "fit").tolist() == fit
    assert len(small) == 24
    assert 0 < sum(fit) < 12
    assert sorted(large.question_id) == sorted(small.question_id[small.split != "fit"])
    assert asked == 24 - sum(fit)
    assert f"big: {asked} calls to make" in estimated


def test_a_budget_stops_the_collection_and_a_larger_one_goes_on(collect, tmp_path):
    with FaultServer(lambda key, attempt: None) as server:
        with pytest.raises(UserError, match=r"llm\.budget_usd=0\.001: reached"):
            collect(server, 12, "llm.budget_usd=0.001")
        assert 0 < len(server.billed) < 12
        assert len(server.billed) * COST <= 0.001
        assert not (tmp_path / "run" / "answers.parquet").exists()
        collect(server, 12, "llm.budget_usd=1")
        assert len(server.billed) == 12
    assert (tmp_path / "run" / "answers.parquet").exists()


def test_recorded_answers_of_a_large_model(collect, tmp_path):
    with FaultServer(lambda key, attempt: None) as server:
        collect(server, 12)
    first = pd.read_parquet(tmp_path / "run" / "answers.parquet")
    recorded = ["llm=replay", *PRICES, *only(12), "logger=none"]
    with use_run_dir(tmp_path / "other"):
        main(compose("collect", *recorded, f"llm.model={tmp_path / 'run' / 'answers.parquet'}"))
        with pytest.raises(UserError, match=r"llm\.model=nowhere\.parquet: no such file"):
            main(compose("collect", *recorded, "llm.model=nowhere.parquet"))
    second = pd.read_parquet(tmp_path / "other" / "answers.parquet")
    columns = ["question_id", "tier", "text", "correct", "prompt_tokens", "completion_tokens", "cost_usd"]
    pd.testing.assert_frame_equal(first[columns], second[columns])


@pytest.mark.parametrize("full_error", [pytest.param("0", marks=pytest.mark.slow), "1"])
def test_the_key_is_written_nowhere(full_error, tmp_path, warm_python):
    """Faults, a refused key that the server echoes, W&B, tracebacks: then every file and line is searched for it."""
    faults = iter([*FAULTS[:3], "cut", None, None, "401"])
    with FaultServer(lambda key, attempt: next(faults, "401")) as server:
        more = ["logger=wandb", "logger.mode=offline", "llm.engine.concurrency=1"]
        settings = environment(HYDRA_FULL_ERROR=full_error, WANDB_DIR=str(tmp_path / "wandb"), OPENAI_LOG="debug")
        done = warm_python.run(*command(tmp_path, server, 6, *more)[1:], env=settings)
    assert done.returncode == (1 if full_error == "1" else 2)
    assert "HTTP 401" in done.stderr
    assert ("Traceback" in done.stderr) == (full_error == "1")
    assert KEY not in done.stdout + done.stderr
    files = [f for f in tmp_path.rglob("*") if f.is_file()]
    assert any(f.suffix == ".wandb" for f in files)
    assert any(f.parent.parent.name == "cache" for f in files)
    assert [f for f in files if KEY.encode() in f.read_bytes()] == []


def often(key: str, attempt: int) -> str | None:
    """A fault in 30 % of the requests."""
    digest = hashlib.sha256(f"{key}/{attempt}".encode()).digest()
    return FAULTS[digest[1] % len(FAULTS)] if digest[0] < 0.3 * 256 else None


def kept_texts(folder: Path) -> set[str]:
    found = set()
    for file in folder.rglob("*.json"):
        found.add(json.loads(file.read_text())["request"]["body"]["messages"][-1]["content"])
    return found


@pytest.mark.slow
def test_a_thousand_questions_with_faults_and_kills(tmp_path):
    options = ["llm.engine.timeout_s=1", "llm.engine.max_wait_s=1", "llm.engine.tries=12"]
    ledger = tmp_path / "run" / "answers" / "spending-llm.jsonl"
    settled = []  # after each kill: (requests so far, questions whose response is on disk)
    with FaultServer(often) as server:
        done = run(command(tmp_path, server, 1000, *options, "llm.budget_usd=0.1"), environment())
        assert done.returncode == 2
        assert "llm.budget_usd=0.1: reached" in done.stderr
        assert 0 < len(server.billed) * COST <= 0.1
        settled.append((len(server.requests), kept_texts(tmp_path / "cache")))
        for goal in (150, 350, 550):
            with open(tmp_path / "log", "w") as log:
                started = command(tmp_path, server, 1000, *options, "llm.budget_usd=2")
                process = subprocess.Popen(started, env=environment(), stdout=log)
            while len(kept_texts(tmp_path / "cache")) < goal:
                assert process.poll() is None
                time.sleep(0.1)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(0.2)  # the server notices
            settled.append((len(server.requests), kept_texts(tmp_path / "cache")))
        done = run(command(tmp_path, server, 1000, *options, "llm.budget_usd=2"), environment())
        assert (done.returncode, done.stderr) == (0, "")
        assert "failed and are asked again" not in done.stdout
        texts = [server.texts[key] for _, key, _ in server.requests]
    for count, kept in settled:
        assert kept.isdisjoint(texts[count:])  # no response on disk was ever asked for again
    table = pd.read_parquet(tmp_path / "run" / "answers.parquet")
    large = table[table.tier == 1]
    assert len(large) == large.question_id.nunique() == 1000
    assert (large.status == "ok").all()
    assert (large.answer == large.question).all()
    spent = sum(json.loads(line).get("spent", 0.0) for line in ledger.read_text().splitlines())
    assert len(server.billed) * COST <= spent <= 2
    delivered = sum(fault is None for _, _, fault in server.requests)
    lost = delivered - large.question.nunique()
    assert 0 <= lost <= 3 * 16  # at most the calls under way at each kill
