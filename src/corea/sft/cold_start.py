"""The cold start: the examples that corea.sft trains on, its evaluation, and the files it writes.

Examples come from questions and a teacher (corea.sft.traces, or the solutions in a data set), or from a file of
prompt/completion pairs. The examples of step s are a function of (configuration, s).
"""

from __future__ import annotations

import json
import random
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils import logging as transformers_logging

from corea.config import SftConfig
from corea.display import progress, say, tick
from corea.engines.loading import encode_prompt, load_model, template_prefix
from corea.engines.local.hf import HFEngine
from corea.errors import Interrupted, UserError
from corea.logger import Logger
from corea.rl.run import distributed
from corea.rl.run.interrupt import StopRequest
from corea.runtime import MetricsWriter, atomic_folder, atomic_write
from corea.sft import traces
from corea.sft.held_out_scores import test_metrics
from corea.sft.scratch_model import scratch_model
from corea.sft.supervised import Example, build_optimizer, last_step, train_supervised
from corea.tabular import read_rows
from corea.tasks.held_out import family_questions
from corea.tasks.mixes import TrainingStream
from corea.tasks.prompts import build_messages
from corea.tasks.splits import SplitReport
from corea.types import Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Teacher = Callable[[dict[str, Any], random.Random], str]
"""(entry with "answer" and "metadata", random generator of the question) -> completion."""


def written_solution(entry: dict[str, Any], rng: random.Random) -> str:
    """The data set's solution as reasoning, and a random confidence."""
    confidence = rng.choice(traces.CONFIDENCE_GRID)
    return (
        f"<think>{entry['metadata']['solution']}</think> <answer>{entry['answer']}</answer> "
        f"<confidence>{confidence}</confidence>"
    )


TEACHERS: dict[str, Teacher] = {
    "direct_two_sided": traces.direct_two_sided,
    "direct_answer": traces.direct_answer,
    "direct_unsure": traces.direct_unsure,
    "written_steps": traces.written_steps,
    "steps_unsure": traces.steps_unsure,
    "solution": written_solution,
}


SHOWN = re.compile("[^/]+/(pass@1|format_share)")
"""Metrics that a run prints; metrics.json holds all of them."""


