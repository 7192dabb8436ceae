# Every target sets up what it needs; all it asks for is Python 3.11 or later and make.
# `make help` lists the targets.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name) 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
MINUTES ?= 5
PYTEST = $(BIN)/python -m pytest --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-live test test-full check compiled fuzz bench bench-smoke generate generate-check proto clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The environment, in two steps: what the product and its demo need, and what its development needs besides.

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no python3 found; install Python 3.11 or later" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; name another with PYTHON=…" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: hint: Debian has venv in the package python3-venv" >&2; exit 2; }

$(VENV)/.stamp-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) pip hatchling editables
	$(PIP_INSTALL) --no-build-isolation --editable '.[demo]'
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-demo
	$(PIP_INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@

demo: $(VENV)/.stamp-demo ## Show it: a real Envoy, five regions, failover, spoofs, a log tampered with (two minutes)
	$(BIN)/borderpost demo

demo-live: $(VENV)/.stamp-demo ## The same stage left running, with the curl lines to try
	$(BIN)/borderpost demo --live

check: $(VENV)/.stamp-dev ## Style, types, unit tests, generated files (under a minute)
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(PYTEST) --numprocesses auto --maxprocesses 8 -m 'not full and not blackbox and not slow' tests/unit tests/test_tidy.py
	$(BIN)/python tools/generate.py --check

test: $(VENV)/.stamp-dev ## Every test but the long ones (under ten minutes)
	$(PYTEST) --numprocesses auto --maxprocesses 8 -m 'not full and not blackbox' tests/unit tests/test_tidy.py
	$(PYTEST) -m 'not full' tests/blackbox tests/faults tests/packaging tests/test_docs_commands.py

test-full: $(VENV)/.stamp-dev ## The long tests, and the product's tests on its other engine; some need root or Debian packages (see .ci/run)
	BORDERPOST_TEST_PROFILE=full $(PYTEST) -m full --timeout 1800
	BORDERPOST_TEST_ENGINE=grpcio $(PYTEST) tests/blackbox/test_product_*.py tests/faults/test_product_*.py

fuzz: $(VENV)/.stamp-dev ## Drive the protocol engine by any bytes in any pieces, for MINUTES (5)
	$(BIN)/python tools/fuzz.py --minutes $(MINUTES)

compiled: $(VENV)/.stamp-dev ## Compile the hot modules with mypyc into build/compiled (needs a C compiler)
	$(BIN)/python tools/compile.py build/compiled

bench: $(VENV)/.stamp-dev ## Measure everything five times, into build/bench: tables, verdicts, plots (half an hour)
	@mkdir -p build/bench
	$(BIN)/borderpost bench --result build/bench/result.json --markdown build/bench/result.md --plots build/bench

bench-smoke: $(VENV)/.stamp-dev ## The product and its rivals once, a second each: do all checks hold? (a minute)
	$(BIN)/borderpost bench --runs 1 --seconds 1 --scenario plain --scenario ext_proc --scenario open \
		--scenario go-stub-streams --scenario go-honest-streams --scenario borderpost-streams

generate: $(VENV)/.stamp-dev ## Write every generated file: reference, schemas, messages, rendered Envoy
	$(BIN)/python tools/generate.py

generate-check: $(VENV)/.stamp-dev ## Say which generated files are stale
	$(BIN)/python tools/generate.py --check

proto: $(VENV)/.stamp-dev ## Write only the generated messages
	$(BIN)/python tools/generate.py --only proto

clean: ## Remove the environment, caches and what a run left
	rm -rf $(VENV) build dist run .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
