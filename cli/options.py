"""What commands share: help with grouped options, path types, and options of how to run."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from uvgen.cli.value_types import AnyType, FiniteRange

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from uvgen.fitting.detectors import FaceDetector
    from uvgen.jobs.options import RunOptions

Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)


class AnyPath(click.Path):
    """A path, there or not. An empty one, which would be the working folder, is wrong usage."""

    def __init__(self, *, allow_dash: bool = False, urls: bool = False) -> None:
        super().__init__(path_type=Path, allow_dash=allow_dash)
        self._urls = urls  # whether a URL of an object store will do

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("an empty path, expected that of a file or a folder", param, ctx)
        if ":/" in os.fspath(value):
            from uvgen.storage.urls import local_path, refuse_url

            if not self._urls:
                named = f"a path for {param.opts[0]}" if isinstance(param, click.Option) else "a path"
                refuse_url(value, named, "copy it, such as with `aws s3 cp`")
            value = local_path(value)
        return super().convert(value, param, ctx)


class ExistingPath(AnyPath):
    """A file or a folder that is there; if it is not, that is a failure like others of files, not wrong usage."""

    def __init__(self, *, folder: bool | None = False) -> None:  # None: either
        super().__init__()
        self._folder = folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from uvgen.errors import InputError
        from uvgen.storage.folders import folder_kind

        path = super().convert(value, param, ctx)
        what = "a file or a folder" if self._folder is None else "a folder" if self._folder else "a file"
        of = f" for {param.opts[0]}" if isinstance(param, click.Option) else ""
        if not path.exists():
            raise InputError(f"{path}: no such {'folder' if self._folder else 'file'}, expected {what}{of}")
        if self._folder is not None and path.is_dir() != self._folder:
            raise InputError(f"{path}: {folder_kind(path) if path.is_dir() else 'a file'}, expected {what}{of}")
        return path


EXISTING_FILE, EXISTING_FOLDER, EXISTING = ExistingPath(), ExistingPath(folder=True), ExistingPath(folder=None)
ANY_PATH, ANY_PATH_OR_DASH, PATH_OR_URL = AnyPath(), AnyPath(allow_dash=True), AnyPath(urls=True)


class ModelPath(AnyType):
    """A model's file or folder, or the word for the built-in model."""

    name = "model"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "FILE|builtin"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        # the word alone would keep the shell from listing files that begin with the same letters
        return [CompletionItem(incomplete, type="file")]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from uvgen.errors import InputError

        if value != "builtin" and not ANY_PATH.convert(value, param, ctx).exists():
            raise InputError(f"{value}: no such file, expected a model's file or folder, or the word builtin")
        return value if value == "builtin" else EXISTING.convert(value, param, ctx)


MODEL = ModelPath()


OUTPUT_OPTION = "uvgen.output_option"
"""In a context's `meta`: the option that names the output that is checked or written, if it is not ``--out``."""


@contextmanager
def output_of(name: str) -> Iterator[None]:
    """Attribute errors within the block, in which an option's output is checked or written, to that option."""
    meta = click.get_current_context().meta
    meta[OUTPUT_OPTION] = name
    yield
    del meta[OUTPUT_OPTION]  # an error keeps it, for `main`, which says it


def is_given(name: str) -> bool:
    """Whether an option stands in the command line."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def refuse_given(names: Iterable[str], why: str) -> None:
    """Raise UsageError if one of some options stands in the command line: it would change nothing.

    Parameters
    ----------
    names : iterable of str
        Names of the options' values, such as "max_nme".
    why : str
        What follows the option's name in the message: "goes with --pred".
    """
    if given := [name for name in names if is_given(name)]:
        context = click.get_current_context()
        param = next(param for param in context.command.params if param.name == given[0])
        is_negative = param.secondary_opts and context.params[given[0]] is False
        raise click.UsageError(f"{max(param.secondary_opts if is_negative else param.opts, key=len)} {why}")


MODEL_SUFFIXES = (".h5", ".hdf5")
"""Of uvgen's own model files."""


def check_maps(config: Any, model: Any, where: Path) -> None:
    """Raise InputError if a data set of this configuration stores no maps, and no model makes them."""
    from uvgen.datasets.open import own_model
    from uvgen.errors import InputError

    if model is None and config.build.maps == "none" and own_model(config) is None:
        raise InputError(f"{where}: stores no maps, expected --model with the file of {config.model}, which makes them")


