"""The progress display of all commands, and the closing summary of the commands that make shards."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from uvgen.cli.groups import STARTED, as_typed
from uvgen.cli.results import name_skipped, print_json
from uvgen.cli.streams import takes_a_line
from uvgen.storage.names import printable
from uvgen.wording import count, shown_size

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_WITHOUT_COUNT = 30.0  # between lines while nothing is counted: they say only that the work goes on
_SECONDS_BETWEEN_LOOKS = _SECONDS_OF_A_PHASE = 0.5
_FINISHING = ", finishing"
_SLOW = 0.1  # samples per second: slower work is told in seconds per sample
_PHASE = "{desc} {elapsed}"
_COUNTED = "{desc} {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} samples, {elapsed}{postfix}"


class Progress:
    """Shows progress (`uvgen.progress`) on stderr: as a bar on a terminal, as lines elsewhere.

    The clock of the bar starts within half a second, whatever the work is doing. A line names each phase that takes
    longer than that, and a line every few seconds states the count, or now and then the time if there is no count;
    with `verbose`, each shard has a line too. With `quiet`, nothing is shown. A thread updates the clock. It writes
    only if stderr can take a line, because a thread that is blocked in a write cannot be stopped.

    Parameters
    ----------
    check : callable
        Called whenever samples are counted: raises if the work is to stop.
    quiet, verbose : bool
        As the options say.
    """

    def __init__(self, check: Callable[[], None], *, quiet: bool, verbose: bool) -> None:
        self._verbose, self._check, self._quiet = verbose, check, quiet
        self._what, self._first, self._of, self._done = "", "", "sample", 0
        self._total: int | None = None
        self._began = self._spoke = time.perf_counter()
        self._counted: tuple[float, int] | None = None  # when all workers had done their first, and how many there were
        self._starting = False  # whether some have not
        self._said = True  # that this phase is going on
        self._lines = verbose or not _has_room()
        self._bar: Any = None
        if not quiet and not self._lines:
            from tqdm import tqdm

            self._bar = tqdm(bar_format=_PHASE, dynamic_ncols=True, leave=False, desc="starting")
        self._closed, self._speaking = threading.Event(), threading.RLock()
        self._thread = threading.Thread(target=self._look_often, daemon=True)
        if not quiet:
            with contextlib.suppress(RuntimeError):  # too little memory, or too many processes: no word now and then
                self._thread.start()

    def close(self) -> None:
        """Stop the display and clear its line."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._bar is not None:
            self._bar.disable = not takes_a_line(sys.stderr)  # then it has nothing to clear
            self._bar.close()

    def begin(self, what: str, total: int | None, first: str, of: str) -> None:
        """See `uvgen.progress.Display`."""
        self._what, self._first, self._total, self._done, self._counted = what, first, total, 0, None
        self._of = of
        self._began, self._said, self._starting = time.perf_counter(), False, False
        if self._bar is not None:
            with self._turn():
                self._bar.refresh()  # what was reached in the phase that ends
            self._bar.bar_format = _PHASE if total is None else _COUNTED.replace("sample", of)
            self._bar.set_description_str(first, refresh=False)
            self._bar.set_postfix_str("", refresh=False)
            self._bar.reset(total)
        self._check()

    def advance(self, n: int, *, starting: bool = False) -> None:
        """See `uvgen.progress.Display`."""
        self._done += n
        if self._counted is None and self._bar is not None:
            self._bar.set_description_str(self._what, refresh=False)
        if self._counted is None or starting or self._starting:
            self._counted = time.perf_counter(), self._done
        self._starting = starting
        if self._bar is not None:
            self._bar.n = self._done
            self._bar.set_postfix_str(self._rate().removeprefix(", "), refresh=False)  # tqdm adds it
        self._check()

    def shard_finished(self, result: Any) -> None:
        """Print a line for a `ShardResult` with `verbose`."""
        if not self._verbose:
            return
        skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
        self._say(f"{result.entry.file}: {count(result.entry.samples, 'sample')}{skipped}")
        for skip in result.skipped:
            self._say(printable(f"skipped {skip.name}: {skip.reason}"))

    def line(self, text: str) -> None:
        """Print a line with `verbose`."""
        if self._verbose:
            self._say(printable(text))

    def _look_often(self) -> None:
        """In a thread of its own."""
        while not self._closed.wait(_SECONDS_BETWEEN_LOOKS):
            if self._speaking.acquire(blocking=False):
                try:
                    if takes_a_line(sys.stderr):
                        self.look()
                finally:
                    self._speaking.release()

    def look(self) -> None:
        """Update the clock, and print a line every few seconds."""
        now = time.perf_counter()
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.refresh()
        elif not self._said and now - self._began >= _SECONDS_OF_A_PHASE:
            self._said = True
            of = "" if self._total is None else f" {count(self._total, self._of)}"
            self._say(f"{self._first}{of if self._first == self._what else ''} ...")
        elif self._done and now - self._spoke >= _SECONDS_BETWEEN_LINES:
            of = "" if self._total is None else f" of {self._total}"
            so_far = self._rate()
            if so_far in ("", _FINISHING):  # the same line again otherwise
                so_far += f", {_clock(now - self._began)}"
            self._say(f"{self._what}: {self._done}{of}{so_far}")
        elif not self._done and now - self._spoke >= _SECONDS_WITHOUT_COUNT:
            self._say(f"{self._first}, {_clock(now - self._began)}")

    def _rate(self) -> str:
        """Samples per second since each worker has done its first, so that the start-up does not count."""
        if self._total is not None and self._done >= self._total:
            return _FINISHING  # what is left to do is not counted: "0:00 left" would be wrong
        if self._counted is None:
            return ""
        since, first = self._counted
        seconds = time.perf_counter() - since
        if seconds <= 0 or self._done <= first:
            return ""
        rate = (self._done - first) / seconds
        left = "" if self._total is None else f", {_clock((self._total - self._done) / rate)} left"
        if rate < _SLOW:
            return f", {1 / rate:.0f} s per {self._of}{left}"
        shown = f"{rate:,.0f}" if rate >= 99.5 else f"{rate:.3g}"
        return f", {shown} {self._of}s/s{left}"

    def _say(self, line: str) -> None:
        self._spoke = time.perf_counter()
        with self._turn(), contextlib.suppress(OSError, ValueError):  # a terminal that was closed
            click.echo(line, err=True)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until stderr can take a line, and keep other threads from writing meanwhile. A signal ends the wait."""
        with self._speaking:
            takes_a_line(sys.stderr, None)
            yield


def _has_room() -> bool:
    """Whether stderr is a terminal that can show a bar: it must have a width and be able to rewrite a line."""
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return False
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    return True


@contextlib.contextmanager
def clock_on_terminal(what: str) -> Iterator[None]:
    """Show a phase and its clock on a terminal while the block runs: for work of some seconds that is not counted."""
    from uvgen.progress import begin

    with reported(quiet=not _has_room()):
        begin(what)
        yield


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextlib.contextmanager
def reported(*, quiet: bool, verbose: bool = False) -> Iterator[Progress]:
    """Show progress within the block; a Ctrl-C in it is not lost."""
    from uvgen.interrupts import interrupts_kept
    from uvgen.progress import shown_on

    with (
        interrupts_kept() as check,
        contextlib.closing(Progress(check, quiet=quiet, verbose=verbose)) as shown,
        shown_on(shown),
    ):
        yield shown


def finish(out: Path, result: Any, *, quiet: bool, verbose: bool, as_json: bool = False) -> None:
    """Name skipped samples, print the closing summary of a `BuildResult`, and exit with 3 if any was skipped."""
    from uvgen.storage.urls import shown_path

    mirror, where = result.mirror, shown_path(out)
    if mirror is not None and mirror.n_unpaired and not quiet:
        click.echo(
            f"note: the model has no mirror vertex for a corner of {mirror.n_unpaired} of {mirror.size**2} texels; in "
            "flipped maps they have the values of the opposite column, all others are exact",
            err=True,
        )
    if not verbose:
        name_skipped(result.skipped, "dataset.json", quiet=quiet)
    show_warnings([*result.warnings, *(result.quality.warnings if result.quality else ())])
    if as_json:
        print_json({"out": where, **result.to_plain()})
    elif not quiet:
        made = f"this run {count(result.new_samples, 'sample')} in" if result.new_samples else "nothing was left to do,"
        click.echo(
            f"{where}: {count(result.samples, 'sample')}, {len(result.skipped)} skipped, "
            f"{shown_size(result.size_bytes)}; {made} {waited(result.seconds):.1f} s"
        )
        show_quality(result.quality)
    if result.skipped:
        sys.exit(3)


def waited(seconds: float) -> float:
    """Seconds since the command began, its start included; `seconds` outside of a command."""
    context = click.get_current_context(silent=True)
    started = None if context is None else context.find_root().meta.get(STARTED)
    return seconds if started is None else time.perf_counter() - started


def show_quality(quality: Any) -> None:
    """Print how far labels are from annotations, if the data set has annotations."""
    if quality is not None:
        click.echo(printable(quality.summary()))


def show_warnings(warnings: Any) -> None:
    """Print warnings on stderr, with `--quiet` too, because the labels may be useless."""
    for text in warnings:
        click.echo(f"warning: {as_typed(printable(text))}", err=True)
