"""Builds the tiers of an operating point as they were collected, and checks that weights, prompts and sampling are
those that its thresholds hold for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from corea.cascade.fitted_maps import LENGTH
from corea.cascade.live_point import LivePoint, PointFile
from corea.collecting.plan import Tier, fingerprint
from corea.config.allowed_names import KINDS
from corea.config.checks import shown
from corea.config.deprecated import current_target
from corea.config.engine_schema import (
    EngineConfig,
    HFEngineConfig,
    OpenAIEngineConfig,
    OwnEngineConfig,
    RecordedEngineConfig,
    VLLMEngineConfig,
    VLLMServerEngineConfig,
)
from corea.config.live_schema import LiveTierConfig
from corea.config.price_schema import PriceConfig
from corea.engines.build import resolve_engine
from corea.errors import UserError
from corea.tasks.prompts import get_prompt, prompt_hash

ENGINES = (HFEngineConfig, VLLMEngineConfig, OpenAIEngineConfig, VLLMServerEngineConfig, RecordedEngineConfig)
LIVE = {kind.name: kind.live for kind in KINDS if kind.live}
"""Signal -> names of the engines that give it with an answer. All give the stated confidence and the length."""
BOUND = {
    "model": "weights",
    "revision": "revision",
    "prompt": "prompt",
    "template": "chat template",
    "temperature": "temperature",
    "max_tokens": "token limit",
    "extra": "request fields",
}
"""Key of an identity -> its name in messages: what an operating point holds for."""


def live_tiers(
    file: PointFile,
    points: Iterable[LivePoint],
    changes: Mapping[str, LiveTierConfig],
    unbound: bool = False,
    policy: str = "answer",
) -> dict[int, Tier]:
    """Tier number -> tier, for every tier of the chains of `points`. `policy`: the key of `unbound` in messages.

    Raises:
        UserError: a tier cannot be built, or gives no such signal, or (unless `unbound`) is not what was calibrated.
    """
    points = list(points)
    numbers = sorted({tier for point in points for tier in point.chain})
    unknown = [name for name, change in changes.items() if int(name) not in numbers and change != LiveTierConfig()]
    if unknown:
        raise UserError(f"tiers.{unknown[0]}: allowed is a tier of the chain: {', '.join(map(str, numbers))}")
    tiers = {}
    for number in numbers:
        signals = {name: p for p in points if number in p.chain for name in p.features(p.chain.index(number))}
        change = changes.get(str(number), LiveTierConfig())
        tiers[number] = _tier(file, number, change, tuple(sorted(signals.keys() - {"verbalized", LENGTH})), policy)
        for signal in tiers[number].signals:
            _require_live(file, tiers[number], signal)
        if not unbound:
            _require_bound(file, tiers[number], policy)
    return tiers


def _tier(file: PointFile, number: int, change: LiveTierConfig, signals: tuple[str, ...], policy: str) -> Tier:
    record = file.models.get(str(number), {})
    prompt = change.prompt or file.prompts.get(str(number), {}).get("name")
    engine = change.engine or _recorded_engine(record)
    model = change.model or _path(file, record)
    temperature = record.get("temperature") if change.temperature is None else change.temperature
    max_tokens = change.max_tokens or record.get("max_tokens")
    if model is None or engine is None or prompt is None or temperature is None or max_tokens is None:
        given = {"model": model, "engine": engine, "prompt": prompt}
        given |= {"temperature": temperature, "max_tokens": max_tokens}
        lacking = [name for name, value in given.items() if value is None]
        keys = ", ".join(f"tiers.{number}.{name}" for name in lacking)
        raise UserError(
            f"{file.path}: tier {number} does not say how it was asked: give {keys} (and {policy}.unbound=true)"
        )
    samples = record.get("samples", 1) if "vote" in signals else 1
    return Tier(
        tier=number,
        label=f"tier{number}",
        name=change.model or str(record.get("name") or model),
        path=model,
        engine=resolve_engine(engine),
        revision=change.revision or (None if change.model else record.get("revision")),
        dtype=change.dtype or record.get("dtype", "auto"),
        prompt=prompt,
        template=dict(record.get("template") or {}),
        temperature=temperature,
        max_prompt_tokens=None,
        max_tokens=max_tokens,
        samples=samples,
        seed=record.get("seed", 0),
        price=_price(file, number, change),
        expects_confidence=record.get("expects_confidence", _expects_confidence(file, number, prompt)),
        signals=signals,
    )


def _expects_confidence(file: PointFile, number: int, prompt: str) -> bool:
    """As for a tier that is collected: the last one is not expected to state a confidence."""
    return number != max(map(int, file.models), default=number) and get_prompt(prompt).expects_confidence


def _price(file: PointFile, number: int, change: LiveTierConfig) -> PriceConfig:
    if change.price != PriceConfig():
        return change.price
    names = {field.name for field in fields(PriceConfig)}
    return PriceConfig(**{k: v for k, v in file.prices.get(str(number), {}).items() if k in names})


def _recorded_engine(record: Mapping[str, Any]) -> EngineConfig | None:
    """The engine that collected the answers; None if the record names none."""
    written = dict(record.get("engine_config") or {})
    target = current_target(written.pop("_target_", None) or record.get("engine") or "")
    if not target:
        return None
    name = written.get("name")
    schema = next((s for s in ENGINES if (s().name == name if name else s()._target_ == target)), None)
    if schema is None:
        return OwnEngineConfig(_target_=target, params=written.get("params") or record.get("engine_params") or {})
    known = {field.name for field in fields(schema)}
    values = {**(record.get("server") or {}), **written}
    return schema(_target_=target, **{key: value for key, value in values.items() if key in known})


def _path(file: PointFile, record: Mapping[str, Any]) -> str | None:
    """Present path of the model: beside the file, or the recorded one."""
    path = record.get("path")
    if (
        not isinstance(path, str)
        or not str(record.get("model", "")).startswith("sha256:")
        or path.startswith("package:")
    ):
        return path
    candidates = [file.path.parent / path, Path(path), file.path.parent / Path(path).name]
    found = [str(c) for c in candidates if (c / "config.json").exists() or c.is_file()]
    if not found:
        raise UserError(f"{file.path}: its model {path} is neither beside it nor in the working directory")
    return next((c for c in found if fingerprint(c) == record["model"]), found[0])


def _require_live(file: PointFile, tier: Tier, signal: str) -> None:
    where = f"{file.path}: the signal {signal} of tier {tier.tier} ({tier.name})"
    if signal == "vote":
        if tier.samples < 2:
            raise UserError(f"{where} needs several samples, and the file does not say how many")
        return
    if signal not in LIVE:
        raise UserError(f"{where} cannot be had live: it was fitted on a collected table and is not in the file")
    if tier.engine.name not in LIVE[signal]:
        able = ", ".join(LIVE[signal])
        raise UserError(f"{where} cannot be had live from engine={tier.engine.name}; allowed is {able}")


def _require_bound(file: PointFile, tier: Tier, policy: str) -> None:
    found = differences(file.models.get(str(tier.tier), {}), file.prompts.get(str(tier.tier), {}), tier)
    if found:
        raise UserError(
            f"{file.path}: tier {tier.tier} ({tier.name}) is not what its thresholds were chosen for: "
            f"{'; '.join(found)}; {policy}.unbound=true uses them nevertheless"
        )


def differences(record: Mapping[str, Any], prompt: Mapping[str, Any], tier: Tier) -> list[str]:
    """Differences between a tier and its record in an operating point, in words; empty: it is bound."""
    identity = tier.identity()
    now = {**identity, "extra": identity.get("server", {}).get("extra", {})}
    before = {**record, "extra": (record.get("server") or {}).get("extra", {})}
    before.setdefault("prompt", prompt.get("hash"))
    found = []
    for key, name in BOUND.items():
        old, new = before.get(key), now.get(key)
        if key in ("template", "extra"):
            old, new = old or {}, new or {}
        if key == "prompt":
            new = prompt_hash(tier.prompt)
        if old is None and key not in ("revision",):
            found.append(f"{name}: not recorded")
        elif old != new:
            found.append(f"{name}: {_short(old)}, now {_short(new)}")
    return found


def _short(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= 24 else f"{text[:23]}…"


def repriced(file: PointFile, tiers: Mapping[int, Tier]) -> bool:
    """True if a tier's price is not the recorded one."""
    return any(
        file.prices.get(str(number)) not in (asdict(tier.price), None)
        for number, tier in tiers.items()
        if tier.price != PriceConfig()
    )
