# Mailwarden. `make` alone prints what there is.
# Plain POSIX sh, no tool needed beforehand but make, git and Python 3.11.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first of these that is Python 3.11, unless PYTHON says otherwise.
IS_3_11 := import sys; sys.exit(sys.version_info[:2] != (3, 11))
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c '$(IS_3_11)' >/dev/null 2>&1 && { echo $$p; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
# Stamps: what is installed, so that it is not installed again. `dev` holds all of `runtime`.
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# Files go to workers whole; PYTEST_ARGS="-n 0" runs them one after the other.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile $(PYTEST_ARGS)
CODE := services tests docs

CORPUS ?=
UP_ARGS ?=

##@ Try it

.PHONY: demo
demo: $(RUNTIME)  ## run the main job on a sandbox and show what happens (CORPUS=folder of .eml, or an mbox)
	@exec $(BIN)/python -m services.cli demo $(if $(CORPUS),--corpus "$(CORPUS)")

.PHONY: up
up: $(RUNTIME)  ## run everything until Ctrl-C, print URLs, a key and examples (UP_ARGS="--rest-port 0 …")
	@exec $(BIN)/python -m services.cli up $(if $(CORPUS),--corpus "$(CORPUS)") $(UP_ARGS)

##@ Environment

.PHONY: setup
setup: $(DEV)  ## make .venv with everything needed to work on the project

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) …"
	@"$(PYTHON)" -m venv $(VENV)

$(RUNTIME): requirements/runtime.txt pyproject.toml | $(BIN)/python
	@if test $(DEV) -nt requirements/dev.txt && test $(DEV) -nt pyproject.toml; then :; else \
	echo "Installing what is needed to run (once) …" && \
	$(PIP) install --require-hashes -r requirements/runtime.txt && \
	PYTHONWARNINGS=ignore $(PIP) install --no-deps --no-build-isolation --editable . ; fi
	@touch $@

$(DEV): requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "Installing what is needed to develop (once) …"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@PYTHONWARNINGS=ignore $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(RUNTIME)

UV ?= uv
COMPILE = $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate \
	--python-version 3.11 $(LOCK_ARGS)

.PHONY: lock
lock:  ## pin requirements/*.in with hashes (needs uv; LOCK_ARGS=--upgrade takes new releases)
	@$(COMPILE) requirements/runtime.in -o requirements/runtime.txt
	@$(COMPILE) requirements/dev.in -c requirements/runtime.txt -o requirements/dev.txt

.PHONY: clean
clean:  ## remove the environment, caches and build results (data folders stay)
	@rm -rf $(VENV) build dist *.egg-info .ruff_cache .hypothesis .coverage htmlcov .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Tests

.PHONY: test
test: $(DEV)  ## every test
	@$(PYTEST) tests

.PHONY: unit contract integration e2e matrix chaos
unit: $(DEV)  ## rules, on fakes: seconds
contract: $(DEV)  ## both sides of every promise
integration: $(DEV)  ## one real process with PostgreSQL and a local Google
e2e: $(DEV)  ## the user's story through REST, MCP and A2A against the whole system
matrix: $(DEV)  ## every way in for every kind of caller, secrets, fuzzing, revocation
chaos: $(DEV)  ## parts die; nothing is lost, nothing happens twice
unit contract integration e2e matrix chaos:
	@$(PYTEST) tests/$@

.PHONY: bench
bench: $(DEV)  ## requests a second and latency of each layer, side by side
	@exec $(BIN)/python -m tests.bench

##@ Quality

.PHONY: fmt
fmt: $(DEV)  ## format code and protos
	@$(BIN)/ruff check --quiet --select I --fix $(CODE)
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/buf format --write

.PHONY: fmt-check
fmt-check: $(DEV)
	@$(BIN)/ruff format --check --diff --quiet $(CODE)
	@$(BIN)/buf format --diff --exit-code

.PHONY: lint
lint: $(DEV)  ## ruff, buf lint
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/buf lint

.PHONY: types
types: $(DEV)  ## basedpyright
	@$(BIN)/basedpyright

.PHONY: arch
arch: $(DEV)  ## imports stay within the architecture
	@$(BIN)/lint-imports --no-cache

# What has been promised: the last release, else where this branch left origin/main, else the commit before.
PROMISED = git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || \
	{ base=$$(git merge-base HEAD origin/main 2>/dev/null) && \
	  test "$$base" != "$$(git rev-parse HEAD)" && echo $$base; } || \
	git rev-parse --quiet --verify HEAD~1

.PHONY: breaking
breaking: $(DEV)  ## contracts only grow
	@against=$$($(PROMISED)); \
	if test -z "$$against" || ! git cat-file -e "$$against:protos" 2>/dev/null; then \
	echo "breaking: no earlier contract to compare with"; else \
	$(BIN)/buf breaking --against "$$(git rev-parse --git-common-dir)#ref=$$against"; fi

.PHONY: check
check: fmt-check lint types arch breaking protos-check unit contract  ## all that is quick; run it before a commit

.PHONY: ci
ci: fmt-check lint types arch breaking protos-check test  ## what CI runs

##@ Protos

PROTOS := $(wildcard protos/*/v1/*.proto)
WITH_SERVICE = $(shell grep -l '^service ' $(PROTOS))
# $(call generate,folder): Python, type stubs and descriptors (with comments, for schemas and documentation).
generate = $(BIN)/python -m grpc_tools.protoc -I . --python_out=$(1) --pyi_out=$(1) \
	--descriptor_set_out=$(1)/protos/descriptors.binpb --include_imports --include_source_info $(PROTOS) && \
	$(BIN)/python -m grpc_tools.protoc -I . --grpc_python_out=$(1) $(WITH_SERVICE)

.PHONY: protos
protos: $(DEV)  ## generate code from protos/
	@$(call generate,.)

.PHONY: protos-check
protos-check: $(DEV)
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && mkdir "$$fresh/protos" && \
	$(call generate,"$$fresh") && cd "$$fresh" && \
	find protos -type f | while read -r file; do cmp "$$file" "$(CURDIR)/$$file" || exit 1; done || \
	{ echo "generated code is not that of protos/; run: make protos" >&2; exit 1; }

.PHONY: docs
docs: $(DEV)  ## write the pages that are read from code and protos
	@$(BIN)/python -m docs.errors_page

##@ Help

.PHONY: help
help:  ## this text
	@awk 'BEGIN { FS = ":.*## " } \
	/^##@ / { printf "\n%s\n", substr($$0, 5) } \
	/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
