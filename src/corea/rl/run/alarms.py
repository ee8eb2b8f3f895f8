"""Warnings about a run that is going wrong, each with a remedy. Pure; imports no torch.

An alarm compares the mean of a metric over the last WINDOW steps with a limit. After a warning it is silent for WINDOW
steps. A resumed run starts with empty windows: alarms only print messages and change nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

WINDOW = 10
"""Steps in the mean."""
MISSING = float("nan")


class MovingMean:
    """Mean of the last WINDOW values; NaN if there are fewer, or if one of them is NaN."""

    def __init__(self) -> None:
        self.values: deque[float] = deque(maxlen=WINDOW)

    def add(self, value: float) -> float:
        """Add a value and return the mean."""
        self.values.append(value)
        return sum(self.values) / WINDOW if len(self.values) == WINDOW else MISSING

    def clear(self) -> None:
        """Forget all values."""
        self.values.clear()


class Alarm:
    """Watches one metric and warns while its mean exceeds a limit; subclasses define both and the message."""

    metric: str
    """Key of the watched metric."""
    limit: float
    """Largest healthy mean, unless a subclass compares otherwise."""

    def __init__(self) -> None:
        self.mean = MovingMean()

    def check(self, metrics: Mapping[str, float]) -> str | None:
        """The warning after a step with these metrics, or None."""
        mean = self.mean.add(self.watched(metrics))
        if not self.exceeded(mean):
            return None
        self.mean.clear()
        return self.message(mean, metrics)

    def watched(self, metrics: Mapping[str, float]) -> float:
        """The watched metric of a step; NaN if the step has none."""
        return metrics.get(self.metric, MISSING)

    def exceeded(self, mean: float) -> bool:
        """Whether the mean calls for a warning; False for NaN."""
        return mean > self.limit

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        """What has happened, and the remedy."""
        raise NotImplementedError


class NarrowBand(Alarm):
    """Confidences have collapsed to a narrow band although questions differ in difficulty.

    RLCR (arXiv 2507.16806) reports this for equally hard questions; a higher temperature, another prompt or a mix of
    difficulties helps.
    """

    metric = "confidence/std"
    limit = 0.05
    """Smallest healthy standard deviation."""

    def exceeded(self, mean: float) -> bool:
        return mean < self.limit

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        cause = (
            "the questions are about equally hard: mix difficulties in data"
            if metrics["pass_rate/std"] < 0.1
            else "raise trainer.temperature, lower trainer.optimizer.lr, or use a prompt that asks for the whole range"
        )
        return (
            f"confidence has collapsed to a narrow band (mean {metrics['confidence/mean']:.2f}, standard deviation "
            f"{mean:.3f} over {WINDOW} steps, {metrics['confidence/distinct']:.0f} distinct values); {cause}"
        )


class OneValue(Alarm):
    """Nearly all answers state the same confidence; a few others keep the standard deviation up."""

    metric = "confidence/top_share"
    limit = 0.95

    def watched(self, metrics: Mapping[str, float]) -> float:
        narrow = metrics.get("confidence/std", MISSING) < NarrowBand.limit  # NarrowBand already warns
        return 0.0 if narrow else super().watched(metrics)

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"{mean:.0%} of the confidences of {WINDOW} steps are the same value; raise trainer.temperature, take a "
            "longer cold start with varied confidences, or trainer.credit=expected"
        )


class Extremes(Alarm):
    """Nearly all confidences are 0 or 1."""

    limit = 0.95

    def watched(self, metrics: Mapping[str, float]) -> float:
        return metrics.get("confidence/share_0", MISSING) + metrics.get("confidence/share_1", MISSING)

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"{mean:.0%} of the confidences of {WINDOW} steps are 0 or 1; take a proper rule (reward=brier, l2_group "
            "or kl_group), raise reward.calib, or lower trainer.optimizer.lr"
        )


class LowEntropy(Alarm):
    """The policy is nearly deterministic: the rollouts of a group agree, so that there is no learning signal."""

    metric = "entropy"
    limit = 0.05
    """Smallest healthy share of the entropy at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.start: float | None = None

    def exceeded(self, mean: float) -> bool:
        if self.start is None and mean == mean:
            self.start = mean
        return self.start is not None and mean < self.limit * self.start

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"entropy has fallen to {mean:.4f} nats per token from {self.start:.4f}; lower trainer.optimizer.lr, raise "
            "trainer.temperature, raise trainer.loss.eps_high, or add trainer.loss.kl"
        )


class Truncated(Alarm):
    """Most completions reach the token limit."""

    metric = "truncated_share"
    limit = 0.5

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"{mean:.0%} of the completions of {WINDOW} steps were cut off at model.max_tokens; raise it, or check "
            "that the model's end-of-sequence token is the one it was trained with"
        )


class NoConfidence(Alarm):
    """Most completions have no readable confidence."""

    metric = "missing_confidence_share"
    limit = 0.5

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"{mean:.0%} of the completions of {WINDOW} steps state no readable confidence; run a cold start "
            "(corea.sft), take model.prompt=confidence, or raise reward.format"
        )


class MissingLogprobs(Alarm):
    """The engine gives tokens without a finite log-probability; the update leaves them out."""

    metric = "missing_logprobs"
    limit = 0.0

    def message(self, mean: float, metrics: Mapping[str, float]) -> str:
        return (
            f"{mean:.1f} tokens per step of {WINDOW} steps have no finite log-probability from the engine and are left "
            "out of the update; check its number format (model.dtype=float32)"
        )


class Alarms:
    """All alarms of a run."""

    def __init__(self) -> None:
        kinds = (NarrowBand, OneValue, Extremes, LowEntropy, Truncated, NoConfidence, MissingLogprobs)
        self.alarms = [kind() for kind in kinds]

    def check(self, metrics: Mapping[str, float]) -> list[str]:
        """Warnings after a step with these metrics."""
        return [warning for alarm in self.alarms if (warning := alarm.check(metrics)) is not None]
