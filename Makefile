# make quickstart   set-up, then a small I-JEPA on the built-in world, its probes and report
# make test         set-up, then the tests
# make ui           the explorer's page, compiled (needs Node 20.19 or newer; nothing else does)
# make lint         ruff and mypy
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_TO_TEST := $(VENV)/.ready-to-test
RUN := runs/quickstart
# -qq: only errors. Pip compiles nothing, python does at first use, and most of torch is never used
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --constraint constraints.txt
# Packages that build ours are pinned, too
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

UI := src/openjepa/explore/ui
PAGE := src/openjepa/explore/static/index.html
MODULES := $(UI)/node_modules/.package-lock.json
UI_SOURCES := $(shell find $(UI) -name node_modules -prune -o -type f -print 2>/dev/null)
# Tests of the page need it; where there is no npm they skip, unless they are required
NPM := $(or $(shell sh -c 'command -v npm'),$(filter 1,$(OPENJEPA_REQUIRE_UI)))

.PHONY: setup quickstart ui test lint clean

setup: $(READY_TO_TEST)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("openjepa needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another with make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV): torch is large, this can take a few minutes"
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) --editable .
	@touch $(READY)

$(READY_TO_TEST): $(READY)
	$(INSTALL) --editable '.[test,dev]'
	@touch $(READY_TO_TEST)

# Again: what was cut short goes on, what is finished is not trained twice
quickstart: $(READY)
	@if ls $(RUN)/checkpoints/0* >/dev/null 2>&1; then \
	  $(BIN)/openjepa train --resume $(RUN); \
	else \
	  rm -rf $(RUN) && $(BIN)/openjepa train image.ijepa_tabletop --out $(RUN); \
	fi
	$(BIN)/openjepa probe $(RUN) --data 'world:tabletop?noise=0.75&count=10000' --test 'world:tabletop?noise=0.75&seed=1&count=5000'
	$(BIN)/openjepa report $(RUN)
	@echo "open $(RUN)/report.html"

ui: $(PAGE)

$(PAGE): $(UI_SOURCES) $(MODULES)
	cd $(UI) && npm run build

$(MODULES): $(UI)/package-lock.json
	@command -v npm >/dev/null || { echo "no npm: install Node 20.19 or newer to compile the explorer's page"; exit 1; }
	cd $(UI) && npm ci --ignore-scripts --no-audit --no-fund

test: $(READY_TO_TEST) $(if $(NPM),ui)
	$(if $(NPM),cd $(UI) && npm test && npm run size)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY_TO_TEST) $(if $(NPM),$(MODULES))
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(if $(NPM),cd $(UI) && npm run check)

clean:
	rm -rf $(VENV) build dist $(dir $(PAGE)) $(UI)/node_modules