class Encoder:
    """Encodes messages and completions as token ids."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompt: str,
        max_prompt_tokens: int,
        template: dict[str, Any] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.template = template
        self.max_prompt_tokens = max_prompt_tokens

    def example(self, messages: list[dict[str, str]], completion: str, where: str) -> Example:
        """(prompt ids, completion ids + end of sequence).

        Raises:
            UserError: the prompt is longer than model.max_prompt_tokens.
        """
        ids = encode_prompt(self.tokenizer, messages, where, self.template)
        if len(ids) > self.max_prompt_tokens:
            raise UserError(
                f"{where}: prompt of {len(ids)} tokens; allowed is model.max_prompt_tokens={self.max_prompt_tokens}"
            )
        completion = completion.removeprefix(template_prefix(self.tokenizer, ids).rstrip())
        answer = self.tokenizer(completion, add_special_tokens=False).input_ids
        return ids, [*answer, self.tokenizer.eos_token_id]


def question_examples(cfg: SftConfig, encoder: Encoder, report: SplitReport) -> Callable[[int], list[Example]]:
    """Step s -> its training questions with the teacher's completions.

    Raises:
        UserError: the teacher has no completion for a source.
    """
    stream = TrainingStream(cfg.data, split="pretrain", seed=cfg.seed, size=cfg.sft.batch_size)
    for screening in stream.screenings if distributed.rank() == 0 else ():
        say(str(screening))
    teacher = TEACHERS[cfg.teacher]

    def examples(step: int) -> list[Example]:
        questions, counts = stream.take(step)
        report.read += counts.read
        report.dropped += counts.dropped
        return [
            encoder.example(build_messages(encoder.prompt, q), _teach(teacher, q, cfg.teacher), f"question {q.id}")
            for q in questions
        ]

    return examples


def _teach(teacher: Teacher, question: Question, name: str) -> str:
    entry = question.meta.get("entry") or {"answer": question.gold, "metadata": question.meta}
    try:
        return teacher(entry, random.Random(question.id))
    except KeyError as error:
        needs = "a column `solution`" if name == "solution" else "procedural questions"
        raise UserError(f"teacher={name}: question {question.id} of {question.source}: needs {needs}") from error


def read_pairs(path: str) -> list[dict[str, Any]]:
    """Rows of a JSONL or Parquet file with `prompt` (text or messages) and `completion` (text).

    Raises:
        UserError: the file is missing, empty or lacks a column.
    """
    file = Path(path)
    if not file.exists():
        raise UserError(
            f"pairs={path}: no such file; allowed is a JSONL or Parquet file with columns prompt and completion"
        )
    rows = read_rows(file)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not {"prompt", "completion"} <= row.keys():
            raise UserError(f"pairs={path}, row {number}: columns prompt and completion are required")
    if not rows:
        raise UserError(f"pairs={path}: no rows")
    return rows


def pair_examples(cfg: SftConfig, encoder: Encoder) -> Callable[[int], list[Example]]:
    """Step s -> its examples from a file; each epoch has its own order."""
    assert cfg.pairs is not None
    rows = read_pairs(cfg.pairs)
    size = cfg.sft.batch_size

    @lru_cache(maxsize=2)
    def order(epoch: int) -> list[int]:
        return random.Random(f"{cfg.seed}/{epoch}").sample(range(len(rows)), len(rows))

    def example(index: int) -> Example:
        epoch, position = divmod(index, len(rows))
        number = order(epoch)[position]
        prompt = rows[number]["prompt"]
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        return encoder.example(messages, rows[number]["completion"], f"{cfg.pairs}, row {number + 1}")

    return lambda step: [example(step * size + k) for k in range(size)]


class ColdStart:
    """One supervised run in its folder: `metrics.jsonl`, `checkpoints/sft.pt`, `model/`, `metrics.json`."""

    def __init__(self, cfg: SftConfig, run_dir: Path, logger: Logger):
        self.cfg, self.run_dir, self.logger = cfg, run_dir, logger
        transformers_logging.disable_progress_bar()
        distributed.start_process_group()
        self.main = distributed.rank() == 0
        if cfg.sft.threads:
            torch.set_num_threads(cfg.sft.threads)
        torch.manual_seed(cfg.seed)
        if cfg.architecture is not None:
            self.model, self.tokenizer = scratch_model(cfg)
        else:
            self.model, self.tokenizer = load_model(cfg.model.path, revision=cfg.model.revision, dtype=cfg.model.dtype)
        encoder = Encoder(self.tokenizer, cfg.model.prompt, cfg.model.max_prompt_tokens, cfg.model.template)
        self.report = SplitReport()
        self.examples = pair_examples(cfg, encoder) if cfg.pairs else question_examples(cfg, encoder, self.report)
        self.questions = {
            name: family_questions(replace(cfg.data, seed=0), name, "test", cfg.sft.eval_questions)
            for name in cfg.data.families
        }
        self.engine = HFEngine.from_model(self.model, self.tokenizer, template=cfg.model.template)
        self.optimizer = build_optimizer(self.model, cfg.sft)
        self.checkpoint = run_dir / "checkpoints" / "sft.pt"
        self.first_step = self.next_step = self._resume()
        distributed.barrier()  # all have read the checkpoint before the first writes one
        if self.main:
            self.writer = MetricsWriter(run_dir / "metrics.jsonl", self.next_step)
        self.metrics: dict[str, float] = {}
        self.stopped_by: int | None = None

    def run(self) -> dict[str, float]:
        """Train to the last step and return the metrics of the last evaluation. Ctrl-C saves a checkpoint first."""
        if self.cfg.sft.eval_first and self.next_step == 0:
            self._evaluate(-1)
        with StopRequest() as stop, progress("step", last_step(self.cfg.sft), self.next_step, always=True):
            train_supervised(
                self.model,
                self.optimizer,
                self.examples,
                self.cfg.sft,
                pad=self.tokenizer.pad_token_id,
                start=self.next_step,
                log=self._log,
                after_step=lambda step: self._after_step(step, stop),
            )
        if self.stopped_by is not None and self.next_step < last_step(self.cfg.sft):
            self._report_stop(self.stopped_by)
        elif self.next_step == self.first_step:  # all steps were done before
            self._evaluate(last_step(self.cfg.sft) - 1)
        return self.metrics

    def _after_step(self, step: int, stop: StopRequest) -> bool:
        """Evaluate and save if scheduled; False on every rank if one of them received a signal."""
        self.next_step = step + 1
        done = self.next_step == last_step(self.cfg.sft)
        if done or self.next_step % self.cfg.sft.eval_every == 0:
            self._evaluate(step)
            self._save()
        self.stopped_by = stop.received_by_any()
        if self.stopped_by is None or done:
            return True
        self._save()
        return False

    def _report_stop(self, received: int) -> None:
        name = signal.Signals(received).name
        message = f"stopped by {name} after step {self.next_step - 1}; the same command continues from there"
        if received == signal.SIGINT:
            raise Interrupted(message)
        if self.main:
            say(message)

    def _evaluate(self, step: int) -> None:
        if not self.main:
            return
        self.metrics = test_metrics(self.engine, self.questions, self.cfg)
        self.logger.log(self.metrics, step=max(step, 0))
        shown = ", ".join(f"{k} {v:.3f}" for k, v in self.metrics.items() if SHOWN.fullmatch(k))
        say(f"{'before' if step < 0 else f'step {step}'}: {shown}; {self.report}")
        with atomic_write(self.run_dir / "metrics.json") as path:
            path.write_text(json.dumps({"step": step, **self.metrics}, indent=1) + "\n")
        with atomic_folder(self.run_dir / "model") as folder:
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    def _log(self, metrics: dict[str, float]) -> None:
        if not self.main:
            return
        self.writer.write(metrics)
        self.logger.log(metrics, step=int(metrics["step"]))
        tick(figures="loss {loss:.4f}  {tokens_per_s:,.0f} tokens/s".format(**metrics))

    def _save(self) -> None:
        if not self.main:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {"step": self.next_step, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        with atomic_write(self.checkpoint) as path:
            torch.save(state, path)

    def _resume(self) -> int:
        """Load the checkpoint of an earlier start; returns the next step."""
        if not self.checkpoint.exists():
            return 0
        try:
            state = torch.load(self.checkpoint, weights_only=True)
        except Exception as error:  # torch raises various errors on a truncated or foreign file
            raise UserError(
                f"{self.checkpoint}: cannot be read ({type(error).__name__}); remove it or use another folder"
            ) from error
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        say(f"continuing at step {state['step']}")
        return state["step"]
