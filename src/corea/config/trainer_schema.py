"""Schemas of the group `trainer` (RL) and of supervised training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from omegaconf import MISSING

from corea.config.checks import above, at_least, one_of, require, within
from corea.tasks.grading.names import is_own

ADVANTAGES = ("grpo", "dr_grpo", "rloo")


@dataclass
class LossConfig:
    """PPO-style policy loss (DESIGN section 5)."""

    eps_low: float = 0.2
    eps_high: float = 0.2
    kl: float = 0.0
    """Weight of the KL to the reference model; 0 keeps no reference."""
    kl_estimator: str = "k3"
    kl_importance: bool = True
    """Weight the KL term by the ratio to the policy that sampled the tokens, so that its gradient is that of the
    reverse KL for every estimator (arXiv 2512.02556, TRL's use_bias_correction_kl). false: k2 has this gradient in
    the first update of a batch, k3 has that of the forward KL (GRPO's original term), and k1, whose gradient is 0,
    is refused."""
    aggregation: str = "token_mean"
    """token_mean (one global denominator), sequence_mean, constant (divide by rows x max_tokens)."""
    importance_cap: Optional[float] = 2.0
    """Truncation of the trainer/sampler importance weight; None: no correction."""
    mask_truncated: bool = False
    """Leave completions that hit max_tokens out of the loss."""

    def __post_init__(self) -> None:
        above("trainer.loss.eps_low", self.eps_low, 0)
        above("trainer.loss.eps_high", self.eps_high, 0)
        at_least("trainer.loss.kl", self.kl, 0)
        one_of("trainer.loss.kl_estimator", self.kl_estimator, ("k1", "k2", "k3"))
        require(
            self.kl_estimator != "k1" or self.kl_importance,
            "trainer.loss.kl_estimator",
            self.kl_estimator,
            "k2 or k3 with trainer.loss.kl_importance=false: the gradient of k1 is 0 in expectation",
        )
        one_of("trainer.loss.aggregation", self.aggregation, ("token_mean", "sequence_mean", "constant"))
        above("trainer.loss.importance_cap", self.importance_cap, 0)


@dataclass
class OptimizerConfig:
    """AdamW and its learning-rate schedule."""

    lr: float = 1e-6
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    warmup: float = 0.05
    """Share of the steps with a linear ramp."""
    schedule: str = "constant"
    """constant, linear, cosine (both to 0)."""

    def __post_init__(self) -> None:
        above("optimizer.lr", self.lr, 0)
        require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            "optimizer.betas",
            self.betas,
            "two numbers in [0, 1)",
        )
        at_least("optimizer.weight_decay", self.weight_decay, 0)
        above("optimizer.max_grad_norm", self.max_grad_norm, 0)
        within("optimizer.warmup", self.warmup, 0, 1)
        one_of("optimizer.schedule", self.schedule, ("constant", "linear", "cosine"))


BEST_BY = ("pass@1", "ece", "brier", "auroc", "cascade_area")
"""Validation metrics that can select the best checkpoint; for ece and brier, smaller is better."""


@dataclass
class LoraConfig:
    """Low-rank adapters instead of all weights (arXiv 2106.09685, by peft). No dropout: it would make the trainer's
    log-probabilities others than the sampler's."""

    rank: int = 0
    """0: all weights are trained, without adapters."""
    alpha: float = 32.0
    """The update is scaled by alpha / rank."""
    targets: list[str] = field(default_factory=lambda: ["all-linear"])
    """Names of the adapted layers, e.g. [q_proj, v_proj]; all-linear: every linear layer but the output."""

    def __post_init__(self) -> None:
        at_least("trainer.lora.rank", self.rank, 0)
        above("trainer.lora.alpha", self.alpha, 0)
        require(bool(self.targets), "trainer.lora.targets", self.targets, "all-linear, or names of layers")


@dataclass
class TrainerConfig:
    """The RL loop."""

    name: str = MISSING
    steps: int = 100
    questions: int = 16
    """Questions (prompts P) a step."""
    group_size: int = 16
    """Completions (G) of each question."""
    temperature: float = 1.0
    advantage: str = "dr_grpo"
    """grpo (mean and std of the group), dr_grpo (mean only), rloo (mean of the others); or a function of your
    own, module:function or file.py:function, from the rewards of a group to its advantages."""
    credit: str = "whole"
    """whole (every token gets the advantage of the total reward), segment (correctness and format for the tokens up to
    the confidence, calibration for those of the confidence)."""
    resample: int = 0
    """Times that further questions are drawn in place of groups without any advantage (dynamic sampling, DAPO); 0
    skips such groups."""
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    minibatches: int = 1
    """Optimizer steps a batch."""
    epochs: int = 1
    """Passes over a batch."""
    token_budget: int = 1024
    """Padded tokens of one micro-batch; about what fits the processor's cache is fastest on a CPU."""
    share_prompt: bool = True
    """Compute a question's prompt once for all its completions in the update, where the model's attention allows."""
    zero_stage: int = 0
    """DeepSpeed ZeRO stage, 0 to 3."""
    offload: bool = False
    """Optimizer state (ZeRO 1 to 3) and parameters (ZeRO 3) in CPU memory."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """Train adapters instead of all weights; model/ then holds the weights with the adapters merged in."""
    save_every: int = 50
    """Steps between checkpoints; the last step is always saved."""
    keep_last: int = 2
    """Checkpoints kept, besides the best one."""
    resume: str = "auto"
    """auto: go on where this run folder stopped; never: refuse a folder that holds a run."""
    sample_every: int = 10
    """Steps between the samples written to samples.parquet."""
    panel_every: int = 0
    """Steps between two validations on held-out questions, answered greedily; 0: never."""
    panel_questions: int = 200
    """Questions of a validation, of the families in data.train: a split of their own, disjoint from training,
    calibration and test. A data set that has fewer gives all of them."""
    best_by: Optional[str] = None
    """pass@1, ece, brier, auroc or cascade_area of the validation: the checkpoint that is best by it is kept and
    becomes model/. A missing confidence counts as the worst one."""
    patience: Optional[int] = None
    """Stop early after so many validations in a row that were no better than the best; None: never."""
    max_skipped: int = 5
    """Stop after so many steps in a row whose loss or gradient was not finite; such steps change nothing."""
    threads: Optional[int] = None
    """torch threads a process; None: torch's own choice."""

    def __post_init__(self) -> None:
        for key in ("steps", "questions", "minibatches", "epochs", "token_budget", "save_every", "keep_last"):
            at_least(f"trainer.{key}", getattr(self, key), 1)
        at_least("trainer.group_size", self.group_size, 2)
        require(
            self.minibatches <= self.questions,
            "trainer.minibatches",
            self.minibatches,
            f"at most trainer.questions={self.questions}: each needs the completions of a question",
        )
        above("trainer.temperature", self.temperature, 0)
        if not is_own(self.advantage):
            one_of("trainer.advantage", self.advantage, (*ADVANTAGES, "module:function", "file.py:function"))
        one_of("trainer.credit", self.credit, ("whole", "segment"))
        one_of("trainer.resume", self.resume, ("auto", "never"))
        within("trainer.zero_stage", self.zero_stage, 0, 3)
        at_least("trainer.threads", self.threads, 1)
        at_least("trainer.sample_every", self.sample_every, 1)
        for key in ("resample", "panel_every"):
            at_least(f"trainer.{key}", getattr(self, key), 0)
        for key in ("panel_questions", "patience", "max_skipped"):
            at_least(f"trainer.{key}", getattr(self, key), 1)
        if self.best_by is not None:
            one_of("trainer.best_by", self.best_by, BEST_BY)
            require(self.panel_every > 0, "trainer.best_by", self.best_by, "nothing without trainer.panel_every")
        require(
            self.patience is None or self.best_by is not None,
            "trainer.patience",
            self.patience,
            "nothing without trainer.best_by",
        )
        require(
            self.lora.rank == 0 or self.zero_stage < 3,
            "trainer.zero_stage",
            self.zero_stage,
            "0, 1 or 2 with trainer.lora.rank > 0: adapters are small, there is little to share out",
        )
        require(
            not self.offload or self.zero_stage > 0, "trainer.offload", self.offload, "false with trainer.zero_stage=0"
        )


@dataclass
class SupervisedConfig:
    """The cold start (corea.sft)."""

    steps: int = 1000
    """Length of the learning-rate schedule."""
    stop_after: Optional[int] = None
    """Stop after this many steps of the schedule; None: run all of it."""
    batch_size: int = 64
    """Examples an optimizer step."""
    token_budget: int = 1024
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    eval_every: int = 500
    """Steps between evaluations on the test questions; each also saves the model."""
    eval_first: bool = False
    """Also evaluate before the first step."""
    eval_questions: int = 300
    """Questions a family in such an evaluation."""
    threads: Optional[int] = None

    def __post_init__(self) -> None:
        for key in ("steps", "batch_size", "token_budget", "eval_every", "eval_questions"):
            at_least(f"sft.{key}", getattr(self, key), 1)
        at_least("sft.stop_after", self.stop_after, 1)
        at_least("sft.threads", self.threads, 1)
