# Two commands from a bare Debian 12 with python3, make and git: `make demo` and `make test`.
# Everything goes into .venv; the first call takes about a minute or two, later ones start at once.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SCREENSHOT ?= out/demo.png
SCHEME ?= pathology
# Processes that share the tests, by whole files; each has a display of its own and computes on one thread.
TEST_PROCESSES ?= 2

# uv must use the Python that is here, never download one.
export UV_PYTHON_DOWNLOADS = never

# A virtual display only where there is no real one.
ifeq ($(DISPLAY)$(WAYLAND_DISPLAY),)
ON_SCREEN := xvfb-run -a -s "-screen 0 1400x1000x24 +extension GLX"
DEMO_OPTIONS := --screenshot $(SCREENSHOT)
endif

.PHONY: help demo test test-slow lint format types imports docs check bench model install sysdeps clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP) | sysdeps ## open napari on a sample (SCHEME=oct, ...) with a small bundled model and its prediction
	$(ON_SCREEN) $(BIN)/napari-medseg demo $(SCHEME) $(DEMO_OPTIONS)

test: $(STAMP) | sysdeps ## run the tests
	OMP_NUM_THREADS=1 $(ON_SCREEN) $(BIN)/python -m pytest -m "not slow" -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_OPTIONS)

test-slow: $(STAMP) | sysdeps ## run the tests that take minutes
	$(ON_SCREEN) $(BIN)/python -m pytest -m slow $(PYTEST_OPTIONS)

check: lint types imports ## all checks that are not tests

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

imports: $(STAMP) ## which layer may import which
	$(BIN)/lint-imports

docs: $(STAMP) ## the documentation as a site in out/site; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet -f tools/mkdocs.yml

bench: $(STAMP) | sysdeps ## start-up times
	$(ON_SCREEN) $(BIN)/python benchmarks/startup.py

model: $(STAMP) ## train the bundled demo models again (generated images, about half an hour on 2 cores)
	$(BIN)/python tools/train_demo_model.py

install: $(STAMP) ## make .venv with everything in it

$(STAMP): pyproject.toml hatch_build.py | sysdeps
	@$(PYTHON) tools/check_python.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade uv
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet -e ".[test]"
	@touch $@

sysdeps:
	@PYTHON="$(PYTHON)" sh tools/system_packages.sh

clean: ## remove .venv and all caches
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
