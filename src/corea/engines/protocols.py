"""Requirements of training on an engine, beyond answering prompts (corea.types.Engine).

A class named by `engine._target_` can train when it is a TrainingEngineFactory. All parameters of its `from_model` are
passed by keyword, besides the model and the tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from corea.types import Engine

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase


@runtime_checkable
class TrainingEngine(Engine, Protocol):
    """Samples completions from a model while it is trained.

    Its completions have `prompt_ids`, `token_ids` and `logprobs`; the log-probabilities are those of the distribution
    that was sampled from: the model's own at `Sampling.temperature`, without top-p or top-k. The update leaves out a
    token whose log-probability is NaN.

    An engine that keeps its own copy of the weights may set `shares_model = False`. Otherwise the whole model is
    gathered on every rank (ZeRO-3) while it samples. If besides it samples in another process, `generates_elsewhere =
    True` lets trainer.off_policy_steps=1 call `generate` in a thread during the update; `sync` is not called until it
    returns.
    """

    max_logprob_gap: float | None
    """Largest mean |difference| between the log-probabilities of the engine and of the trainer in a step; beyond it the
    run stops. None: no limit."""

    def sync(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Take over the trainer's weights after an update.

        Args:
            weights: (Hugging Face name, weight) of every parameter. Lazy: with ZeRO-3 each rank must exhaust it,
                because weights are gathered from all ranks while it is read. An engine that shares the trainer's
                module need not read it.
        """
        ...


@runtime_checkable
class AdapterEngine(Protocol):
    """A TrainingEngine that may take low-rank adapters in place of all weights."""

    takes_adapters: bool
    """True: with trainer.lora the adapters are passed on alone, by `sync_adapter`."""

    def sync_adapter(self, write: Callable[[Path], None]) -> None:
        """Take over the adapters after an update. `write` writes them (peft's files) into a folder on rank 0; every
        rank must call it."""
        ...


@runtime_checkable
class TrainingEngineFactory(Protocol):
    """A class whose `from_model` builds an engine on the model that is trained."""

    def from_model(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        *,
        path: str,
        revision: str | None,
        model_name: str,
        template: dict[str, Any],
        **options: Any,
    ) -> TrainingEngine:
        """Build the engine.

        Args:
            model: the module that is trained, a transformers causal language model.
            path: hub id or folder it was loaded from, for engines that keep their own copy.
            revision: commit on the hub, or None.
            model_name: name that completions carry.
            template: variables of the chat template.
            options: the engine's own keys in the configuration.
        """
        ...


class PaidEngine(Engine, Protocol):
    """Pays for its calls: the constructor also takes price, budget_usd and ledger (the file of its expenses)."""

    paid: bool
    """True."""

    @property
    def spent_usd(self) -> float | None:
        """Dollars spent so far; None if prices are unknown."""
        ...
