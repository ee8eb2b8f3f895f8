"""Every file of sweeps/ composes the jobs that it names."""

from __future__ import annotations

import re

import pytest
import yaml
from hydra.types import RunMode

from corea.composition import composed, composer, conf_dir, jobs, sweep_jobs

SWEEPS = conf_dir().parent / "sweeps"


@pytest.mark.parametrize("name", [p.stem for p in sorted(SWEEPS.glob("*.yaml")) if p.stem != "optuna"])
def test_every_sweep_composes_jobs_that_differ(name):
    text = (SWEEPS / f"{name}.yaml").read_text()
    verb = re.search(rf"python -m corea\.(\w+) -m --config-dir sweeps --config-name {name}$", text, re.MULTILINE)[1]
    params = yaml.safe_load(text)["hydra"]["sweeper"]["params"]
    expected = 1
    for values in params.values():
        expected *= len(str(values).split(","))
    with composer(verb, str(SWEEPS)) as hydra:
        assert len(list(jobs(hydra.config_loader, composed(hydra, name, [], RunMode.MULTIRUN)))) == expected
        one_seed = composed(hydra, name, ["seed=0"], RunMode.MULTIRUN)
        built = {repr(cfg) for _, cfg in sweep_jobs(hydra, one_seed)}
    assert len(built) == expected / 3
