# Two commands for people (demo, test) and the ones that CI calls. Each sets itself up in .venv:
# with uv where it is installed, else with venv and pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

.PHONY: demo test check format bench shapes clean

demo: $(VENV)/.demo
	$(BIN)/aden demo

# Most tests wait for real processes, servers and clocks, so three at a time keep two cores busy; what
# fails is tried once more, by itself a sign of a slow machine, and listed as RERUN.
test: $(VENV)/.dev
	$(BIN)/pytest -n 3 --dist loadfile --reruns 1 -rsR

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/python bench/overspend.py
	$(BIN)/python bench/speed.py
	$(BIN)/python bench/policy.py
	$(BIN)/python bench/latency.py
	$(BIN)/python bench/refusals.py
	$(BIN)/python bench/turns.py
	$(BIN)/python bench/ceiling.py
	$(BIN)/python bench/launch.py

shapes: $(VENV)/.dev
	$(BIN)/python tests/openai/write_shapes.py

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Aden needs Python 3.11 or newer; name one: make PYTHON=python3.12 …"; exit 1; }
ifdef UV
	uv venv --quiet --python $(PYTHON) $(VENV)
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
endif

$(VENV)/.demo: pyproject.toml $(VENV)/bin/python
ifdef UV
	uv pip install --quiet --python $(BIN)/python --editable '.[livekit]'
else
	$(BIN)/python -m pip install --quiet --editable '.[livekit]'
endif
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
ifdef UV
	uv pip install --quiet --python $(BIN)/python --group dev
else
	$(BIN)/python -m pip install --quiet --group dev
endif
	@touch $@
