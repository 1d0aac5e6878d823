# `make demo`: the main job on synthetic scenes. `make test`: all checks. `make docs`: the site, into site/. Each makes what it
# needs first.
PYTHON ?= python3
PIP ?= # more options of pip install
VENV ?= .venv
BIN = $(VENV)/bin
LOCKED = \# The versions that are tested; \`make lock\` renews them. pyproject.toml has the ranges that other machines may use.

.PHONY: demo test docs install install-test install-docs clean

demo: install
	$(BIN)/python -m bgsub_lightning demo

test: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile $(PYTEST)

docs: install-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test
install-docs: $(VENV)/.installed-docs

# Builds the archives, checks them, and uses the wheel in a fresh environment.
.PHONY: wheel
wheel: install-test
	$(BIN)/python -m pip install --quiet $(PIP) --constraint constraints.txt --editable '.[release]'
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	.ci/wheel dist/*.whl

# Renews constraints.txt, all but PyTorch's version.
.PHONY: lock
lock:
	$(PYTHON) -m venv --clear $(VENV)-lock
	grep '^torch==' constraints.txt > $(VENV)-lock/kept.txt
	$(VENV)-lock/bin/python -m pip install --quiet $(PIP) --constraint $(VENV)-lock/kept.txt --editable '.[docs,release,test]'
	$(VENV)-lock/bin/python -m pip install --quiet $(PIP) --no-deps sweeps==0.3.0
	echo "$(LOCKED)" > constraints.txt
	$(VENV)-lock/bin/python -m pip freeze --all --exclude pip --exclude-editable | \
		sed --regexp-extended '/^(cuda|nvidia|triton)/d; s/\+[a-z0-9.]+$$//' >> constraints.txt

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
	rm -rf $(VENV) $(VENV)-lock demo site build dist
