"""One measurement of training.py, in a process of its own; the last line of stdout is its result as JSON."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

QUESTIONS, GROUP, MAX_TOKENS = 16, 16, 24
OVERRIDES = ["trainer=tiny", "logger=none", "trainer.optimizer.lr=1e-6", "trainer.optimizer.schedule=constant"]


def config(*overrides: str):
    """The configuration that both sides take their settings from."""
    from corea.composition import compose

    sizes = [f"trainer.questions={QUESTIONS}", f"trainer.group_size={GROUP}", f"model.max_tokens={MAX_TOKENS}"]
    return compose("train", *OVERRIDES, *sizes, "trainer.credit=whole", "trainer.temperature=1.0", *overrides)


def versions() -> dict:
    """Of what is compared."""
    from corea.provenance import cpu_name

    found = {"cpu": cpu_name()}
    for name in ("torch", "transformers", "trl", "deepspeed"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def corea(runs: int, threads: int) -> dict:
    """`runs` steps after one that warms up."""
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
    """The same steps by GRPOTrainer with corea's questions, parser, grader and reward."""
    import trl
    from datasets import Dataset
    from transformers import TrainerCallback

    from corea.engines.loading import load_model
    from corea.rl.rollout import Draw, make_group, messages
    from corea.types import Completion

    torch.set_num_threads(threads)
    cfg = config()
    draw, asked = Draw(cfg), {}
    for number in range(runs + 1):
        for question in draw(number)[0]:
            asked[messages([question], cfg.model.prompt)[0][-1]["content"]] = question
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
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            shuffle_dataset=False,
        )
        prompts = [messages([q], cfg.model.prompt)[0] for q in asked.values()]
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


def first_prompts() -> list:
    """Messages of the questions of the first step."""
    from corea.rl.rollout import Draw, messages

    cfg = config()
    return messages(Draw(cfg)(0)[0], cfg.model.prompt)


def decode(runs: int, threads: int, way: str) -> dict:
    """New tokens a second, up to and with the end of sequence; one of three ways on the same prompts."""
    from transformers import GenerationConfig

    from corea.engines.hf import HFEngine
    from corea.engines.loading import load_model
    from corea.types import Sampling

    torch.set_num_threads(threads)
    model, tokenizer = load_model("package:tiny_slm")
    engine, prompts = HFEngine.from_model(model, tokenizer), first_prompts()
    ids = [engine.encode(p) for p in prompts for _ in range(GROUP)]
    width, stops = max(map(len, ids)), sorted(engine.stop_ids)
    padded = torch.tensor([[tokenizer.pad_token_id] * (width - len(i)) + i for i in ids])
    mask = torch.tensor([[0] * (width - len(i)) + [1] * len(i) for i in ids])
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
        ended = torch.isin(new, torch.tensor(stops))
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
    """Tokens a second of one call."""
    started = time.perf_counter()
    tokens = function(seed)
    return tokens / (time.perf_counter() - started)


def memory(runs: int, threads: int, tokens: str, full: str) -> dict:
    """Peak resident memory of one forward and backward above that before it, in MiB."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from corea.rl.batching import Row, micro_batches
    from corea.rl.forward import TokenLogprobs

    torch.set_num_threads(threads)
    count, length = int(tokens) // 128, 128
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=151_936,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
        )
    )
    model.lm_head.weight.grad = torch.zeros_like(model.lm_head.weight)
    scored = TokenLogprobs(model, 1.0, *([10**12] if int(full) else []))
    rows = [
        Row(
            prompt_ids=[k + 1] * 8,
            token_ids=list(range(length)),
            rollout_logprobs=[0.0] * length,
            advantages=[1.0] * length,
            weight=1.0,
        )
        for k in range(count)
    ]
    small = micro_batches(rows[:1], 10**6, pad=0)[0]
    small.source, small.targets = small.source[:2], small.targets[:2]
    scored(small)[0].sum().backward()
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    for batch in micro_batches(rows, 10**6, pad=0):
        scored(batch)[0].sum().backward()
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before}


def floor(runs: int, threads: int) -> dict:
    """Seconds of the update of one batch, its matmul FLOPs with and without shared prompts, and FLOP/s of a product."""
    from torch.utils.flop_counter import FlopCounterMode

    from corea.engines.hf import HFEngine
    from corea.engines.loading import load_model
    from corea.rl.batching import Row, micro_batches
    from corea.rl.policy import Policy
    from corea.types import Sampling

    torch.set_num_threads(threads)
    cfg = config()
    model, tokenizer = load_model(cfg.model.path, dtype=cfg.model.dtype)
    policy = Policy(model, cfg.trainer, pad=tokenizer.pad_token_id or 0)
    answers = HFEngine.from_model(model, tokenizer).generate(first_prompts(), Sampling(max_tokens=MAX_TOKENS, n=GROUP))
    rows = [
        Row(
            prompt_ids=c.prompt_ids,
            token_ids=c.token_ids,
            rollout_logprobs=c.logprobs,
            advantages=[(-1.0) ** k] * len(c.token_ids),
            weight=1e-4,
        )
        for group in answers
        for k, c in enumerate(group)
    ]

    def batches(share: bool):
        return micro_batches(rows, cfg.trainer.token_budget, pad=policy.pad, share_prompt=share)

    def flops(share: bool) -> int:
        with FlopCounterMode(display=False) as counter:
            policy.update(batches(share), 1e-9)
        return counter.get_total_flops()

    found = {"flops": flops(True), "plain_flops": flops(False), "update": [], "rate": []}
    one, other = torch.randn(1024, 1024), torch.randn(1024, 1024)
    for _ in range(runs):
        started = time.perf_counter()
        policy.update(batches(True), 1e-9)
        found["update"].append(time.perf_counter() - started)
        best = 0.0
        for _ in range(5):
            started = time.perf_counter()
            one @ other
            best = max(best, 2 * 1024**3 / (time.perf_counter() - started))
        found["rate"].append(best)
    return found


def main() -> None:
    """training_worker.py WHAT RUNS THREADS [key=value ...]"""
    what, runs, threads, *rest = sys.argv[1:]
    torch.set_num_threads(int(threads))
    if what == "versions":
        print(json.dumps(versions()))
        return
    print(json.dumps(globals()[what](int(runs), int(threads), **dict(r.split("=") for r in rest))))


if __name__ == "__main__":
    main()
