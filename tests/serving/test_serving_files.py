"""docs/serving.md names every key, and the files of examples/serving fit the server and one another."""

import importlib.util
import json
import re
from dataclasses import fields
from pathlib import Path

import openai
import pytest
import yaml
from serve_helpers import StreamServer, echo_tier, running, server_tier

from corea.composition import composer, typed
from corea.config import ServeConfig, ServeOptionsConfig
from corea.serving.served_metrics import ServedMetrics

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = CHECKOUT / "examples" / "serving"


def typed_serve(*overrides: str) -> ServeConfig:
    with composer("serve") as hydra:
        return typed(hydra, "serve", list(overrides))


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their arguments."""
    text = re.sub(r"\\\n\s*", " ", (EXAMPLES / "Dockerfile").read_text())
    return [tuple(line.split(" ", 1)) for line in text.splitlines() if line and not line.startswith("#")]


def test_every_key_is_in_the_documentation():
    (options,) = re.findall(r"^## Options\n(.*)", (CHECKOUT / "docs" / "serving.md").read_text(), re.M | re.S)
    listed = set(re.findall(r"`serve\.(\w+)`", options))
    assert listed == {field.name for field in fields(ServeOptionsConfig)}


def test_the_defaults_in_the_documentation_are_those_of_the_schema():
    (options,) = re.findall(r"^## Options\n(.*)", (CHECKOUT / "docs" / "serving.md").read_text(), re.M | re.S)
    compared = 0
    for keys, defaults in re.findall(r"^\| (`serve\..*?`) \| (.*?) \|", options, re.M):
        names, values = re.findall(r"`serve\.(\w+)`", keys), [yaml.safe_load(d) for d in defaults.split(",")]
        for name, value in zip(names, values * len(names) if len(values) == 1 else values, strict=True):
            assert value == getattr(ServeOptionsConfig(), name), name
            compared += 1
    assert compared == len(fields(ServeOptionsConfig))


def test_the_dockerfile_copies_what_exists_and_starts_the_server():
    steps = instructions()
    for name, arguments in steps:
        if name == "COPY":
            *sources, _ = arguments.split()
            assert all((CHECKOUT / source).exists() for source in sources), arguments
    (entry,) = [json.loads(arguments) for name, arguments in steps if name == "ENTRYPOINT"]
    assert entry[:3] == ["python", "-m", "corea.serve"]
    cfg = typed_serve("operating_point=point.json", *entry[3:])
    (port,) = [int(arguments) for name, arguments in steps if name == "EXPOSE"]
    assert (cfg.serve.host, cfg.serve.port) == ("0.0.0.0", port)
    names = [name for name, _ in steps]
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_the_compose_file_fits_the_dockerfile_and_prometheus():
    compose = yaml.safe_load((EXAMPLES / "compose.yml").read_text())
    services, corea = compose["services"], compose["services"]["corea"]
    (entry,) = [json.loads(arguments) for name, arguments in instructions() if name == "ENTRYPOINT"]
    cfg = typed_serve(*entry[3:], *corea["command"])
    assert (EXAMPLES / corea["build"]["context"]).resolve() == CHECKOUT
    assert (CHECKOUT / corea["build"]["dockerfile"]).exists()
    for tier in ("0", "1"):
        host, port = re.fullmatch(r"http://(\w+):(\d+)/v1", cfg.tiers[tier].engine.base_url).groups()
        assert host in services
        assert port == "8000"  # vLLM's own
    assert set(corea["depends_on"]) < set(services)
    assert cfg.serve.keys_file == f"/run/secrets/{corea['secrets'][0]}"
    mounted = {volume.split(":")[1] for volume in corea["volumes"]}
    assert all(any(path.startswith(place) for place in mounted) for path in (cfg.operating_point, cfg.serve.log_folder))
    assert float(corea["stop_grace_period"].removesuffix("s")) > cfg.serve.deadline_s + 3
    named = {v.split(":")[0] for s in services.values() for v in s.get("volumes", ()) if not v.startswith("./")}
    assert named == set(compose["volumes"])
    prometheus = yaml.safe_load((EXAMPLES / "prometheus.yml").read_text())
    (job,) = prometheus["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"corea:{cfg.serve.port}"]}]
    assert job["authorization"]["credentials_file"] == cfg.serve.keys_file
    assert "./prometheus.yml:/etc/prometheus/prometheus.yml:ro" in services["prometheus"]["volumes"]


@pytest.mark.parametrize("path", ["examples/serving/prometheus.yml", "docs/serving.md", "docs/watching.md"])
def test_metrics_that_are_named_exist(path):
    metrics = ServedMetrics([0, 1])
    metrics.set_budget(1.0)
    page = metrics.page()[0].decode()
    known = set(re.findall(r"^# TYPE (\w+)", page, re.M)) | set(re.findall(r"^(corea_\w+)", page, re.M))
    named = set(re.findall(r"\bcorea_\w+", (CHECKOUT / path).read_text()))
    assert named
    assert {name.removesuffix("_bucket").removesuffix("_count") for name in named} <= {
        *known,
        *(name.removesuffix("_count") for name in known),
    }


def test_the_client_asks(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("serving_client", EXAMPLES / "client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with StreamServer() as upstream, running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)]) as server:
        found = module.ask(openai.OpenAI(base_url=f"{server.url}/v1", api_key="k"), "41 unsure")
    assert capsys.readouterr().out == "41\n"
    assert (found["tier"], found["reason"]) == (1, "low")


def test_the_files_that_the_page_names_exist():
    names = re.findall(r"`(examples/serving/[\w.]+)`", (CHECKOUT / "docs" / "serving.md").read_text())
    assert {name.rpartition("/")[2] for name in names} == {file.name for file in EXAMPLES.iterdir() if file.is_file()}
