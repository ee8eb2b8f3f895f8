"""The plan of a training in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from corea.config import PlanConfig
from corea.plan.candidates import MOST_GPUS
from corea.plan.training_plan import Estimate, TrainingPlan

WIDTH = 118
"""Width in characters if the output is not a terminal."""
REMEDIES = {
    "weights": "trainer.zero_stage=3 with more GPUs",
    "gathered weights": "engine=vllm, which holds its own copy, or a smaller model",
    "optimizer": "more GPUs, trainer.offload=true or trainer.lora.rank=32",
    "reference": "trainer.zero_stage=3, or trainer.lora.rank=32, whose reference is the model itself",
    "gradients": "trainer.zero_stage=2 or trainer.lora.rank=32",
    "workspace of the optimizer": "more GPUs, trainer.offload=true or trainer.lora.rank=32",
    "activations": "trainer.gradient_checkpointing=true or a smaller trainer.token_budget",
    "logits, or one layer": "a smaller trainer.token_budget",
    "logits": "a smaller engine.batch_rows",
    "KV cache": "a smaller engine.batch_rows, or engine=vllm",
    "engine": "a smaller engine.gpu_share",
}
"""Part -> what makes it smaller."""
PHASES = {"rollout": "rollout", "backward": "backward pass", "step": "optimizer step"}


def show_training_plan(plan: TrainingPlan, console: Console | None = None) -> None:
    """Memory by part and phase, whether it fits, seconds, cost, and the cheapest preset."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH)
    cfg, figures = plan.cfg, plan.estimate
    console.print(
        f"{cfg.model.name}: {_size(plan.shape.parameters)} parameters, {cfg.gpus} x {cfg.gpu}, ZeRO stage "
        f"{cfg.trainer.zero_stage}{', adapters' if cfg.trainer.lora.rank else ''}, engine {cfg.engine.name}",
        highlight=False,
    )
    console.print(_memory_table(figures))
    console.print(fit_line(cfg, figures), highlight=False)
    for line in (*_remedy(figures), *_time_lines(figures), *_cheapest_lines(plan)):
        console.print(line, highlight=False)


def _size(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.2f} M"


def _memory_table(figures: Estimate) -> Table:
    table = Table(title="Memory per GPU, GB", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("part")
    for title in PHASES.values():
        table.add_column(title, justify="right")
    parts = list(dict.fromkeys(part for phase in PHASES for part in figures.memory.parts[phase]))
    for part in parts:
        sizes = [figures.memory.parts[phase].get(part, 0.0) for phase in PHASES]
        if any(sizes):
            table.add_row(part, *(f"{size / 1e9:.2f}" if size else "" for size in sizes))
    table.add_section()
    table.add_row("sum", *(f"{figures.memory.total(phase) / 1e9:.2f}" for phase in PHASES))
    return table


def fit_line(cfg: PlanConfig, figures: Estimate) -> str:
    """Whether the peak fits, in one line."""
    peak = figures.memory.peak / 1e9
    beside = f"; {figures.memory.cpu / 1e9:.1f} GB of CPU memory per GPU" if figures.memory.cpu else ""
    if figures.limit is None:
        return f"peak {peak:.2f} GB{beside}; give plan.memory_gb to compare it with"
    verdict = "fits" if figures.fits else "does not fit"
    limit = figures.limit / 1e9
    reserve = f"{cfg.plan.reserve:.0%} of {limit / (1 - cfg.plan.reserve):.0f} GB stay free"
    return f"{verdict}: peak {peak:.1f} GB of {limit:.1f} GB ({reserve}){beside}"


def _remedy(figures: Estimate) -> list[str]:
    """What to change if the peak does not fit: the largest part of the largest phase."""
    if figures.fits is not False:
        return []
    phase = max(PHASES, key=figures.memory.total)
    part, size = max(figures.memory.parts[phase].items(), key=lambda item: item[1])
    return [f"most of it in the {PHASES[phase]}: {part}, {size / 1e9:.1f} GB; try {REMEDIES[part]}"]


def _time_lines(figures: Estimate) -> list[str]:
    seconds = figures.seconds
    if seconds is None:
        return ["no times: the peak of this device for this number format is unknown (plan.peak_tflops)"]
    parts = f"rollout {seconds.rollout:.1f} s, reward {seconds.reward:.1f} s, update {seconds.update:.1f} s"
    return [f"step {seconds.step:.1f} s: {parts}", f"{figures.steps} steps: {cost_words(figures)}"]


def cost_words(figures: Estimate) -> str:
    """GPU hours and, with a price, dollars."""
    hours = f"{figures.gpu_hours:,.1f} GPU hours"
    return hours if figures.dollars is None else f"{hours}, {figures.dollars:,.2f} USD"


def _cheapest_lines(plan: TrainingPlan) -> list[str]:
    lines = []
    for kind, best in plan.cheapest.items():
        if best is None:
            own = ", or engine=vllm" if plan.cfg.engine.name == "hf" else ""
            remedy = f"try a larger gpu=, a smaller trainer.token_budget{own}"
            lines.append(f"cheapest with {kind}: no preset fits on up to {MOST_GPUS} GPUs; {remedy}")
            continue
        candidate, figures = best
        step = "" if figures.seconds is None else f"{figures.seconds.step:.1f} s per step, "
        number = f"{figures.gpus} GPU{'s' if figures.gpus > 1 else ''}"
        peak = f"peak {figures.memory.peak / 1e9:.1f} GB"
        lines.append(f"cheapest with {kind}: {candidate.preset} on {number}, {step}{peak}, {cost_words(figures)}:")
        lines.append(f"  {candidate.overrides}")
    return lines