class GroupedCommand(click.Command):
    """A command whose options carry a group, `option(..., group="Shards")`, and are listed under it."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):  # arguments stand in the usage line
                groups.setdefault(getattr(param, "group", "Other"), []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


class GroupedOption(click.Option):
    """An option with a group for the help."""

    def __init__(self, *args: Any, group: str = "Other", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


def option(*names: str, group: str, **kwargs: Any) -> Callable[[Decorated], Decorated]:
    """`click.option` with a group."""
    return click.option(*names, cls=GroupedOption, group=group, **kwargs)


HOW_IT_RUNS = "How it runs"

_OPTIONS_OF_WORKERS = (
    option("-j", "--workers", type=click.IntRange(min=1), metavar="N", group=HOW_IT_RUNS,
           help="Number of worker processes; with 1, the command's own process does the work, and a crash ends the "
                "run.  [default: one per core]"),
    option("--retries", type=click.IntRange(0, 100), metavar="N", default=2, show_default=True, group=HOW_IT_RUNS,
           help="How often a task is tried again after its process died or took too long; after that, its parts are "
                "tried one by one."),
    option("--timeout", type=FiniteRange(0, min_open=True), metavar="SECONDS", group=HOW_IT_RUNS,
           help="Time limit for one task: a shard, a video, a scan, or a few samples. A process that exceeds it is "
                "killed, and the task is tried again (--retries).  [default: no limit]"),
    option("--backend", type=click.Choice(["local", "dask", "ray"]), default="local", show_default=True,
           group=HOW_IT_RUNS, help="Where worker processes run: on this machine, or on a Dask or Ray cluster."),
    option("--address", metavar="ADDRESS", group=HOW_IT_RUNS,
           help="Address of the cluster's scheduler.  [default: the one that Dask or Ray is configured for; without "
                "one, a cluster on this machine is started for the run]"),
)  # fmt: skip


Run = Callable[[], "RunOptions"]
"""What `workers_option` hands to commands."""


def workers_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--workers``, ``--retries``, ``--timeout``, and where the processes run, which the command need not know.

    The command gets them as `run`, which returns `RunOptions`. It calls that once its usage is checked, because
    counting processors loads joblib.
    """

    @wraps(command)
    def on_backend(
        *args: Any, backend: str, address: str | None, workers: int | None, retries: int, timeout: float | None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        def run() -> "RunOptions":
            from uvgen.jobs.options import RunOptions

            return RunOptions(workers or cores(), retries, timeout)

        if backend == "local" and address is not None:
            raise click.UsageError("--address goes with --backend dask or ray")
        if backend == "local":  # which needs none of what clusters do
            return command(*args, run=run, **kwargs)
        from uvgen.jobs.cluster import running_on

        with running_on(backend, address, workers=workers):
            return command(*args, run=run, **kwargs)

    for add in reversed(_OPTIONS_OF_WORKERS):
        on_backend = add(on_backend)
    return on_backend


def cores() -> int:
    """Number of processors that this process may use: the default number of workers."""
    from joblib import cpu_count

    found: int = cpu_count()
    return found


def _check_volume(context: click.Context, param: click.Parameter, chosen: bool) -> bool:
    other = "verbose" if param.name == "quiet" else "quiet"
    if chosen and context.params.get(other):
        raise click.UsageError("--quiet and --verbose exclude each other")
    return chosen


quiet_option = option(
    "-q",
    "--quiet",
    is_flag=True,
    group=HOW_IT_RUNS,
    callback=_check_volume,
    help="Print errors and warnings only, and how many samples were skipped.",
)


def on_error_option(what: str) -> Callable[[Decorated], Decorated]:
    """``--on-error``, which says what becomes of `what`."""
    return option("--on-error", type=click.Choice(["skip", "fail"]), default="skip", show_default=True,
                  group=HOW_IT_RUNS, help=f"{what}: skip and report it, or stop the run.")  # fmt: skip


def landmarks_option(group: str) -> Callable[[Decorated], Decorated]:
    """``--landmarks`` of photographs."""
    return option("--landmarks", type=ANY_PATH, metavar="FOLDER|FILE", group=group,
                  help="Landmark files (.txt, .pts, .npy, .mat) named as the images, or one CSV, JSON or XML for all.  "
                       "[default: those beside the images]")  # fmt: skip


def exif_option(group: str) -> Callable[[Decorated], Decorated]:
    """``--exif`` of photographs, which are turned upright by default."""
    return option("--exif", type=click.Choice(["apply", "ignore"]), default="apply", show_default=True, group=group,
                  help="Turn photographs upright as their EXIF orientation says, or take them as stored.")  # fmt: skip


def detector_options(group: str, default: str, finds: str) -> Callable[[Decorated], Decorated]:
    """``--detector``, which `finds` landmarks, and its ``--detector-model``; see `detector_of`.

    `default` is "auto", or "none" where only a detector that is named is used.
    """
    names = (["auto"] if default == "auto" else []) + ["none", "mediapipe", "dlib", "face-alignment"]
    first = "; auto: the first one installed" if default == "auto" else ""
    options = (
        option("--detector", type=click.Choice(names), default=default, show_default=True, group=group,
               help=f"Finds {finds}{first}."),
        option("--detector-model", type=EXISTING_FILE, group=group, help="File of weights for the detector."),
    )  # fmt: skip

    def add(command: Decorated) -> Decorated:
        for one in reversed(options):
            command = one(command)
        return command

    return add


def detector_of(name: str, model: Path | None) -> "FaceDetector | None":
    """The detector that `detector_options` choose; UsageError for weights without one."""
    if name == "none":
        refuse_given(["detector_model"], "goes with a --detector")
        return None
    from uvgen.fitting.detectors import FaceDetector

    return FaceDetector(name, model)


untrusted_option = option(
    "--untrusted", is_flag=True, group=HOW_IT_RUNS,
    help="Read HDF5 files (shards, models) in a child process, so that a hostile file cannot crash the command.",
)  # fmt: skip


def overwrite_option(what: str = "a data set") -> Callable[[Decorated], Decorated]:
    """``--overwrite`` of `what` the output folder holds."""
    return option("--overwrite", is_flag=True, group=HOW_IT_RUNS, help=f"Start anew if --out holds {what} already.")


def verbose_option(
    what: str = "Report each shard and each skipped sample at once.",
) -> Callable[[Decorated], Decorated]:
    """``--verbose``, which excludes ``--quiet``."""
    return option("-v", "--verbose", is_flag=True, group=HOW_IT_RUNS, callback=_check_volume, help=what)
