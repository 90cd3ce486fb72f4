"""Fixtures: the toy model, a toy tree, and the reference data where it is."""

import gc
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, settings
from support.folders import shared_folder
from support.models import builtin_model
from support.toy import toy_model, write_tree

from uvgen.cli import options, progress
from uvgen.cli.main import main
from uvgen.models import builtin, load
from uvgen.models.checked import file_state
from uvgen.models.load import load_model
from uvgen.models.model_file import save_model
from uvgen.models.morphable import MorphableModel

# A loaded machine takes any time for an example, and the same ones are drawn in each run: a change is what turns a test
# red. A quarter of them is enough for `make test` and CI; `make test-all` takes the profile "full", and
# `pytest --hypothesis-profile=explore` draws others.
settings.register_profile(
    "uvgen", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("full", settings.get_profile("uvgen"), max_examples=100)
settings.register_profile("explore", settings.get_profile("full"), derandomize=False)
settings.load_profile("uvgen")

LONGEST = ("test_notebook.py", "test_fuzz.py")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the reference data or PyTorch; begin with the longest: no process is left alone with one."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        if "reference" in getattr(item, "fixturenames", ()):
            item.add_marker("reference")
        if "pytorch" in item.path.relative_to(Path(__file__).parent).parts:
            item.add_marker("torch")


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist there is none
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker more than cores where slow tests run: they wait for clusters, stores and processes of their own."""
    from xdist.plugin import pytest_xdist_auto_num_workers as count

    return int(count(config)) + ("not slow" not in config.option.markexpr)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Collect without the garbage collector, and keep it from all that is there then.

    It would look through hundreds of thousands of objects that stay, again and again, and so copy their pages into each
    forked process.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(5000, 10, 10)  # arrays have no cycles, and what reads them makes thousands of objects
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tests' processes make the built-in sample set once, in a folder of their own and not in the user's cache."""
    base = tmp_path_factory.getbasetemp()
    os.environ["UVGEN_CACHE"] = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache")


@pytest.fixture(scope="session", autouse=True)
def no_progress() -> Iterator[None]:
    """Commands in this process show no progress: what they would show depends on how fast the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "_SECONDS_BETWEEN_LOOKS", 3600.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_disks() -> Iterator[None]:
    """This process does not wait until what it writes is on the disk: that tells after a loss of power alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_worker() -> Iterator[None]:
    """Commands in this process start no others unless `--workers` says so: to start them takes longer than the work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "cores", lambda: 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread_of_pytorch() -> Iterator[None]:
    """PyTorch computes on one thread in this process: where all cores are busy, more of them wait for each other."""
    torch = sys.modules.get("torch")  # the modules of tests have imported it
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def one_builtin_model() -> Iterator[None]:
    """What takes the built-in model in this process gets the same object: making it takes a quarter of a second.

    So are its grid, masks and landmarks found once. Tests of the model itself call the function as it is.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "builtin_model", builtin_model)
        yield


@pytest.fixture(scope="session")
def model() -> MorphableModel:
    return toy_model()


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory, model: MorphableModel) -> Iterator[Path]:
    """The toy model's file. What reads it in this process gets the same object.

    To find its grid, masks and landmarks anew would take a third of a small build's time.
    """
    path = tmp_path_factory.mktemp("model") / "toy.h5"
    save_model(model, path)
    read_model, before = load.read_model, file_state(path)
    kept = read_model(path)

    def read(given: Path, *, untrusted: bool = False) -> MorphableModel:
        is_kept = given == path and not untrusted and file_state(given) == before
        return kept if is_kept else read_model(given, untrusted=untrusted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "read_model", read)
        yield path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "300W_LP")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of real samples and golden files."""
    folder = os.environ.get("UVGEN_REFERENCE")
    if not folder:
        pytest.skip("UVGEN_REFERENCE is not set: no reference data")
    return Path(folder)


@pytest.fixture(scope="session")
def stand_in(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the BFM stand-in in every file format and uvgen's own, made once for all processes of pytest."""

    def fill(folder: Path) -> None:
        arguments = sys.argv
        sys.argv = ["make_reference_model.py", str(folder)]
        try:
            runpy.run_path(str(reference / "make_reference_model.py"), run_name="__main__")
        finally:
            sys.argv = arguments
        save_model(load_model(folder / "face3d/BFM.mat"), folder / "bfm.h5")

    base = tmp_path_factory.getbasetemp()
    with shared_folder((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "stand-in", fill) as out:
        yield out


@pytest.fixture(scope="session")
def stand_in_model(stand_in: Path) -> MorphableModel:
    """The stand-in read from face3d's files, saved and opened as uvgen's own file."""
    return load_model(stand_in / "bfm.h5")


class Uvgen:
    """Runs the command in this process."""

    def __call__(self, *arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def uvgen() -> Uvgen:
    return Uvgen()
