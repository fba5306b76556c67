# Everything runs in .venv, which the first target makes.  PYTHON chooses the interpreter.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TESTS  ?= tests
# Three processes of one thread each: some tests wait for others, for servers and clusters.  The files in
# the order of tests/conftest.py.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
HAS_GPU := $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'

.DEFAULT_GOAL := help
.PHONY: help demo docs test soak gpu check lint types build clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/ /' | awk '{n=$$1; $$1=""; printf "  make %-8s%s\n", n, $$0}'

demo: $(READY)  ## train the default GAN on 1,797 handwritten digits (one to two minutes on two cores)
	@echo "Training on 1,797 handwritten digits: one to two minutes on two cores, longer beside other programs; soon it says how long."
	$(BIN)/python -m ganlab.train

docs: $(READY)  ## these pages as a site that opens from the disk, in build/docs/ (a minute or two)
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --jobs auto docs build/docs
	@echo "Open build/docs/index.html"

test: $(READY)  ## the test suite; no account, no network; GANLAB_LONG=1: with tests that take long
	$(PYTEST) $(TESTS)
	@# 5: none of these needs one
	if $(HAS_GPU); then $(BIN)/python -m pytest -m cuda $(TESTS) || test $$? = 5; fi

soak: $(READY)  ## training killed fifty times at random moments, and gone on with
	GANLAB_LONG=1 GANLAB_SOAK=50 $(PYTEST) tests/test_soak.py

gpu: $(READY)  ## everything that needs a GPU, as one table, in under three minutes
	$(BIN)/python benchmarks/gpu.py

check: lint types test  ## what CI runs

lint: $(READY)  ## style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)  ## static types
	$(BIN)/mypy

build: $(READY)  ## the wheel and the source archive, in dist/
	$(BIN)/python -m build --no-isolation

clean:  ## remove what is made here; outputs/ stays
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ganlab needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo "Installing into $(VENV), once, for some minutes: with PyTorch's CUDA on Linux 3 GB to download, 6 GB on the disk."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(READY)
