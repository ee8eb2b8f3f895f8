"""Run one measurement of training.py in this process; the last line of stdout is its result as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from training_arithmetic import floor, memory
from training_common import GROUP, MAX_TOKENS, QUESTIONS, config, first_prompts


def versions() -> dict:
    """Versions of the compared packages, and the processor."""
    from corea.provenance import cpu_name

    found = {"cpu": cpu_name()}
    for name in ("torch", "transformers", "trl", "deepspeed"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def corea(runs: int, threads: int) -> dict:
    """Time `runs` steps of corea, after a warm-up step."""
    from corea.logger import NoLogger
    from corea.rl.trainer import Trainer
    from corea.runtime import read_metrics

    cfg = config(f"trainer.steps={runs + 1}", f"trainer.save_every={runs + 1}", f"trainer.threads={threads}")
    with tempfile.TemporaryDirectory() as folder:
        Trainer(cfg, Path(folder), NoLogger()).run()
        lines = read_metrics(Path(folder) / "metrics.jsonl")[1:]
    return {
        "step": [x["seconds/step"] for x in lines],
        "rollout": [x["seconds/rollout"] + x["seconds/grade"] for x in lines],
        "update": [x["seconds/logprobs"] + x["seconds/update"] for x in lines],
        "tokens": [x["completion_tokens"] * QUESTIONS * GROUP for x in lines],
    }


def trl(runs: int, threads: int) -> dict:
    """Time the same steps of GRPOTrainer, with corea's questions, parser, grader and reward."""
    import trl
    from datasets import Dataset
    from transformers import TrainerCallback

    from corea.engines.loading import load_model
    from corea.rl.rollout.groups import make_group
    from corea.rl.rollout.step_questions import StepQuestions
    from corea.tasks.prompts import build_messages
    from corea.types import Completion

    torch.set_num_threads(threads)
    cfg = config()
    stream, asked = StepQuestions(cfg), {}
    for number in range(runs + 1):
        for question in stream.take(number)[0]:
            asked[build_messages(cfg.model.prompt, question)[-1]["content"]] = question
    model, tokenizer = load_model(cfg.model.path, dtype=cfg.model.dtype)
    seen = {"step": [], "rollout": [], "update": [], "tokens": []}

    def reward(prompts, completions, completion_ids, **_):
        values: list[float] = []
        for start in range(0, len(prompts), GROUP):
            group = [
                Completion(
                    text=completions[k][0]["content"], finish_reason="stop", prompt_tokens=0, completion_tokens=0
                )
                for k in range(start, start + GROUP)
            ]
            made = make_group(asked[prompts[start][-1]["content"]], group, cfg)
            values += [r.reward for r in made.rollouts]
        seen["tokens"].append(sum(map(len, completion_ids)))
        return values

    class Timed(trl.GRPOTrainer):
        def _generate_and_score_completions(self, inputs):
            started = time.perf_counter()
            found = super()._generate_and_score_completions(inputs)
            seen["rollout"].append(time.perf_counter() - started)
            return found

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__):
            self.started = time.perf_counter()

        def on_step_end(self, *_, **__):
            seen["step"].append(time.perf_counter() - self.started)

    with tempfile.TemporaryDirectory() as folder:
        args = trl.GRPOConfig(
            output_dir=folder,
            loss_type="dapo",
            scale_rewards="none",
            num_generations=GROUP,
            per_device_train_batch_size=QUESTIONS * GROUP,
            max_completion_length=MAX_TOKENS,
            temperature=1.0,
            beta=0.0,
            learning_rate=1e-6,
            lr_scheduler_type="constant",
            max_steps=runs + 1,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            bf16=False,
            gradient_checkpointing=False,
            shuffle_dataset=False,
        )
        prompts = [build_messages(cfg.model.prompt, q) for q in asked.values()]
        data = Dataset.from_dict({"prompt": prompts})
        trainer = Timed(
            model=model,
            reward_funcs=reward,
            args=args,
            train_dataset=data,
            processing_class=tokenizer,
            callbacks=[Clock()],
        )
        trainer.train()
    seen["update"] = [a - b for a, b in zip(seen["step"], seen["rollout"], strict=True)]
    return {name: values[1:] for name, values in seen.items()}


def decode(runs: int, threads: int, way: str) -> dict:
    """New tokens per second, including the end of sequence, of one of three decoders on the same prompts."""
    from transformers import GenerationConfig

    from corea.engines.loading import load_model
    from corea.engines.local.hf import HFEngine
    from corea.types import Sampling

    torch.set_num_threads(threads)
    model, tokenizer = load_model("package:tiny_slm")
    engine = HFEngine.from_model(model, tokenizer, graphs=torch.cuda.is_available())
    prompts = first_prompts()
    ids = [engine.encode(p) for p in prompts for _ in range(GROUP)]
    width, stops = max(map(len, ids)), sorted(engine.stop_ids)
    padded = torch.tensor([[tokenizer.pad_token_id] * (width - len(i)) + i for i in ids], device=model.device)
    mask = torch.tensor([[0] * (width - len(i)) + [1] * len(i) for i in ids], device=model.device)
    options = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=MAX_TOKENS,
        eos_token_id=stops,
        pad_token_id=tokenizer.pad_token_id,
    )

    def ours(seed: int) -> int:
        answers = engine.generate(prompts, Sampling(max_tokens=MAX_TOKENS, n=GROUP, seed=seed))
        return sum(c.completion_tokens for group in answers for c in group)

    def plain(seed: int) -> int:
        torch.manual_seed(seed)
        with torch.no_grad():
            new = model.generate(input_ids=padded, attention_mask=mask, generation_config=options)[:, width:]
        ended = torch.isin(new, torch.tensor(stops, device=new.device))
        first = torch.where(ended.any(1), ended.int().argmax(1) + 1, new.shape[1])
        return int(first.sum())

    def continuous(seed: int) -> int:
        torch.manual_seed(seed)
        outputs = model.generate_batch(ids, generation_config=options, progress_bar=False)
        return sum(len(o.generated_tokens) for o in outputs.values())

    function = {"corea": ours, "generate": plain, "generate_batch": continuous}[way]
    function(0)
    return {"rate": [rate(function, seed + 1) for seed in range(runs)]}


def rate(function, seed: int) -> float:
    """Tokens per second of one call."""
    started = time.perf_counter()
    tokens = function(seed)
    return tokens / (time.perf_counter() - started)


def main() -> None:
    """Command line: training_worker.py WHAT RUNS THREADS [key=value ...]"""
    what, runs, threads, *rest = sys.argv[1:]
    torch.set_num_threads(int(threads))
    if what == "versions":
        print(json.dumps(versions()))
        return
    functions = {f.__name__: f for f in (corea, trl, decode, memory, floor)}
    print(json.dumps(functions[what](int(runs), int(threads), **dict(r.split("=") for r in rest))))


if __name__ == "__main__":
    main()
