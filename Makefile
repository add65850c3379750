# Two commands matter: `make demo` and `make test`. Both make .venv first, from the lock file; neither needs root.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := cli.py dialer_core amd pacing plugins
KILLS ?= 1000
SLACK ?= 2
SOAK_SECONDS ?= 3600

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: help install demo test lint types contracts format docs soak soak-kills lock clean

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: install ## a simulated carrier, softphones, a campaign of 200 leads and a broadcast, in two minutes
	@$(BIN)/dialer demo

test: install lint types contracts ## everything: lint, types, import contracts, tests (PYTEST='-m unit' runs a part of these)
ifdef PYTEST
	@$(BIN)/python -m pytest $(PYTEST)
else
	@$(BIN)/python -m tests.lanes
endif

# amd/training is no kernel: it reads files, runs programs and knows classes of libraries, and keeps to ruff's docstring rules
lint: install ## ruff, formatting, docstrings of the kernels
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@find amd pacing -path amd/training -prune -o -name '*.py' -print0 | xargs -0 -r $(BIN)/numpydoc lint

types: install ## mypy, strict
	@$(BIN)/mypy

contracts: install ## who may import whom (the layer list in pyproject.toml)
	@$(BIN)/lint-imports

format: install ## put the sources into the one format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

docs: install ## write the reference pages of docs/ from the code
	@$(BIN)/python -m tools.make_docs

soak: install ## an hour of calls with floods in it: nothing grows (SOAK_SECONDS=60), and the tests that `make test` leaves out
	@$(BIN)/python -m tests.soak --seconds $(SOAK_SECONDS) --picture build/soak.png
	@$(BIN)/python -m pytest -m soak --timeout=0

# The limits in seconds are stretched for a machine that does other things too: SLACK=1 holds to the goals.
soak-kills: install ## kill its processes under calls, 1,000 times (KILLS=60 SEED=7 SLACK=1)
	@$(BIN)/python -m tests.kill --kills $(KILLS) --slack $(SLACK) $(if $(SEED),--seed $(SEED))

# docopt, which num2words needs, has no wheel: one pure module, built here.
install: $(STAMP) ## .venv with the pinned versions; again only when they changed

$(STAMP): requirements-dev.lock pyproject.toml tools/find_python.sh
	@case "$$(uname -sm)" in 'Linux x86_64') ;; *) \
	echo "make install: the pjsua2 wheel exists for Linux on x86-64 only; this is $$(uname -sm)." >&2; exit 1 ;; esac
	@python=$$(tools/find_python.sh $(PYTHON)) && \
	if ! $(BIN)/python -c 'pass' 2>/dev/null; then rm -rf $(VENV); "$$python" -m venv $(VENV); fi
	@echo 'Installing the pinned packages into $(VENV) (some 150 MB the first time) ...'
	@$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: --no-binary docopt -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Resolved on 3.11, the older of the two: what fits it fits 3.12 as well. From the public index alone, whatever this
# machine's pip is told, so that the hashes are those everyone gets.
lock: ## resolve the versions anew into requirements.lock and requirements-dev.lock
	@rm -rf build/lock && python3.11 -m venv build/lock
	@build/lock/bin/python -m pip install --quiet 'pip-tools>=7.5'
	@export PIP_CONFIG_FILE=/dev/null CUSTOM_COMPILE_COMMAND='make lock' && \
	unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL && \
	compile='build/lock/bin/pip-compile --quiet --no-config --upgrade --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host' && \
	$$compile --output-file requirements.lock pyproject.toml && \
	$$compile --output-file requirements-dev.lock --extra dev --constraint requirements.lock pyproject.toml

clean: ## everything made here: .venv, caches, builds
	@rm -rf $(VENV) build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
