"""benchmarks/serving.py runs, and its client counts only right answers."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))


@pytest.mark.slow
def test_the_small_benchmark_prints_every_part():
    command = [sys.executable, str(BENCHMARKS / "serving.py"), "--small"]
    done = subprocess.run(command, text=True, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = {cells[1].strip(): float(cells[2].replace(",", "")) for cells in _rows(done.stdout)}
    for name in ("kept, p50", "kept, p99", "deferred, p50", "deferred, p99"):
        assert rows[f"added ms at 100 requests/s: {name}"] > 0
    for how in ("whole", "streaming"):
        for kind in ("kept", "deferred", "one call"):
            assert rows[f"requests/s, {how}: corea, {kind}"] > 0
    assert rows["resident MiB after the warm-up"] > 10
    assert rows["answers/s, at most 24 tokens: transformers serve"] > 0
    assert "litellm is not installed and left out." in done.stdout


def _rows(text: str) -> list[list[str]]:
    lines = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if cells[1].strip()]


def test_a_wrong_answer_ends_a_measurement_of_the_serving_benchmark():
    from serving_load import Target, WrongAnswer, saturate

    async def measured(body: bytes) -> float:
        async def answer(reader, writer):
            await reader.readuntil(b"}]}")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            target = Target(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", model="any")
            rate, answers = await saturate([(target, lambda n: "12 plus 1")], connections=1, number=1)
            assert answers == 1
            return rate

    assert asyncio.run(measured(b'{"choices": [{"message": {"content": "it is 12"}}]}')) > 0
    with pytest.raises(WrongAnswer):
        asyncio.run(measured(b'{"choices": [{"message": {"content": "it is 13"}}]}'))
