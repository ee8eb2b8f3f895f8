"""A few questions, and an HFEngine that counts what it is asked and stops as a user or a power cut would."""

import os
import signal

import pandas as pd

from corea.collecting.answering import collect_answers
from corea.collecting.plan import tiers_of, with_run_defaults
from corea.composition import compose
from corea.engines.local.hf import HFEngine

ASKED: list[int] = []
"""Prompts of each call."""
INTERRUPT_AFTER: list[int] = []
"""Calls until a KeyboardInterrupt; empty: never."""
TARGET = "collect_helpers.CountingEngine"
FEW = [
    "data.families.in_domain.calibration=6",
    "data.families.in_domain.test=6",
    "data.families.other_math.calibration=6",
    "data.families.other_math.test=6",
    "data.families.non_math.calibration=0",
    "data.families.non_math.test=4",
]
QUESTIONS = 28


class CountingEngine(HFEngine):
    def generate(self, prompts, sampling, progress=None):
        if INTERRUPT_AFTER and len(ASKED) == INTERRUPT_AFTER[0]:
            raise KeyboardInterrupt
        if len(ASKED) == int(os.environ.get("KILL_AFTER", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        ASKED.append(len(prompts))
        return super().generate(prompts, sampling, progress)


def config(run, *overrides):
    """(configuration, overrides) of `python -m corea.collect run=RUN ...` with engines that count."""
    given = [f"run={run}", "logger=none", "chunk=8", *overrides]
    counted = [f"engine._target_={TARGET}", f"llm.engine._target_={TARGET}"]
    return compose("collect", *given, *counted), given


def collect(run, *overrides) -> pd.DataFrame:
    """All rows of a collection in the folder `run`."""
    cfg, given = config(run, *overrides)
    cfg = with_run_defaults(cfg, given)
    return collect_answers(cfg, tiers_of(cfg), run)
