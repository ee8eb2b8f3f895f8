"""Measure training steps: python benchmarks/bench.py [steps=20] [overrides of corea.train].

Starts an ordinary run in a temporary folder and prints the median of every phase, without the first step, which also
warms up.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from corea.provenance import cpu_name
from corea.runtime import read_metrics


def main(arguments: list[str]) -> int:
    """Exit code of the run."""
    steps = next((a.removeprefix("steps=") for a in arguments if a.startswith("steps=")), "20")
    overrides = [a for a in arguments if not a.startswith("steps=")]
    with tempfile.TemporaryDirectory() as folder:
        fixed = [f"trainer.steps={steps}", f"trainer.save_every={steps}", f"hydra.run.dir={folder}", "logger=none"]
        code = subprocess.run([sys.executable, "-m", "corea.train", *fixed, *overrides], check=False).returncode
        if code:
            return code
        lines = read_metrics(Path(folder) / "metrics.jsonl")[1:]
    print(f"\n{cpu_name()}, median of {len(lines)} steps")
    for key in sorted(k for k in lines[-1] if k.startswith("seconds/") and k != "seconds/save"):
        print(f"  {key:18} {median(line[key] for line in lines):8.3f} s")
    print(f"  {'tokens_per_s':18} {median(line['tokens_per_s'] for line in lines):8.0f}")
    print(f"  {'peak memory':18} {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20:8.2f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
