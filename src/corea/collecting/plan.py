"""The questions and the tiers that answer them, from the configuration and, with run=..., from that of the run."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from corea.answers.fit_part import is_fit_part
from corea.config import (
    CollectConfig,
    DataConfig,
    EngineConfig,
    HFEngineConfig,
    LLMConfig,
    ModelConfig,
    PriceConfig,
    RayEngineConfig,
)
from corea.config.deprecated import first_target
from corea.config.messages import one_line
from corea.config.model_schema import revision_of
from corea.engines.build import resolve_engine
from corea.errors import UserError
from corea.tasks.held_out import family_questions
from corea.tasks.prompts import get_prompt, prompt_hash
from corea.types import Question

log = logging.getLogger(__name__)

CALIBRATION, TEST = SPLITS = ("calibration", "test")
BESIDE_WEIGHTS = ("operating_point.json", "metrics.json")
"""Results that corea.publish puts beside the weights; they are no part of the model."""


@dataclass(slots=True, kw_only=True)
class Tier:
    """One model that answers all questions."""

    tier: int
    """0 = SLM, 1.. = larger."""
    label: str
    """Name of its files: "slm", "slm_before", "llm", "larger-NAME"."""
    name: str
    """Name of the model in the answers table."""
    path: str
    """Hub id, local folder, "package:NAME", or the model name of a server."""
    engine: EngineConfig
    revision: str | None
    dtype: str
    prompt: str
    template: dict[str, Any] = field(default_factory=dict)
    """Variables of the chat template."""
    temperature: float
    max_prompt_tokens: int | None
    """Maximum prompt length; None: the limit of the model."""
    max_tokens: int
    samples: int
    seed: int
    price: PriceConfig
    budget_usd: float | None = None
    """Maximum dollars that its calls may cost; None: no limit."""
    expects_confidence: bool
    """True if a completion without a confidence is incomplete."""
    signals: tuple[str, ...] = ()
    """Confidence signals to collect, of SIGNALS. The last tier needs none; a middle tier has no fitted ones."""

    @property
    def percent(self) -> bool:
        """True if the prompt asks for a confidence in percent."""
        return get_prompt(self.prompt).percent

    def identity(self) -> dict[str, Any]:
        """Everything that its answers depend on; not prices, graders and batch sizes."""
        served = self.engine.identity()
        identity = {
            "model": self.path if served else fingerprint(self.path),
            **({"server": served} if served else {}),
            **({"template": self.template} if self.template else {}),
            "revision": self.revision,
            "dtype": self.dtype,
            "engine": first_target(self.engine._target_),  # answers of earlier releases stay valid
            **({"engine_params": params} if (params := getattr(self.engine, "params", None)) else {}),
            "prompt": prompt_hash(self.prompt),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }
        taken = sorted(set(self.signals) & {"expected", "avg_prob", "probe"})  # recorded while the model answers
        return {**identity, "signals": taken} if taken else identity


def fingerprint(path: str) -> str:
    """A local model's SHA-256 over its configuration, tokenizer and weights, or a file's; any other path unchanged."""
    from corea.engines.loading import model_location

    if Path(path).is_file():
        return _digest(((path, Path(path).stat().st_size, Path(path).stat().st_mtime_ns),))
    folder = Path(model_location(path))
    if not folder.is_dir():
        return path
    return folder_fingerprint(folder)


def folder_fingerprint(folder: Path) -> str:
    """SHA-256 over configuration, tokenizer and weights of the model in a folder. Imports no torch."""
    kinds = (".json", ".jinja", ".safetensors", ".model", ".txt")
    files = sorted(f for f in folder.iterdir() if f.suffix in kinds and f.name not in BESIDE_WEIGHTS)
    return _digest(tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files))


@lru_cache(maxsize=64)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, _, _ in files:
        with open(name, "rb") as stream:
            inside = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{Path(name).name} {inside}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def question_key(question: Question) -> str:
    """Key of a question in the store; changes with its id and its text."""
    return hashlib.sha256(json.dumps([question.id, question.text]).encode()).hexdigest()[:16]


def held_out_questions(data: DataConfig) -> list[Question]:
    """Calibration and test questions of every family."""
    questions = []
    for name, family in data.families.items():
        for split, size in zip(SPLITS, (family.calibration, family.test), strict=True):
            questions += family_questions(data, name, split, size)
    return questions


def asked_of(tier: Tier, questions: Sequence[Question], cfg: CollectConfig) -> list[Question]:
    """The questions that a tier answers: with `cfg.fit_without_llm` the last one leaves out those of the fit part."""
    if not cfg.fit_without_llm or tier.tier <= len(cfg.larger):
        return list(questions)
    return [q for q in questions if not is_for_fit(q)]


def is_for_fit(question: Question) -> bool:
    """True for a calibration question of the fit part."""
    return question.split == CALIBRATION and is_fit_part(question.dataset, question.id)


def tiers_of(cfg: CollectConfig) -> list[Tier]:
    """Tiers in the order in which they answer: with a run, the SLM before RL; the SLM; the LLM; larger ones."""
    small = _small(cfg)
    behind = {"llm": cfg.llm, **{f"larger-{name}": llm for name, llm in cfg.larger.items()}}
    large = [_large(cfg, llm, label, 1 + n, last=n == len(cfg.larger)) for n, (label, llm) in enumerate(behind.items())]
    if cfg.run is None:
        return [small, *large]
    before = [replace(small, label="slm_before", name=f"{small.name}-before")] if cfg.before else []
    return [*before, replace(small, path=trained_model(Path(cfg.run)), revision=None), *large]


def _small(cfg: CollectConfig) -> Tier:
    model = cfg.model
    return _tier(
        cfg,
        model,
        model.path,
        cfg.engine.inner if isinstance(cfg.engine, RayEngineConfig) else cfg.engine,
        tier=0,
        label="slm",
        temperature=cfg.temperature,
        max_prompt_tokens=model.max_prompt_tokens,
        samples=cfg.samples,
        expects_confidence=get_prompt(model.prompt).expects_confidence,
        signals=tuple(cfg.signals),
    )


def _large(cfg: CollectConfig, llm: LLMConfig, label: str, tier: int, last: bool) -> Tier:
    """A larger tier. If it is not the last, it has the signals that its engine can give."""
    able = {"verbalized"} | (
        {"expected", "avg_prob"} if isinstance(resolve_engine(llm.engine), HFEngineConfig) else set()
    )
    able |= {"vote"} if llm.temperature and cfg.samples > 1 else set()
    return _tier(
        cfg,
        llm,
        llm.model,
        llm.engine,
        tier=tier,
        label=label,
        temperature=llm.temperature,
        max_prompt_tokens=None,
        samples=cfg.samples if llm.temperature else 1,
        budget_usd=llm.budget_usd,
        expects_confidence=not last and get_prompt(llm.prompt).expects_confidence,
        signals=() if last else tuple(s for s in cfg.signals if s in able),
    )


def _tier(cfg: CollectConfig, model: ModelConfig | LLMConfig, path: str, engine: EngineConfig, **more: Any) -> Tier:
    """Build a tier; `more` holds what differs between small and large models."""
    return Tier(
        name=model.name,
        path=path,
        engine=resolve_engine(engine),
        revision=revision_of(path, model.revision),
        dtype=model.dtype,
        prompt=model.prompt,
        template=model.template,
        max_tokens=model.max_tokens,
        price=model.price,
        seed=cfg.seed,
        **more,
    )


def trained_model(run: Path) -> str:
    """Folder of the model that a run has trained.

    Raises:
        UserError: the run has no trained model.
    """
    folder = run / "model"
    if not (folder / "config.json").exists():
        kept = (run / "checkpoints").is_dir() and any((run / "checkpoints").iterdir())
        reason = "it has checkpoints; start the training again to finish it" if kept else "nothing was trained there"
        raise UserError(f"run={run}: no model/ in this run folder ({reason})")
    if (origin := model_origin(run)) is not None:
        log.info("%s: %s", folder, origin)
    return str(folder)


def model_origin(run: Path) -> str | None:
    """The checkpoint in model/ of a run, in words; None if provenance.json has no record of it."""
    try:
        record = json.loads((run / "provenance.json").read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    best = f", the best by {record['best_by']} ({record['value']:.4f})" if "best_by" in record else ", the last"
    return f"weights after step {record['step']}{best}"


def with_run_defaults(cfg: CollectConfig, overrides: Sequence[str]) -> CollectConfig:
    """`model` and `data` as the run has stored them, except for what `overrides` (of the command line) name.

    Raises:
        UserError: `cfg.run` is not the folder of a training run.
    """
    if cfg.run is None:
        return cfg
    file = Path(cfg.run) / "config.yaml"
    if not file.is_file():
        raise UserError(f"run={cfg.run}: not the folder of a training run (no config.yaml)")
    try:
        stored = OmegaConf.to_container(OmegaConf.load(file))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({one_line(str(error))})") from error
    merged: dict[str, Any] = {}
    for group, schema in (("model", ModelConfig), ("data", DataConfig)):
        if not isinstance(stored, dict) or not isinstance(stored.get(group), dict):
            raise UserError(f"{file}: has no {group}; not the configuration of a training run")
        chosen = _override(stored[group], asdict(getattr(cfg, group)), group, overrides)
        try:
            merged[group] = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), chosen))
        except (OmegaConfBaseException, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{file}: {group} cannot be used ({reason})") from error
    return replace(cfg, **merged)


def _override(stored: dict[str, Any], given: dict[str, Any], group: str, overrides: Sequence[str]) -> dict[str, Any]:
    """`stored`, with the values of `given` at the keys of `group` that the command line sets."""
    for item in OverridesParser.create().parse_overrides(list(overrides)):
        key = item.key_or_group
        if key == group or key.startswith(f"{group}/"):
            return given
        if key.startswith(f"{group}."):
            *path, last = key.split(".")[1:]
            target, source = stored, given
            for part in path:
                target, source = target.setdefault(part, {}), source[part]
            if last in source:
                target[last] = source[last]
            else:
                target.pop(last, None)  # ~key
    return stored
