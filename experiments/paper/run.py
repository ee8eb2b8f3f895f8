"""The study of the paper's claims: `make paper`, which passes its variables on as these options (README.md).

python experiments/paper/run.py --scale tiny --part main --steps 8 --seeds 1
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from corea.errors import UserError
from study.costs import Hardware, basis_of, job_costs, show_costs
from study.jobs import is_finished, run_jobs
from study.plan import PARTS, Study
from study.recipes import chosen_recipes
from study.scales import SCALES, find_scale

HERE = Path(__file__).parent


def options(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make paper", description="Run the study, or list it with its costs.")
    parser.add_argument("--scale", default="tiny", help=", ".join(SCALES))
    parser.add_argument("--part", default="all", help=f"{', '.join(PARTS)}; report writes the tables alone")
    parser.add_argument("--jobs", type=int, default=1, help="jobs at a time")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... of each recipe")
    parser.add_argument("--steps", type=int, help="training steps instead of those of the preset")
    parser.add_argument("--only", default="", help="recipes, besides the model before RL, e.g. 'rlvr corea'")
    parser.add_argument("--data", default="", help="further overrides of train, sft and collect")
    parser.add_argument("--slm", help="folder of the SLM (scale broad)")
    parser.add_argument("--llm", help="folder of the LLM (scale broad)")
    parser.add_argument("--pairs", help="file that SLMs of other sizes are pretrained on (scale broad)")
    parser.add_argument("--out", help="folder of the study")
    parser.add_argument("--report", help="folder of README.md and figures")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples of the report")
    parser.add_argument("--dry", action="store_true", help="list the commands with their costs")
    parser.add_argument("--throughput", type=float, help="tokens per second of a training, all GPUs together")
    parser.add_argument("--run", help="folder of a short training whose times are taken")
    parser.add_argument("--gpu", help="kind of GPU, as corea.plan names it")
    parser.add_argument("--gpus", type=int, help="GPUs of a training")
    parser.add_argument("--usd-hour", type=float, help="dollars per GPU and hour")
    parser.add_argument("--plan", default="", help="overrides of corea.plan, e.g. plan.completion_tokens=900")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 a job failed, 2 a mistake of the user, 130 interrupted."""
    given = options(argv)
    try:
        return start(given)
    except UserError as error:
        print(f"paper: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("paper: stopped; the same command continues", file=sys.stderr)
        return 130


def start(given: argparse.Namespace) -> int:
    """Run or list the jobs, then write the report of what is finished."""
    for key in ("jobs", "seeds", "steps"):
        value = getattr(given, key)
        if value is not None and value < 1:
            raise UserError(f"{key.upper()}={value}: allowed is a number from 1 on")
    large = given.scale == "qwen7b"
    gpus = given.gpus or (8 if large else 1)
    scale = find_scale(given.scale, slm=given.slm, llm=given.llm, pairs=given.pairs, gpus=gpus)
    root = given.out or f"outputs/paper/{scale.name}{'' if given.steps is None else f'_{given.steps}_steps'}"
    study = Study(
        scale=scale,
        root=root,
        seeds=given.seeds,
        steps=given.steps,
        extra=tuple(given.data.split()),
        recipes=chosen_recipes(given.only.split()),
    )
    jobs = study.jobs(given.part)
    if given.dry:
        hardware = Hardware(
            gpu=given.gpu or ("h100" if large else "cpu"),
            gpus=gpus,
            usd_hour=given.usd_hour,
            plan=tuple(given.plan.split()),
        )
        basis = basis_of(given.throughput, given.run)
        show_costs(job_costs(study, jobs, basis, hardware), basis, hardware)
        return 0
    failures = []
    if given.part != "report":
        left = [job for job in jobs if not is_finished(job, Path(root))]
        print(f"{len(jobs)} jobs in {root}, {len(jobs) - len(left)} finished before", flush=True)
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            failures = run_jobs(jobs, Path(root), given.jobs, say=lambda line: print(line, flush=True))
        finally:
            signal.signal(signal.SIGTERM, before)
    from study.report import write_report  # imports matplotlib, which takes seconds

    shortened = given.steps is not None and given.steps < scale.steps
    folder = Path(given.report) if given.report else (Path(root) if shortened else HERE)
    print(f"report: {write_report(study, folder, given.resamples)}")
    return 1 if failures else 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
