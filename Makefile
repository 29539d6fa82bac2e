# What a newcomer, a developer and CI type. Each target sets up what it needs; `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON := .venv/bin/python
READY := .venv/.ready
UV_VERSION := 0.13.9
# Two at a time, whatever the machine has: a test of the lab is itself a dozen servers with a rhythm to keep.
WORKERS ?= 2

# Set up anew in a folder that was moved or copied: scripts in a virtual environment hold its path.
ifneq ($(shell test "$$(cat $(READY) 2>/dev/null)" = "$$(pwd -P)" && echo here),here)
.PHONY: $(READY)
endif

.PHONY: help setup demo test lint worker docs bench soak lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1 - /p' Makefile | awk -F' - ' '{ printf "%-12s %s\n", $$1, $$2 }'

setup: $(READY) ## create .venv with the locked packages and the `canary` command; seconds when nothing changed
	@echo "Ready: .venv with $$($(PYTHON) --version); try \`make demo\`"

$(READY): requirements.txt requirements/lock.txt pyproject.toml
	@set -euo pipefail; \
	python="$$(.ci/find-python)"; \
	$(PYTHON) -m pip --version >/dev/null 2>&1 || "$$python" -m venv --clear .venv; \
	echo "Setting up .venv with $$($(PYTHON) --version) (once; some 40 seconds)"; \
	$(PYTHON) -m pip install -qq --disable-pip-version-check --requirement requirements/lock.txt; \
	$(PYTHON) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	pwd -P > $(READY)

demo: $(READY) ## a good and a bad rollout, live, on this machine, without an Azure account
	@.venv/bin/canary lab demo

test: $(READY) ## the whole suite
	$(PYTHON) -m pytest --numprocesses $(WORKERS) --dist worksteal $(PYTEST_ARGS)

lint: $(READY) ## style, types, layers, generated files, infrastructure
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/canary schema --check docs/canary.schema.json
	$(PYTHON) -m cli.reference --check
	$(PYTHON) -m docs.make --check
	bicep/check.sh $(PYTHON)

worker: $(READY) ## index and invoke the deployable tree with the real worker engine (needs Python 3.13)
	$(PYTHON) -m pytest tests/worker

docs: $(READY) ## make anew what the code says: the schema, the references, pictures and tables
	.venv/bin/canary schema >docs/canary.schema.json
	$(PYTHON) -m cli.reference
	$(PYTHON) -m docs.make

bench: $(READY) ## measure import, tick and judge; print, and write benchmarks/results
	$(PYTHON) -m benchmarks.bench

soak: $(READY) ## 20 seeds of good, errors and slow in the lab (some 20 minutes)
	$(PYTHON) -m lab.soak

lock: ## resolve requirements anew, for Python 3.11 to 3.13 at once, into requirements/lock.txt
	@test -x .tools/uv/bin/python || "$$(.ci/find-python)" -m venv .tools/uv
	@.tools/uv/bin/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@.tools/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--custom-compile-command "make lock" --annotation-style line --no-emit-index-url --no-emit-find-links \
		--output-file requirements/lock.txt requirements.txt requirements/cli.txt requirements/lab.txt requirements/dev.txt

clean: ## remove what the targets made; .venv and .tools too
	rm -rf .venv .tools .lab build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
