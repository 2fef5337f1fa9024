# Everything a person or a machine does here is one of these targets. `make` alone lists them.
#
# The virtual environment comes from the locks only: each file pip may take is named by its hash. Where pip looks for
# files is the machine's own affair (its pip configuration), so no index is named in this repository.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Arguments handed on by `up`, `test`, `demo`, `bench` and `lock`, for example: make test ARGS='tests/kernel -k money'
ARGS ?=
# Tests run by so many processes. They wait a tenth of their time: one more than there are processors may be quicker.
WORKERS ?= 2
# What `coverage` adds to `test`.
MEASURED ?=

RUNTIME := $(VENV)/.runtime-installed
TOOLS := $(VENV)/.tools-installed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-input
# Every process of the house starts from compiled files, also where Python is told not to write them: several hundred starts in the tests.
COMPILE := $(BIN)/python -m compileall -q src
PYTHONS := $(wildcard src tests tools bench clients/python)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(TOOLS) ## Create .venv with the program and every tool, from the locks

.PHONY: up
up: $(RUNTIME) ## Start Forecourt on this machine, engines included
	$(BIN)/forecourt up $(ARGS)

.PHONY: demo
demo: $(RUNTIME) ## Fill a running Forecourt with the demo world
	$(BIN)/forecourt demo $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Forecourt needs Python 3.11 or newer; name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# --no-build-isolation: setuptools comes from the lock as well, so the build needs nothing that is not pinned.
$(RUNTIME): requirements.lock pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@$(COMPILE)
	@touch $@

# The tools' lock is the runtime's lock and more: one installation serves both stamps.
$(TOOLS): requirements-dev.lock requirements.lock pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@$(COMPILE)
	@touch $(RUNTIME) $@

.PHONY: test
test: $(TOOLS) ## Run the tests on the real engines (ARGS='tests/kernel -k money')
	@$(COMPILE)
	@without="$$(tools/system-packages)"; \
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(MEASURED) $${without:+-m "$$without"} $(ARGS)

.PHONY: check
check: lint test ## Everything CI runs: lint and tests

.PHONY: lint lint-format lint-code lint-types lint-boundaries lint-migrations lint-distribution lint-program lint-clients
lint: lint-format lint-code lint-types lint-boundaries lint-migrations lint-distribution lint-program lint-clients ## Format, style, types, boundaries, migrations

lint-format: $(TOOLS)
	$(BIN)/ruff format --check $(PYTHONS)

lint-code: $(TOOLS)
	$(BIN)/ruff check $(PYTHONS)

# The wheel carries pyright itself; it runs on the Node.js of the machine.
lint-types: $(TOOLS)
	@command -v node >/dev/null || { echo "pyright needs Node.js 18 or newer on the PATH" >&2; exit 1; }
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

lint-boundaries: $(TOOLS)
	$(BIN)/lint-imports --no-logo

lint-migrations: $(TOOLS)
	$(BIN)/python -m tools.lint_migrations

# Keys and statements hold on many servers too; deploy/citus follows from the catalogue of a database made for the question.
lint-distribution: $(TOOLS)
	$(BIN)/python -m tools.lint_distribution

# What only the program knows about itself: its routes, who may call them, and whose tables are whose. It also asks the
# import contracts, so that a checkout without make hears of a broken boundary too.
lint-program: $(TOOLS)
	$(BIN)/forecourt check

# Clients say what the OpenAPI document says; `make clients` writes them anew.
lint-clients: $(TOOLS)
	$(BIN)/python -m tools.generate_client --check

.PHONY: clients
clients: $(TOOLS) ## Write clients/ anew from the OpenAPI document
	$(BIN)/python -m tools.generate_client

# What decides about money, access and time is covered to the last branch; everything together to nine tenths.
DECIDES := */rules.py,*/booking/slots.py,*/venues/contract/calendar.py,*/venues/contract/tariff.py,*/venues/contract/terms.py,$(strip \
  )*/payments/service/*,*/kernel/money.py,*/kernel/period.py,*/kernel/paging.py,*/kernel/idempotency.py,*/kernel/http/decode.py
DOOR := */kernel/http/gate.py,*/kernel/http/dispatch.py

.PHONY: coverage
coverage: $(TOOLS) ## Run the tests, every process measured, and hold coverage to its floors: a third slower than `make test`
	$(MAKE) test MEASURED="--cov --cov-report=term"
	$(BIN)/coverage report --fail-under=100 --include='$(DECIDES)'
	$(BIN)/coverage report --fail-under=99 --include='$(DOOR)'
	$(BIN)/coverage report --fail-under=90 --format=total

.PHONY: fmt
fmt: $(TOOLS) ## Format the code and repair what can be repaired
	$(BIN)/ruff check --fix-only --quiet $(PYTHONS)
	$(BIN)/ruff format $(PYTHONS)

.PHONY: bench
bench: $(TOOLS) ## Measure, as a table and as JSON (ARGS=name for one)
	$(BIN)/python -m bench $(ARGS)

SBOM := build/sbom.json

.PHONY: sbom
sbom: $(TOOLS) ## List what is shipped, from the lock (CycloneDX, build/sbom.json)
	@mkdir -p $(dir $(SBOM))
	PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --no-validate -o $(SBOM)

# Not part of `check`: it needs a database on the Internet, and fails when it cannot ask it.
.PHONY: audit
audit: $(TOOLS) ## Ask whether anything is known against the pinned packages (ARGS='--ignore-vuln ID')
	$(BIN)/python -m tools.audit requirements.lock $(ARGS)
	$(BIN)/python -m tools.audit requirements-dev.lock $(ARGS)

.PHONY: clean
clean: ## Remove what the tools made; data under var/ stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .schemathesis .import_linter_cache .coverage .coverage.* build

.PHONY: lock
lock: $(BIN)/uv ## Write both locks from pyproject.toml (ARGS=--upgrade takes newer versions)
	$(BIN)/uv pip compile pyproject.toml --extra build --extra engines --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet $(ARGS) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra build --extra engines --extra dev --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet $(ARGS) -o requirements-dev.lock

$(BIN)/uv: | $(TOOLS)
