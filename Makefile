# Two commands for people (demo, test) and the ones that CI calls. Each sets itself up in .venv:
# with uv where it is installed, else with venv and pip.

PYTHON ?= python3
VENV := .venv
# LiveKit's job processes end differently on each of these: a venv each, where there is such a Python,
# with the oldest openai SDK that LiveKit's plugins take; .venv has the newest.
VERSIONS := 3.11 3.12 3.13
OLDEST := 'openai[realtime]==3.28.*'
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

.PHONY: demo test check format bench shapes clean

demo: $(VENV)/.demo
	$(BIN)/aden demo

# Most tests wait for real processes, servers and clocks, so three at a time keep two cores busy; what
# fails is tried once more, by itself a sign of a slow machine, and listed as RERUN.
# Many tests start processes: what one has compiled, the next need not compile again, also where the
# environment forbids to keep it.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.dev $(VERSIONS:%=.venv-%/.livekit)
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
	$(BIN)/python bench/instructions.py
	$(BIN)/python bench/policy.py
	$(BIN)/python bench/latency.py
	$(BIN)/python bench/refusals.py
	$(BIN)/python bench/heard.py
	$(BIN)/python bench/turns.py
	$(BIN)/python bench/sessions.py
	$(BIN)/python bench/call.py
	$(BIN)/python bench/ceiling.py
	$(BIN)/python bench/launch.py
	$(BIN)/python bench/prewarm.py

shapes: $(VENV)/.dev
	$(BIN)/python tests/openai/write_shapes.py

clean:
	rm -rf $(VENV) $(VERSIONS:%=.venv-%) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

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

# Makes nothing for the version of .venv itself, nor where no such interpreter runs: pytest then
# skips what it would have run there, and says so. (pyenv's shims are on the PATH and may not run.)
.venv-%/.livekit: pyproject.toml Makefile $(VENV)/bin/python
	@$(BIN)/python -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] == "$*")' || exit 0; \
	for python in python$* "$$HOME"/.pyenv/versions/$*.*/bin/python; do \
	  "$$python" -c 'import ensurepip' 2>/dev/null || continue; \
	  "$$python" -m venv .venv-$* && \
	  .venv-$*/bin/python -m pip install --quiet --upgrade 'pip>=25.1' && \
	  .venv-$*/bin/python -m pip install --quiet --no-compile --editable '.[livekit]' $(OLDEST) && \
	  touch $@; exit; \
	done
