# `make demo`: the main job on synthetic scenes. `make test`: all checks. `make docs`: the site, into site/. Each makes what it
# needs first.
PYTHON ?= python3
PIP ?= # more options of pip install
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test docs install install-test install-docs clean

demo: install
	$(BIN)/python -m bgsub_lightning demo

test: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile $(PYTEST)

docs: install-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test
install-docs: $(VENV)/.installed-docs

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(PIP) --constraint constraints.txt --editable '.[test]'
	$(BIN)/python -m pip install --quiet $(PIP) --no-deps sweeps==0.3.0
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet $(PIP) --constraint constraints.txt --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) demo site
