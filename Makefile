# make quickstart   set-up, then a small I-JEPA on the built-in world, its probes and report
# make test         set-up, then the tests
# make lint         ruff and mypy
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN := runs/quickstart

.PHONY: setup quickstart test lint clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("openjepa needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,dev]'
	touch $(READY)

quickstart: $(READY)
	@if [ -e $(RUN)/run.json ]; then $(BIN)/openjepa train --resume $(RUN); else $(BIN)/openjepa train image.ijepa_tabletop --out $(RUN); fi
	$(BIN)/openjepa probe $(RUN) --data 'world:tabletop?count=10000' --test 'world:tabletop?seed=1&count=5000'
	$(BIN)/openjepa report $(RUN)

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist
