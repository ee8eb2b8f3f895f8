"""What was merged before is Hydra's own result, to the last flag, and changes with its files."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig

from corea.composition import compose, composed, composer
from corea.config import loader


def nodes(node: Any) -> list[tuple[str, Any, dict]]:
    """Full key, value and metadata of every node."""
    found = []
    children = node._content if isinstance(node, DictConfig | ListConfig) else None
    items = (
        enumerate(children) if isinstance(children, list) else children.items() if isinstance(children, dict) else ()
    )
    for _, child in items:
        found += nodes(child)
    value = None if items else node._content if isinstance(node, DictConfig | ListConfig) else node._value()
    metadata = {k: v for k, v in vars(node._metadata).items() if k != "resolver_cache"}  # holds the time of day
    return [(node._get_full_key(None), value, metadata), *found]


@pytest.mark.parametrize(("verb", "overrides"), [("train", ["model=smollm2", "seed=3"]), ("serve", [])])
def test_it_equals_what_hydra_merges(verb, overrides, monkeypatch):
    loader._merged.clear()
    with composer(verb) as hydra:
        first, again = (composed(hydra, verb, overrides, RunMode.RUN) for _ in range(2))
        monkeypatch.setattr(
            loader.RememberingLoader,
            "_compose_config_from_defaults_list",
            ConfigLoaderImpl._compose_config_from_defaults_list,
        )
        plain = composed(hydra, verb, overrides, RunMode.RUN)
    (merged,) = loader._merged.values()
    assert not pickle.loads(merged)._metadata.resolver_cache
    assert nodes(first) == nodes(again) == nodes(plain)
    assert len(nodes(plain)) > 200


def test_an_override_does_not_reach_the_next_configuration():
    assert compose("train", "seed=5", "trainer.steps=7").seed == 5
    assert compose("train").seed == 0


def test_a_file_that_changes_is_merged_anew(tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    seeds = []
    for seed in (1, 22):
        file.write_text(f"# @package _global_\nseed: {seed}\n")
        with composer("train", config_dir=str(tmp_path)) as hydra:
            seeds.append(composed(hydra, "train", ["experiment=mine"], RunMode.RUN).seed)
    assert seeds == [1, 22]
