# Two commands do everything on a fresh machine:
#   make run    sets up the environment and runs the quickstart
#   make test   sets up the environment, then lint, types, import rules and tests
# `make test-all` adds the tests marked slow.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: run test test-all lint types bench docs build clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[data,dev]'
	touch $@

run: $(STAMP)
	$(BIN)/hjsolve run quickstart

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

test: $(STAMP) lint types
	$(PYTEST) -m "not slow"

test-all: $(STAMP) lint types
	$(PYTEST)

bench: $(STAMP)
	for file in benchmarks/[a-z]*.py; do $(BIN)/python $$file $(ARGS) || exit 1; done

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir site

build: $(STAMP)
	$(BIN)/python -m build --outdir dist

clean:
	rm -rf $(VENV) dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis
