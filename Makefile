# Two commands: `make demo DATA=300W_LP/ MODEL=bfm.h5` runs the main job, `make test` passes the tests.
# Both set up a virtual environment in .venv first, from a bare checkout with Python alone.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SUBSET ?= IBUG
OUT ?= shards

.PHONY: setup demo test lint bench clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml requirements-ci.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-ci.txt --editable ".[dev]"
	touch $@

demo: setup
	@test -n "$(DATA)" -a -n "$(MODEL)" || { echo "usage: make demo DATA=300W_LP/ MODEL=bfm.h5 (or face3d's BFM.mat) [SUBSET=IBUG] [OUT=shards]"; exit 2; }
	$(BIN)/uvgen build --data "$(DATA)" --model "$(MODEL)" --subset "$(SUBSET)" --out "$(OUT)"
	$(BIN)/uvgen verify "$(OUT)" --model "$(MODEL)"

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-ci.txt ".[bench]"
	$(BIN)/python benchmarks/build.py --data "$(DATA)" --model "$(MODEL)"

clean:
	rm -rf $(VENV) build dist *.egg-info
