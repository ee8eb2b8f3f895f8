"""How a run was trained, as rows of the model card: data, prompt, reward, algorithm, seeds, hardware, versions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corea.errors import UserError
from corea.publishing.published_run import PublishedRun, public_name
from corea.tasks.prompts import get_prompt

LIBRARIES = ("torch", "transformers", "deepspeed", "vllm")


def training_facts(run: PublishedRun) -> list[tuple[str, str]]:
    """(what, value) rows in the order of the card."""
    config, start = run.config, run.training
    data, trainer = config["data"], config["trainer"]
    optimizer = trainer.get("optimizer") or {}
    completions = f"{trainer['questions']} questions × {trainer['group_size']} completions a step"
    return [
        ("data", f"{data.get('name')}: {', '.join(data['train'])}"),
        ("sources", _sources(data)),
        ("prompt", prompt_fact(str(config["model"]["prompt"]))),
        ("reward", reward_formula(config["reward"])),
        (
            "algorithm",
            f"GRPO, advantage {public_name(str(trainer['advantage']))}, KL weight {_of(trainer, 'loss', 'kl')}",
        ),
        ("steps", f"{trainer['steps']}; {completions}; temperature {trainer['temperature']:g}"),
        ("learning rate", f"{optimizer.get('lr'):g}, {optimizer.get('schedule')}" if optimizer else "–"),
        ("weights", _origin(run)),
        ("seeds", f"training {config['seed']}, data {data.get('seed')}, evaluation {run.metrics['seed']}"),
        ("hardware", _hardware(start)),
        ("versions", _versions(start)),
        ("answers table", f"SHA-256 {run.metrics['answers']['sha256']}, {run.metrics['answers']['rows']:,} rows"),
    ]


def reward_formula(reward: Mapping[str, Any]) -> str:
    """r = 1 · correct + 0.1 · format + 1 · (−l1(confidence, group target)) + 0.2 · brevity"""
    terms = [f"{reward['correct']:g} · correct", f"{reward['format']:g} · format"]
    if reward["calib"]:
        distance = public_name(str(reward["distance"]))
        terms.append(f"{reward['calib']:g} · (−{distance}(confidence, {reward['target']} target))")
    terms += [f"{extra['weight']:g} · {name}" for name, extra in (reward.get("extra") or {}).items()]
    return f"`{reward.get('name')}`: r = {' + '.join(terms)}"


def prompt_fact(name: str) -> str:
    """Name and system message of a prompt."""
    try:
        system = get_prompt(name).system
    except UserError:  # the user's own prompt, from a file that is not here
        return f"`{public_name(name)}`, the author's own"
    return f"`{public_name(name)}`: {system or 'the bare question'}"


def _sources(data: Mapping[str, Any]) -> str:
    """The sources of the families that were trained on: generator, hub data set or name of a file."""
    found = []
    for family in data["train"]:
        for source in (data["families"].get(family) or {}).get("sources") or []:
            origin = source.get("task") or source.get("hub") or Path(str(source.get("path") or "")).name
            found.append(f"{source['name']} ({origin})" if origin and origin != source["name"] else source["name"])
    return ", ".join(found) or "–"


def _of(values: Mapping[str, Any], *keys: str) -> str:
    value: Any = values
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return "–" if value is None else f"{value:g}"


def _origin(run: PublishedRun) -> str:
    if not run.origin:
        return "of the last step"
    best = f", best {run.origin['best_by']} {run.origin['value']:.4f}" if "best_by" in run.origin else ""
    return f"after step {run.origin.get('step')}{best}"


def _hardware(start: Mapping[str, Any]) -> str:
    gpus = ", ".join(start.get("gpus") or []) or "no GPU"
    memory = f", {start['memory_gib']:g} GiB" if start.get("memory_gib") else ""
    return f"{gpus}; {start.get('cpus')} × {start.get('cpu')}{memory}" if start else "–"


def _versions(start: Mapping[str, Any]) -> str:
    packages = start.get("packages") or {}
    shown = [f"{name} {packages[name]}" for name in LIBRARIES if name in packages]
    git = start.get("git") or {}
    revision = [f"revision {git['revision'][:12]}{' with changes' if git.get('changed') else ''}"] if git else []
    return ", ".join([f"corea {start.get('corea')}", *revision, *shown]) if start else "–"
