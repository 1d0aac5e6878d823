# `make demo`: the main job on synthetic scenes. `make test`: all checks. Both make what they need first.
PYTHON ?= python3
PIP ?= # more options of pip install
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test install install-test clean

demo: install
	$(BIN)/python -m bgsub_lightning demo

test: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile $(PYTEST)

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(PIP) --constraint constraints.txt --editable '.[test]'
	$(BIN)/python -m pip install --quiet $(PIP) --no-deps sweeps==0.3.0
	touch $@

clean:
	rm -rf $(VENV) demo
