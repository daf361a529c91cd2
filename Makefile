# Everything a user or a contributor runs. `make help` lists it. Needs python3 (3.11 or newer) and make, nothing else.

PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 2

BIN  := $(VENV)/bin
RUN  := $(VENV)/.installed-run
DEV  := $(VENV)/.installed-dev
PIP  := $(BIN)/python -m pip --disable-pip-version-check -qq

# compiled kernels are kept beside the environment, so that they are compiled once
export NUMBA_CACHE_DIR ?= $(abspath $(VENV))/cache/numba
export MPLBACKEND ?= Agg
export MPLCONFIGDIR ?= $(abspath $(VENV))/cache/matplotlib
# what mkdocs-material says of a mkdocs that is not used here
export NO_MKDOCS_2_WARNING := true

# --strict counts no warnings under --quiet, so what it says is kept back until it fails
MKDOCS  := $(BIN)/mkdocs build --strict
QUIETLY  = > $(VENV)/mkdocs.log 2>&1 || { cat $(VENV)/mkdocs.log >&2; exit 1; }

PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test quick slow check docs bench bench-exact bench-deep bench-peers clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(RUN) ## forget a patient of a real data set and prove it (installs nothing that only developers need)
	@$(BIN)/expunge demo

test: $(DEV) ## all tests but the slow ones
	@echo "tests ($(WORKERS) processes)"
	@$(PYTEST) -m "not slow"

quick: $(DEV) ## the tests that need neither data sets nor patience; stops at the first failure
	@$(PYTEST) -q -x -m "not slow and not data" --ignore=tests/end_to_end --ignore=tests/house/test_docs_run.py

slow: $(DEV) ## the tests that take minutes
	@$(PYTEST) -q -m slow || { code=$$?; [ $$code -eq 5 ] && echo "no slow tests yet" || exit $$code; }

check: $(DEV) ## format, lint, types, import contracts, docs build, docs truth
	@echo "format"          && $(BIN)/ruff format --check --quiet .
	@echo "lint"            && $(BIN)/ruff check --quiet .
	@echo "types"           && $(BIN)/mypy --no-error-summary
	@echo "import contracts" && $(BIN)/lint-imports --no-logo
	@echo "docs build"      && $(MKDOCS) --site-dir $(VENV)/cache/site $(QUIETLY)
	@echo "house rules and docs truth" && $(PYTEST) -q tests/house

docs: $(DEV) ## write the generated pages, then the site (into site/)
	@echo "generated pages" && $(BIN)/python docs/generate.py
	@echo "site/index.html" && $(MKDOCS) $(QUIETLY)

bench: $(DEV) ## benchmarks; results as JSON in benchmarks/results
	@if [ -f benchmarks/__main__.py ]; then $(BIN)/python -m benchmarks; else echo "benchmarks/__main__.py is missing" >&2; exit 2; fi

bench-exact: $(DEV) ## exact forgetting against peers, resumable; BENCH="--peers ours,lightgbm" runs a part of it
	@$(BIN)/python -m benchmarks.exact $(BENCH)

bench-deep: $(DEV) ## methods for networks compared, resumable; BENCH="--scenes stack --seeds 1" runs a part of it
	@$(BIN)/python -m benchmarks.deep $(BENCH)

bench-peers: $(DEV) ## build the peers of bench-exact; the sources of some lie in EXPUNGE_PEER_SOURCES
	@$(BIN)/python -m benchmarks.exact.build

clean: ## remove the environment and everything that was built
	@rm -rf $(VENV) site dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	@find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "clean"

# The environment: one stamp for what users need, one for what developers add. Bytecode is made on first import, of what
# is imported: half of the time that an installation takes otherwise.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "expunge needs Python 3.11 or newer; say which with: make PYTHON=python3.12" >&2; exit 2; }
	@echo "environment: $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing expunge (once; a minute or so)"
	@$(PIP) install --no-compile -c constraints.txt -e .
	@$(BIN)/expunge warm forest
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing expunge and what its developers use (once)"
	@$(PIP) install --no-compile -c constraints.txt -e ".[dev]"
	@$(BIN)/expunge warm
	@touch $(RUN) $@
