# Caraway's habits. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Everything that is built once is kept inside the checkout, so that deleting it leaves nothing.
export CARAWAY_CACHE ?= $(CURDIR)/.cache/caraway
export SAM_CLI_TELEMETRY := 0
export AWS_EC2_METADATA_DISABLED := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What hundreds of processes import is compiled once, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

# Processes that share the tests, file by file and the long ones first: one more than two cores
# have, for much of the time is waited. JOBS=0 runs them in one process, as a debugger needs it.
JOBS ?= 3
SHARED := -n $(JOBS) --dist loadfile --no-loadscope-reorder
ARCH ?= arm64
# The function's own Python: it takes no bytecode of another version.
LAMBDA_PYTHON ?= python3.12
MACHINE := $(if $(filter arm64,$(ARCH)),aarch64,x86_64)

.DEFAULT_GOAL := help
.PHONY: help setup demo test unit e2e chaos beside twice fuzz deep lint format types bench package deploy docs lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Build the virtual environment (the other targets do so when it is missing)

$(READY): pyproject.toml requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Caraway needs Python 3.10 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo "Setting up $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --requirement requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $(READY)

demo: $(READY) ## Run the demo: count words on Lambda, an ECS-style worker and a schedule, all local
	@$(BIN)/caraway demo $(FOLDER)

test: $(READY) ## Run all tests, with coverage (starts and stops what it needs)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SHARED) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=90

unit: $(READY) ## Run the quick tests only
	$(BIN)/pytest $(SHARED) $(if $(filter tests/%,$(ARGS)),,tests/unit) $(ARGS)

e2e: $(READY) ## Run the tests that deploy the template on the local engine
	$(BIN)/pytest $(SHARED) $(if $(filter tests/%,$(ARGS)),,tests/e2e) $(ARGS)

chaos: $(READY) ## Break things under 44,000 tasks, and write what held to docs/reliability.md (an hour)
	$(BIN)/python -m tests.chaos $(ARGS)

beside: $(READY) ## Break the same things under Celery on SQS and Caraway, and write what came of both
	$(BIN)/python -m benchmarks.beside $(ARGS)

twice: $(READY) ## Let every message of workflows come twice, up to a chord of 10,000 (an hour)
	$(BIN)/python -m tests.twice $(ARGS)

fuzz: $(READY) ## Feed workers with 100,000 inputs that nobody meant, and write what became of them
	$(BIN)/python -m tests.fuzz $(ARGS)

deep: $(READY) ## Try twenty times as many made-up cases, and all interleavings (an hour, 4 GB)
	DEPTH=20 $(BIN)/pytest $(SHARED) $$(grep -rl "import examples" tests/unit) $(ARGS)
	$(BIN)/python -m tests.model

lint: $(READY) ## Check style, types, layers and templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cfn-lint template.yaml infra/ecs.yaml examples/lambda_producer/template.yaml
	SAM=$$(dirname $$($(BIN)/python -m caraway.local.environment requirements/sam.lock))/sam && \
	AWS_DEFAULT_REGION=us-east-1 $$SAM validate --lint --template-file template.yaml

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Measure speed and cost beside others, and write benchmarks/RESULTS.md (forty minutes)
	$(BIN)/python -m benchmarks $(ARGS)

package: $(READY) ## Build the Lambda package for AWS in build/lambda (ARCH=arm64 or x86_64)
	rm -rf build/lambda
	$(BIN)/python -m pip install --quiet --target build/lambda --no-deps --no-compile \
		--only-binary=:all: --implementation cp --python-version 3.12 \
		--platform manylinux_2_28_$(MACHINE) --platform manylinux2014_$(MACHINE) \
		--requirement requirements/lambda.txt .
	@# Lambda cannot keep what it compiles: without bytecode each cold start compiles everything.
	@if $(LAMBDA_PYTHON) -c pass 2>/dev/null; then \
		$(LAMBDA_PYTHON) -m compileall -q --invalidation-mode unchecked-hash build/lambda; \
	else \
		echo "No bytecode, so cold starts take three times as long: $(LAMBDA_PYTHON) does not run here." \
			"Set LAMBDA_PYTHON to a Python 3.12 (uv python install 3.12)"; \
	fi
	du -sh build/lambda

deploy: package ## Deploy the demo app to AWS (needs credentials and the sam command)
	sam deploy --parameter-overrides Architecture=$(ARCH)

docs: $(READY) ## Write the generated pages
	$(BIN)/python -m caraway.settings_doc > docs/settings.md
	$(BIN)/python -m caraway.planning.page > docs/scaling.md

lock: ## Renew the lock files (needs uv)
	uv pip compile --universal --python-version 3.10 --no-header --no-annotate \
		pyproject.toml --all-extras --group dev --output-file requirements/dev.lock
	uv pip compile --universal --python-version 3.10 --no-header --no-annotate \
		requirements/sam.in --output-file requirements/sam.lock
	uv pip compile --universal --python-version 3.10 --no-header --no-annotate \
		src/caraway/local/engine.in --output-file src/caraway/local/engine.lock

clean: ## Remove everything that make has built
	rm -rf $(VENV) .cache build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -prune -exec rm -r {} +
