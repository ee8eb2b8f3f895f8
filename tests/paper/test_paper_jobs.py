"""Jobs of the study with trivial commands: each runs once, failures stay alone, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from study import jobs as running
from study.jobs import Failure, is_finished, run_jobs, try_lock
from study.plan import Job


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(running, "POLL", 0.01)


def job(name: str, script: str, *needs: str) -> Job:
    return Job(name=name, commands=(("sh", "-c", script),), needs=needs)


def lines(path: Path) -> list[str]:
    return path.read_text().split()


def test_jobs_run_after_those_that_they_need(tmp_path):
    out, said = tmp_path / "order", []
    jobs = [job("b", f"echo b >> {out}", "a"), job("c", f"echo c >> {out}", "b"), job("a", f"echo a >> {out}")]
    assert run_jobs(jobs, tmp_path, say=said.append) == []
    assert lines(out) == ["a", "b", "c"]
    assert said[0] == "start: a"
    assert said[1].startswith("done: a in ")
    assert (tmp_path / "a" / "log.txt").read_text() == f"$ sh -c echo a >> {out}\n"


def test_a_finished_job_is_skipped_and_one_with_other_commands_is_not(tmp_path):
    out = tmp_path / "runs"
    for _ in range(2):
        run_jobs([job("a", f"echo 1 >> {out}")], tmp_path, say=str)
    assert lines(out) == ["1"]
    changed = job("a", f"echo 2 >> {out}")
    assert not is_finished(changed, tmp_path)
    run_jobs([changed], tmp_path, say=str)
    assert lines(out) == ["1", "2"]
    assert json.loads((tmp_path / "a" / "done.json").read_text())["commands"] == [list(changed.commands[0])]


def test_two_studies_at_once_share_the_jobs_and_both_wait_for_all(tmp_path):
    out = tmp_path / "runs"
    jobs = [job(f"j{n}", f"sleep 0.02; echo {n} >> {out}", *(["j0"] if n else [])) for n in range(6)]
    found = []
    threads = [threading.Thread(target=lambda: found.append(run_jobs(jobs, tmp_path, 2, say=str))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[], []]
    assert sorted(lines(out)) == ["0", "1", "2", "3", "4", "5"]
    assert all(is_finished(j, tmp_path) for j in jobs)


def test_a_failed_job_is_one_line_with_its_log_and_the_others_go_on(tmp_path):
    said = []
    jobs = [
        job("bad", "echo first; echo worse >&2; exit 3"),
        job("after", "true", "bad"),
        Job(name="two", commands=(("sh", "-c", "exit 1"), ("sh", "-c", f"touch {tmp_path}/never"))),
        job("good", "true"),
    ]
    failures = run_jobs(jobs, tmp_path, say=said.append)
    log = tmp_path / "bad" / "log.txt"
    assert failures[0] == Failure(name="bad", line=f"sh: exit status 3: worse (log: {log})")
    assert failures[1] == Failure(name="after", line="needs bad")
    assert [failure.name for failure in failures] == ["bad", "after", "two"]
    assert f"failed: bad: {failures[0].line}" in said
    assert is_finished(jobs[3], tmp_path)
    assert not (tmp_path / "never").exists()
    again = [job("bad", "true"), jobs[1]]
    assert run_jobs(again, tmp_path, say=str) == []


def test_the_lock_lasts_until_the_command_of_a_killed_study_has_ended(tmp_path):
    handle = try_lock(tmp_path)
    command = subprocess.Popen(["sleep", "30"], pass_fds=(handle,))
    os.close(handle)  # as if the study had been killed
    assert try_lock(tmp_path) is None
    command.kill()
    command.wait()
    handle = try_lock(tmp_path)
    assert handle is not None
    os.close(handle)


def test_an_interrupted_study_stops_its_commands_and_goes_on_later(tmp_path):
    begun, out = tmp_path / "begun", tmp_path / "runs"
    slow = job("slow", f"touch {begun}; [ -e {out} ] || exec sleep 30")

    def interrupt() -> None:
        while not begun.exists():
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_jobs([slow, job("next", "true")], tmp_path, say=str)
    assert not is_finished(slow, tmp_path)
    out.touch()
    assert run_jobs([slow], tmp_path, say=str) == []
