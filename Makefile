# Every target sets up what it needs; all it asks for is Python 3.11 or later and make.
# `make help` lists the targets.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name) 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
MINUTES ?= 5
PYTEST = $(BIN)/python -m pytest --quiet
# Tests of processes mostly wait, so several files run at a time, each by one process (tests/conftest.py says which stay
# together). The short folder is for their sockets: a path holds 102 bytes. The machine is never its own, so one that
# fails is tried once more; what failed is shown, and with more than a few of them the run has failed.
TOGETHER = --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --reruns 1
# What the grpcio engine is tried with as well; a hundred changed policies are the law's matter, not the engine's.
ON_BOTH_ENGINES = $(filter-out %/test_product_leaks.py,$(wildcard tests/faults/test_product_*.py tests/blackbox/test_product_*.py))
define together
	base=$$(mktemp -d /tmp/bp.XXXXXX) && $(1) $(PYTEST) $(TOGETHER) --basetemp=$$base $(2) && rm -rf $$base
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-live demo-istio istio-tools test test-full check lint mutants compiled fuzz bench bench-smoke generate generate-check proto chart clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The environment, in steps: what the product and its demo need, what its development needs besides, and what only
# the long tests need.

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

$(VENV)/.stamp-full: $(VENV)/.stamp-dev
	$(PIP_INSTALL) --no-build-isolation --editable '.[presidio]'
	@touch $@

demo: $(VENV)/.stamp-demo ## Show it: a real Envoy, five regions, failover, spoofs, a log tampered with (two minutes)
	$(BIN)/borderpost demo

demo-live: $(VENV)/.stamp-demo ## The same stage left running, with the curl lines to try
	$(BIN)/borderpost demo --live

demo-istio: $(VENV)/.stamp-demo ## Show Istio's control plane deliver our filter to a real Envoy (needs Go the first time)
	$(BIN)/borderpost demo --istio

istio-tools: $(VENV)/.stamp-demo ## Build istiod and istioctl into the cache, for tests and demo-istio (needs Go; six minutes, once)
	$(BIN)/python tools/istio_tools.py

lint: $(VENV)/.stamp-dev ## Style, types, generated files
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/python tools/generate.py --check

check: lint ## Style, types, generated files, unit tests (under a minute)
	$(PYTEST) --numprocesses auto --maxprocesses 8 -m 'not full and not blackbox and not slow' tests/unit tests/test_tidy.py

test: $(VENV)/.stamp-dev ## Every test but the long ones (under ten minutes)
	$(PYTEST) --numprocesses auto --maxprocesses 8 -m 'not full and not blackbox' tests/unit tests/test_tidy.py
	$(call together,,-m 'not full' tests/test_docs_commands.py tests/packaging tests/faults tests/blackbox)

test-full: $(VENV)/.stamp-full ## The long tests, and the product's tests on its other engine; some need root or Debian packages (see .ci/run)
	$(call together,BORDERPOST_TEST_PROFILE=full,-m full --timeout 1800 tests/packaging tests/test_docs_commands.py tests/unit tests/test_tidy.py tests/faults tests/blackbox)
	$(call together,BORDERPOST_TEST_ENGINE=grpcio,$(ON_BOTH_ENGINES))

mutants: $(VENV)/.stamp-dev ## Change the law's code step by step and see whether a test notices; goes on where it ended (an hour)
	$(BIN)/python tools/mutate.py run
	$(BIN)/python tools/mutate.py report

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

chart: $(VENV)/.stamp-dev ## Render the chart's cases by helm, then what is made from them (Go builds helm where there is none)
	$(BIN)/python tools/render_chart.py
	$(BIN)/python tools/generate.py --only chart --only kubernetes

clean: ## Remove the environment, caches and what a run left
	rm -rf $(VENV) build dist run .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
