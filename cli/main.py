"""The `uvgen` command: a group that imports a sub-command's module only when that is called."""

import contextlib
import importlib
import io
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from uvgen import __version__
from uvgen.cli.groups import ARGUMENTS, STARTED, SpokenGroup, as_typed, with_option
from uvgen.cli.options import OUTPUT_OPTION
from uvgen.cli.streams import keep_closed_streams, leave_unread_streams
from uvgen.errors import OutputError, SettingsError, UvgenError
from uvgen.interrupts import exit_status, expect_time_limit, ignore_interrupts, interrupts_kept, see_children_end
from uvgen.storage.names import printable

if "_UVGEN_COMPLETE" in os.environ:
    importlib.import_module("uvgen.cli.completion")

_COMMANDS = {
    "augment": "Make augmented copies of a data set, labels included.",
    "build": "Make a data set of crops, position maps and parameters.",
    "export": "Write a data set in another format, for trainers and loaders.",
    "fit": "Fit a face model to photographs or videos, to build from.",
    "predict": "Run a trained network on photographs.",
    "prepare": "Bring photographs into the layout of other trainers.",
    "register": "Bring scans of faces to a model's topology.",
    "model": "Convert, inspect and assemble morphable models.",
    "synth": "Render faces with exact labels, as a folder like 300W-LP.",
    "preview": "Draw a contact sheet of a data set, to check its labels by eye.",
    "report": "Write pages that show all of a data set, wrong labels first.",
    "evaluate": "Compare predictions with the truth: published scores, by yaw.",
    "verify": "Check a data set: hashes, shapes, ranges, labels.",
    "info": "Print what a data set holds.",
    "split": "Divide a data set into parts such as train and val.",
    "select": "Choose samples: as a list, a split, or a data set.",
    "drop": "Leave samples out: as a list, a split, or a data set.",
    "merge": "Put data sets together, or copy a part of one.",
    "doctor": "Find out what is wrong with a machine, data set, samples or model.",
}
"""Command, which is also its module in this package → line for `uvgen --help`."""

_LEAST_MB = 512  # with less, OpenBLAS asks for its memory again and again
_RESUMABLE = ("augment", "build", "export", "fit", "merge", "predict", "prepare", "register", "synth")


class _LazyGroup(SpokenGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"uvgen.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        ctx.meta[STARTED] = time.perf_counter()
        keep_closed_streams()
        if sys.platform == "win32":  # locks, signals and limits of processes are POSIX
            click.echo("uvgen: Windows, expected Linux or macOS; use the Windows Subsystem for Linux (WSL)", err=True)
            ctx.exit(1)
        # All work is done with one BLAS thread a process. OpenBLAS starts its threads when it is loaded; if they
        # cannot be started, it interrupts the process.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        for name in ("HDF5_DRIVER", "HDF5_VOL_CONNECTOR"):  # uvgen's files are plain ones; HDF5 crashes at other names
            os.environ.pop(name, None)
        if (least := _memory_limit()) < _LEAST_MB:
            click.echo(f"uvgen: limited to {least} MB (ulimit -v), expected {_LEAST_MB} or more", err=True)
            ctx.exit(1)
        ctx.meta[ARGUMENTS] = arguments = list(ctx.args)
        anew = "--overwrite" in arguments
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is no reason to stop
                stream.reconfigure(errors="backslashreplace")
        expect_time_limit()
        see_children_end()
        with interrupts_kept():
            return self._invoke(ctx, anew)

    def _invoke(self, ctx: click.Context, anew: bool) -> Any:
        try:
            return super().invoke(ctx)
        except UvgenError as error:
            text = with_option(printable(str(error)), self._called_command(ctx), ctx.meta[ARGUMENTS])
            click.echo(f"uvgen: {as_typed(text)}{self._helpful(ctx, error)}", err=True)
            ctx.exit(1)
        except MemoryError as error:
            what = printable(str(error)) if ": " in str(error) else "out of memory"
            has_workers = "--workers" in self._options(ctx)
            advice = "fewer --workers need less" if has_workers else "free some, or raise the limit (ulimit -v)"
            click.echo(f"uvgen: {as_typed(what)}; {advice}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt as error:
            ignore_interrupts()
            leave_unread_streams()
            again = "run the command again without --overwrite" if anew else "run the command again"
            if ctx.invoked_subcommand == "report":
                more = "; nothing of the report is kept, run the command again to make it"
            elif ctx.invoked_subcommand not in _RESUMABLE:
                more = ""
            elif nothing_written(ctx.meta[ARGUMENTS]):
                more = "; nothing is written yet"
            else:
                more = f"; what is finished is kept, {again} to continue"
            with contextlib.suppress(OSError):  # a terminal that was closed
                click.echo(f"uvgen: interrupted{more}", err=True)
            ctx.exit(exit_status(error))

    def _helpful(self, ctx: click.Context, error: UvgenError) -> str:
        """The options that say what an error asks for: the library's messages of outputs name none."""
        if not isinstance(error, OutputError):
            return ""
        there = self._options(ctx)
        output = ctx.meta.get(OUTPUT_OPTION, "--out")
        helpful = (output, "--overwrite") if isinstance(error, SettingsError) else (output,)
        named = [name for name in helpful if name in there]
        return f" ({', '.join(named)})" if named else ""

    def _options(self, ctx: click.Context) -> set[str]:
        """Those of the command that was called."""
        command = self._called_command(ctx)
        return set() if command is None else {name for param in command.params for name in param.opts}

    def _called_command(self, ctx: click.Context) -> click.Command | None:
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        words = iter(ctx.meta[ARGUMENTS])
        while isinstance(command, click.Group):
            there = command.commands
            command = next((there[word] for word in words if word in there), None)
        return command


def _memory_limit() -> int:
    """MB that this process may take, which are infinitely many if nothing limits them."""
    try:
        import resource
    except ImportError:  # Windows
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit >> 20


def nothing_written(arguments: list[str]) -> bool:
    """Whether the command's output folder shows that it has not come to its first result."""
    from uvgen.shards.constants import CONSTANTS
    from uvgen.storage.drafts import draft_of
    from uvgen.storage.folders import INDICES
    from uvgen.storage.urls import local_path, url_of

    out = ""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument in ("-o", "--out"):
            out = following
        elif argument.startswith("--out="):
            out = argument.removeprefix("--out=")
    with contextlib.suppress(OSError, ValueError):
        if url_of(local_path(out)):  # what is there is not looked up
            return False
        places = [place for place in (Path(out), draft_of(Path(out))) if place.is_dir()] if out else []
        names = {path.name for place in places for path in place.iterdir() if not path.name.startswith(".uvgen-tmp-")}
        return bool(out) and not names - {*INDICES, CONSTANTS}
    return False


@click.group("uvgen", cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="uvgen")
def main() -> None:
    """Training data for networks that regress UV position maps.

    \b
    Example:
      uvgen build --out shards/ && uvgen preview shards/ --out preview.png      # built-in model and samples
      uvgen model convert --bfm 01_MorphableModel.mat --expression Model_Expression.mat \\
                          --info model_info.mat --uv BFM_UV.mat --out bfm.h5
      uvgen build --data 300W_LP/ --model bfm.h5 --subset IBUG --out shards/
      uvgen verify shards/ --model bfm.h5

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but some samples were skipped, 130 interrupted
    (Ctrl-C), 143 ended by SIGTERM, 129 by SIGHUP.
    """
