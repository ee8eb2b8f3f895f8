"""The served log keeps every request, whatever ends the server, and holds no text unless it may."""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from served_records import deferred, kept, served_tier

from corea.answers.served_format import read_requests
from corea.errors import UserError
from corea.serving.served_log import ServedLog, record_row

WRITER = """
import sys, time
sys.path[:0] = ["tests/serving"]
from served_records import kept
from corea.serving.served_log import ServedLog
log = ServedLog(sys.argv[1], rows=1000)
for number in range(int(sys.argv[3])):
    log.add(kept(f"{sys.argv[2]}-{number}"))
print("written", flush=True)
time.sleep(60)
"""


def ids(folder) -> list[str]:
    return sorted(row["request_id"] for row in read_requests(folder))


def test_a_request_can_be_read_at_once_and_again_from_its_part(tmp_path):
    log = ServedLog(tmp_path)
    given = deferred("r1", 0.25, tiers=(served_tier(0, 0.25, cost_usd=1e-6), served_tier(1, cost_usd=2e-5)))
    log.add(given)
    (now,) = read_requests(tmp_path)
    log.close()
    (later,) = read_requests(tmp_path)
    assert [path.name.split("-")[0] for path in tmp_path.glob("*-*")] == ["part"]
    assert now == later == record_row(given)
    assert later["tiers"][0]["signals"] == {"verbalized": 0.25, "length": 7.0}


def test_parts_are_closed_by_rows_and_by_age(tmp_path):
    log = ServedLog(tmp_path, rows=3, minutes=60)
    for number in range(7):
        log.add(kept(f"r{number}"))
    log.seconds = 0.0
    log.add(kept("r7"))
    log.close()
    sizes = [pq.read_metadata(path).num_rows for path in sorted(tmp_path.glob("part-*"))]
    assert sizes == [3, 3, 2]
    assert ids(tmp_path) == [f"r{n}" for n in range(8)]


def test_questions_and_answers_are_written_only_if_allowed(tmp_path):
    tiers = (served_tier(0, 0.9, answer="SECRET", text="SECRET"),)
    for allowed in (False, True):
        log = ServedLog(tmp_path / str(allowed), text=allowed)
        log.add(kept("r", question="SECRET \ud800", tiers=tiers))
        log.close()
        (row,) = read_requests(tmp_path / str(allowed))
        assert ("SECRET" in json.dumps(row)) is allowed


def test_two_killed_workers_lose_nothing_and_the_next_start_takes_over_their_tails(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    workers = [subprocess.Popen([*command, name, "1200"], stdout=subprocess.PIPE) for name in "ab"]
    for worker in workers:
        assert worker.stdout.readline() == b"written\n"
    living = ServedLog(tmp_path)  # takes nothing from workers that live
    living.close()
    assert all(list(tmp_path.glob(f"tail-*-{worker.pid}.jsonl")) for worker in workers)
    for worker in workers:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
    expected = sorted(f"{name}-{number}" for name in "ab" for number in range(1200))
    assert ids(tmp_path) == expected
    until = time.monotonic() + 60
    while list(tmp_path.glob("tail-*")) and time.monotonic() < until:  # a part may still be written for a killed worker
        ServedLog(tmp_path).close()
    assert list(tmp_path.glob("tail-*")) == []
    assert ids(tmp_path) == expected


def test_a_part_is_written_by_a_process_of_its_own_while_requests_come(tmp_path):
    log = ServedLog(tmp_path, rows=3)
    for number in range(4):
        log.add(kept(f"r{number}"))
    until = time.monotonic() + 60
    while not list(tmp_path.glob("part-*")) and time.monotonic() < until:
        time.sleep(0.01)
    assert ids(tmp_path) == ["r0", "r1", "r2", "r3"]
    assert len(list(tmp_path.glob("part-*"))) == 1
    assert log.dropped == 0
    log.close()
    assert len(list(tmp_path.glob("part-*"))) == 2


def test_a_tail_that_cannot_become_a_part_stays_and_is_read(tmp_path, caplog):
    log = ServedLog(tmp_path, rows=2)
    broken = tmp_path / f"part-{log.tail.stem.removeprefix('tail-')}.parquet"
    broken.mkdir()
    with caplog.at_level(logging.WARNING):
        log.add(kept("a"))
        log.add(kept("b"))
        log.background.submit(lambda: None).result(60)
    (record,) = caplog.records
    assert "serving goes on" in record.getMessage()
    broken.rmdir()
    assert ids(tmp_path) == ["a", "b"]
    log.close()


def test_a_line_that_is_cut_off_is_passed_over(tmp_path):
    log = ServedLog(tmp_path)
    log.add(kept("whole"))
    os.write(log.descriptor, b'{"request_id": "cut", "ti')
    log.torn = True
    log.add(kept("after"))
    assert ids(tmp_path) == ["after", "whole"]
    log.close()
    assert ids(tmp_path) == ["after", "whole"]


def test_a_full_disk_warns_once_counts_and_serving_goes_on(tmp_path, caplog):
    log = ServedLog(tmp_path)
    real = log.descriptor
    log.descriptor = os.open("/dev/full", os.O_WRONLY)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            log.add(kept(f"lost{number}"))
    os.close(log.descriptor)
    log.descriptor = real
    log.add(kept("kept"))
    log.close()
    assert log.dropped == 3
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert ids(tmp_path) == ["kept"]


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"serve\.log_folder=.*cannot be written"):
        ServedLog(tmp_path / "file" / "log")


def test_adding_a_request_takes_well_under_a_millisecond(tmp_path):
    log, given = ServedLog(tmp_path), deferred("r", 0.25)
    start = time.process_time()
    for _ in range(500):
        log.add(given)
    assert (time.process_time() - start) / 500 < 5e-4
    log.close()


def test_the_operating_point_is_kept_with_paths_that_hold_elsewhere(tmp_path):
    (tmp_path / "run" / "model").mkdir(parents=True)
    point = tmp_path / "run" / "operating_point.json"
    point.write_text(json.dumps({"models": {"0": {"path": "model"}, "1": {"path": "hub/name"}}}))
    log = ServedLog(tmp_path / "log")
    log.add_point(point, "abc")
    log.close()
    models = json.loads((tmp_path / "log/operating_points/abc.json").read_text())["models"]
    assert models == {"0": {"path": str(tmp_path / "run/model")}, "1": {"path": "hub/name"}}
