# `make demo` and `make test` each do all of their own setup, in .venv, on a machine with git, make and Python 3.11+.
# `make test PYTEST="-x tests/flows"` passes other arguments to pytest; `make PYTHON=/path/to/python3` names an interpreter.

UV := 0.13.9
BIN := .venv/bin
# By whole files, as some share servers between their tests; in tests/conftest.py's order: xdist's own, by the number of
# tests, begins the longest files last. Four at once on two cores, as the longest mostly wait.
PYTEST ?= -n 4 --dist loadfile --no-loadscope-reorder --durations 25
# Demo and suite start Python over and over: without it each start compiles torch, MLflow and GX anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-busy bench-quality bench-metrics soak install lock clean

help:
	@echo "make demo    the main job on this machine, from new photographs to a promoted model, in .demo/"
	@echo "make test    the whole suite: ruff, mypy, pytest"
	@echo "make lint    ruff and mypy only"
	@echo "make bench   speed and memory of training and inference on this machine, into benchmarks/results"
	@echo "make bench-busy    what a busy process beside it costs a training step"
	@echo "make bench-quality DATA=DIR NOTE=\"what else ran\" [JOBS=2]    what compact finds on nine products, and what changes of it give"
	@echo "make bench-metrics NOTE=\"what else ran\"    seconds, memory and error of the metrics"
	@echo "make soak NOTE=\"what else ran\"    what takes longer than the suite: 50 kills of ingest, 30 of promotion, long faults, an hour of a factory"
	@echo "make lock    resolve pyproject.toml anew into requirements.lock"
	@echo "make clean   remove .venv, .demo and the caches of the tools"

demo: install
	@exec $(BIN)/python -m destseg demo

test: lint
	@exec $(BIN)/python -m pytest $(PYTEST)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	@exec $(BIN)/python -m benchmarks.performance $(BENCH)

bench-busy: install
	@exec $(BIN)/python -m benchmarks.busy $(BENCH)

bench-quality: install
	$(if $(DATA),,$(error DATA is not set; expected the folder that holds screw and magnetic_tile in MVTec layout))
	$(if $(NOTE),,$(error NOTE is not set; expected what else ran on the machine))
	@exec $(BIN)/python -m benchmarks.changes "$(DATA)" --jobs $(or $(JOBS),1) --note "$(NOTE)"

bench-metrics: install
	$(if $(NOTE),,$(error NOTE is not set; expected what else ran on the machine))
	@exec $(BIN)/python -m benchmarks.metrics --note "$(NOTE)"

soak: install
	$(if $(NOTE),,$(error NOTE is not set; expected what else ran on the machine))
	@DESTSEG_SOAK=1 $(BIN)/python -m pytest tests/integration/test_ingest_kills.py \
	  tests/integration/test_promotion_kills.py tests/integration/test_orchestration.py
	@exec $(BIN)/python -m benchmarks.orchestration --note "$(NOTE)"

install: .venv/.installed

# The stamp is removed first and written last: an installation killed half-way starts again from an empty .venv, with
# what uv has already downloaded; one that was complete is brought up to date in place.
.venv/.installed: requirements.lock pyproject.toml
	@set -eu; \
	for python in $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3 none; do \
	  if [ $$python = none ]; then \
	    echo "Python 3.11 or newer is needed and none is on PATH; install one or name it: make PYTHON=/path/to/python3" >&2; \
	    exit 2; \
	  fi; \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	echo "installing into .venv with $$($$python --version), some minutes the first time"; \
	if [ -e $@ ]; then rm $@; else $$python -m venv --clear .venv; fi; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV); \
	VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/uv pip install --quiet -r requirements.lock; \
	VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/uv pip install --quiet --no-deps -e .; \
	touch $@

# uv writes no address of an index: the lock works behind any mirror.
lock: install
	$(BIN)/uv pip compile --universal --all-extras --python-version 3.11 --no-header --no-annotate \
	  --upgrade --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv .demo build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
