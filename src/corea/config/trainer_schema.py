"""Schema of the group `trainer`: the RL loop, its loss and its optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from omegaconf import MISSING

from corea.config.allowed_names import one_of_or_own
from corea.config.checks import Allowed, above, at_least, check, checked, nested, one_of, require, within

BEST_BY = ("pass@1", "ece", "brier", "auroc", "cascade_area")
"""Validation figures that can choose the best checkpoint."""
LOWER_IS_BETTER = ("ece", "brier")
"""Those of BEST_BY of which a smaller value is better; of the others, a larger one."""
ADVANTAGES = ("grpo", "dr_grpo", "rloo")
IMPORTANCE_MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
_BETAS = Allowed("two numbers in [0, 1)", lambda betas: len(betas) == 2 and all(0 <= beta < 1 for beta in betas))
_PROFILE = Allowed(
    "one step or two, the first and the last, counted from 1: [3,5]",
    lambda steps: len(steps) in (1, 2) and 1 <= steps[0] <= steps[-1],
)
_ZERO_OR_ONE = Allowed("0 or 1", lambda value: value in (0, 1))
_TARGETS = Allowed("all-linear, or names of layers", bool)


@dataclass
class LossConfig:
    """Clipped policy loss of PPO (arXiv 1707.06347) with an optional KL term; docs/training.md."""

    eps_low: float = checked(0.2, above(0))
    """Lower clip range: ratios are clipped at 1 - eps_low."""
    eps_high: float = checked(0.2, above(0))
    """Upper clip range: ratios are clipped at 1 + eps_high."""
    kl: float = checked(0.0, at_least(0))
    """Weight of the KL divergence to the reference model; 0 loads no reference model."""
    kl_estimator: str = checked("k3", one_of("k1", "k2", "k3"))
    """Estimator of the KL divergence from samples (http://joschu.net/blog/kl-approx.html)."""
    kl_importance: bool = True
    """Weight the KL term by the ratio to the policy that sampled the tokens, so that its gradient is that of the
    reverse KL for every estimator (arXiv 2512.02556, TRL's use_bias_correction_kl). false: k2 has this gradient in
    the first update of a batch, k3 has that of the forward KL (GRPO's original term), and k1, whose gradient is 0,
    is refused."""
    kl_confidence: bool = True
    """Count the tokens after the tag <confidence> in the KL term. false, for trainer.credit=segment or expected: the
    distribution of the confidence may move freely from that of the reference model, which knows nothing of it."""
    aggregation: str = checked("token_mean", one_of("token_mean", "sequence_mean", "constant"))
    """token_mean (one global denominator), sequence_mean, constant (divide by rows x max_tokens)."""
    importance_cap: Optional[float] = checked(2.0, above(0))
    """Upper bound of the trainer/sampler importance weight; null: no correction."""
    importance_mode: str = checked("token_truncate", one_of(*IMPORTANCE_MODES))
    """Level of the importance weight (of each token, or the product over a completion), and what happens to one above
    importance_cap: truncate sets it to the cap, mask to 0, which leaves the tokens out. The four modes of TRL
    (vllm_importance_sampling_mode)."""
    mask_truncated: bool = False
    """Leave completions that hit max_tokens out of the loss."""

    def __post_init__(self) -> None:
        check(self, "trainer.loss")
        estimates = self.kl_estimator != "k1" or self.kl_importance
        allowed = "k2 or k3 with trainer.loss.kl_importance=false: the gradient of k1 is 0 in expectation"
        require(estimates, "trainer.loss.kl_estimator", self.kl_estimator, allowed)


@dataclass
class OptimizerConfig:
    """AdamW and its learning-rate schedule."""

    lr: float = checked(1e-6, above(0))
    """Peak learning rate."""
    betas: list[float] = checked(factory=lambda: [0.9, 0.999], allowed=_BETAS)
    """Decay rates of AdamW's two moments."""
    weight_decay: float = checked(0.0, at_least(0))
    """Decoupled weight decay."""
    max_grad_norm: float = checked(1.0, above(0))
    """Gradients are clipped to this norm."""
    warmup: float = checked(0.05, within(0, 1))
    """Share of the steps with a linear warm-up."""
    schedule: str = checked("constant", one_of("constant", "linear", "cosine"))
    """Learning rate after the warm-up; linear and cosine decay to 0."""

    def __post_init__(self) -> None:
        check(self, "optimizer")


@dataclass
class LoraConfig:
    """Low-rank adapters instead of all weights (arXiv 2106.09685, by peft).

    Dropout is not offered: it would make the trainer's log-probabilities differ from the sampler's.
    """

    rank: int = checked(0, at_least(0))
    """Rank of the adapters; 0: train all weights, without adapters."""
    alpha: float = checked(32.0, above(0))
    """The update is scaled by alpha / rank."""
    targets: list[str] = checked(factory=lambda: ["all-linear"], allowed=_TARGETS)
    """Names of the adapted layers, e.g. [q_proj, v_proj]; all-linear: every linear layer but the output."""

    def __post_init__(self) -> None:
        check(self, "trainer.lora")


@dataclass
class TrainerConfig:
    """The RL loop."""

    name: str = MISSING
    """Name of the choice."""
    steps: int = checked(100, at_least(1))
    """Training steps."""
    questions: int = checked(16, at_least(1))
    """Questions (prompts P) per step."""
    group_size: int = checked(16, at_least(2))
    """Completions (G) per question."""
    temperature: float = checked(1.0, above(0))
    """Sampling temperature of the rollouts."""
    advantage: str = checked("dr_grpo", one_of_or_own(*ADVANTAGES))
    """Baseline and scale of the advantage: grpo (mean and std of the group), dr_grpo (mean only), rloo (mean of the
    others); or a function of your own, module:function or file.py:function, from the rewards of a
    group to its advantages."""
    credit: str = checked("whole", one_of("whole", "segment", "expected"))
    """whole (every token gets the advantage of the total reward), segment (tokens up to the confidence get that of
    correctness and format, tokens of the confidence that of calibration), expected (as segment, but the tokens of the
    number get the exact gradient of the expected calibration reward instead of one from the sampled number)."""
    resample: int = checked(0, at_least(0))
    """How often, at most, further questions replace groups whose advantages are all 0 (dynamic sampling, DAPO); 0: such
    groups are skipped."""
    loss: LossConfig = nested(LossConfig)
    """The policy loss."""
    optimizer: OptimizerConfig = nested(OptimizerConfig)
    """The optimizer and its schedule."""
    minibatches: int = checked(1, at_least(1))
    """Optimizer steps per pass over a batch."""
    epochs: int = checked(1, at_least(1))
    """Passes over a batch."""
    off_policy_steps: int = checked(0, _ZERO_OR_ONE)
    """Updates between the weights that sample a batch and those that are updated on it. 1: the next batch is sampled
    during the update, by an engine in another process (vllm_server); trainer.loss.importance_cap corrects for it."""
    token_budget: int = checked(1024, at_least(1))
    """Padded tokens per micro-batch; on a CPU, a number that fits the processor's cache is fastest."""
    share_prompt: bool = True
    """Compute the prompt of a question once for all its completions in the update, if the model's attention allows."""
    packing: bool = False
    """Lay the sequences of a micro-batch end to end instead of padding them. Layers with a sliding window refuse it."""
    zero_stage: int = checked(0, within(0, 3))
    """DeepSpeed ZeRO stage."""
    offload: bool = False
    """Keep optimizer state (ZeRO 1 to 3) and parameters (ZeRO 3) in CPU memory."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them."""
    lora: LoraConfig = nested(LoraConfig)
    """Train adapters instead of all weights; model/ then holds the weights with the adapters merged in."""
    save_every: int = checked(50, at_least(1))
    """Steps between checkpoints; the last step is always saved."""
    keep_last: int = checked(2, at_least(1))
    """Number of checkpoints kept, besides the best one."""
    resume: str = checked("auto", one_of("auto", "never"))
    """auto: continue where this run folder stopped; never: refuse a folder that contains a run."""
    sample_every: int = checked(10, at_least(1))
    """Steps between two steps whose samples are written to samples.parquet."""
    validation_every: int = checked(0, at_least(0))
    """Steps between two validations on held-out questions, answered greedily; 0: never."""
    validation_questions: int = checked(200, at_least(1))
    """Questions per validation, of the families in data.train; their split is disjoint from training,
    calibration and test. If there are fewer, all are used."""
    best_by: Optional[str] = checked(None, one_of(*BEST_BY))
    """Validation figure that chooses the best checkpoint, which becomes model/, and whose best value a job returns to
    a sweeper that optimises; needs trainer.validation_every. A missing confidence counts as the worst one."""
    patience: Optional[int] = checked(None, at_least(1))
    """Stop after this many validations in a row without a better figure; needs trainer.best_by. null: never."""
    max_skipped: int = checked(5, at_least(1))
    """Stop after this many steps in a row whose loss or gradient was not finite; such steps change nothing."""
    threads: Optional[int] = checked(None, at_least(1))
    """torch threads per process; null: torch's default."""
    profile: Optional[list[int]] = checked(None, _PROFILE)
    """Steps of which torch's profiler writes a trace into the run folder: first and last, or one; null: none."""
    peak_tflops: Optional[float] = checked(None, above(0))
    """Peak of a device in TFLOP/s, of which speed/mfu is the share; null: that of a known GPU (corea.gpus), and no
    speed/mfu on a CPU."""

    def __post_init__(self) -> None:
        check(self, "trainer")
        late = self.profile is not None and self.profile[-1] > self.steps
        require(not late, "trainer.profile", self.profile, f"steps up to trainer.steps={self.steps}")
        most = f"at most trainer.questions={self.questions}: each needs the completions of a question"
        require(self.minibatches <= self.questions, "trainer.minibatches", self.minibatches, most)
        told_apart = self.loss.kl_confidence or self.credit != "whole"
        allowed = "true with trainer.credit=whole, which does not tell the confidence from the answer"
        require(told_apart, "trainer.loss.kl_confidence", self.loss.kl_confidence, allowed)
        unvalidated = self.best_by is not None and self.validation_every == 0
        require(not unvalidated, "trainer.best_by", self.best_by, "nothing without trainer.validation_every")
        alone = self.patience is not None and self.best_by is None
        require(not alone, "trainer.patience", self.patience, "nothing without trainer.best_by")
        uncorrected = self.off_policy_steps > 0 and self.loss.importance_cap is None
        allowed = "0 with trainer.loss.importance_cap=null: importance weights correct for older samples"
        require(not uncorrected, "trainer.off_policy_steps", self.off_policy_steps, allowed)
        sharded = self.lora.rank > 0 and self.zero_stage == 3
        allowed = "0, 1 or 2 with trainer.lora.rank > 0: adapters are too small to gain from stage 3"
        require(not sharded, "trainer.zero_stage", self.zero_stage, allowed)
        unsharded = self.offload and self.zero_stage == 0
        require(not unsharded, "trainer.offload", self.offload, "false with trainer.zero_stage=0")


@dataclass
class SupervisedConfig:
    """Supervised training (corea.sft)."""

    steps: int = checked(1000, at_least(1))
    """Length of the learning-rate schedule."""
    stop_after: Optional[int] = checked(None, at_least(1))
    """Stop after this many steps of the schedule; null: run all of it."""
    batch_size: int = checked(64, at_least(1))
    """Examples per optimizer step."""
    token_budget: int = checked(1024, at_least(1))
    """Padded tokens per micro-batch."""
    optimizer: OptimizerConfig = nested(OptimizerConfig)
    """The optimizer and its schedule."""
    muon_lr: Optional[float] = checked(None, above(0))
    """Peak learning rate of Muon, which then updates the matrices of the layers; null: AdamW updates everything."""
    eval_every: int = checked(500, at_least(1))
    """Steps between evaluations on the test questions; each also saves the model."""
    eval_first: bool = False
    """Also evaluate before the first step."""
    eval_questions: int = checked(300, at_least(1))
    """Questions per family in such an evaluation."""
    threads: Optional[int] = checked(None, at_least(1))
    """torch threads per process; null: torch's default."""

    def __post_init__(self) -> None:
        check(self, "sft")
