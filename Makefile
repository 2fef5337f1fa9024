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

RUNTIME := $(VENV)/.runtime-installed
TOOLS := $(VENV)/.tools-installed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
PYTHONS := src tests tools bench

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
	@touch $@

# The tools' lock is the runtime's lock and more: one installation serves both stamps.
$(TOOLS): requirements-dev.lock requirements.lock pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $(RUNTIME) $@

.PHONY: lock
lock: $(BIN)/uv ## Write both locks from pyproject.toml (ARGS=--upgrade takes newer versions)
	$(BIN)/uv pip compile pyproject.toml --extra build --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet $(ARGS) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra build --extra dev --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet $(ARGS) -o requirements-dev.lock

$(BIN)/uv: | $(TOOLS)
