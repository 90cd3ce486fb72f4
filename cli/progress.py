"""How commands say how far they are: one display for all; and the summary of commands that make shards."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

_SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """A bar on a terminal, lines elsewhere or where `verbose`; on stderr, and nothing where `quiet`.

    Parameters
    ----------
    total : int
        Samples to come.
    check : callable
        Called whenever samples are counted: raises where the work is to stop.
    quiet, verbose : bool
        As the options say.
    """

    def __init__(self, total: int, check: Callable[[], None], *, quiet: bool, verbose: bool) -> None:
        self._total, self._done, self._verbose, self._check = total, 0, verbose, check
        self._started = self._said = time.perf_counter()
        self._bar: Any = None
        self._lines = not quiet and (verbose or not sys.stderr.isatty())
        if not quiet and not self._lines:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=" samples", dynamic_ncols=True, smoothing=0.1)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.close()

    def add(self, n: int) -> None:
        """Count samples; a line now and then."""
        self._count(n)
        if self._lines and time.perf_counter() - self._said > _SECONDS_BETWEEN_LINES:
            self._say(self._so_far())

    def shard_finished(self, result: Any) -> None:
        """Count the samples of a `ShardResult`; a line for each."""
        self._count(result.entry.samples + len(result.skipped))
        if self._lines:
            skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
            self._say(f"{result.entry.file}: {result.entry.samples} samples{skipped} ({self._so_far()})")
        if self._verbose:
            for skip in result.skipped:
                self._say(f"skipped {skip.name}: {skip.reason}")

    def _count(self, n: int) -> None:
        self._done += n
        if self._bar is not None:
            self._bar.update(n)
        self._check()

    def _so_far(self) -> str:
        rate = self._done / max(time.perf_counter() - self._started, 1e-9)
        return f"{self._done} of {self._total}, {rate:.0f} samples/s"

    def _say(self, line: str) -> None:
        self._said = time.perf_counter()
        click.echo(line, err=True)


@contextlib.contextmanager
def reported(total: int, *, quiet: bool, verbose: bool = False) -> Iterator[Progress]:
    """Show progress within the block; a Ctrl-C in it is not lost."""
    from uvgen.interrupts import interrupts_kept

    with interrupts_kept() as check, contextlib.closing(Progress(total, check, quiet=quiet, verbose=verbose)) as shown:
        yield shown


def finish(out: Path, result: Any, *, quiet: bool, verbose: bool) -> None:
    """Name skipped samples, print the closing summary of a `BuildResult`, and exit with 3 where any was skipped."""
    mirror = result.mirror
    if mirror is not None and mirror.n_unpaired and not quiet:
        click.echo(
            f"note: the model says no mirror vertex for a corner of {mirror.n_unpaired} of {mirror.size**2} texels; in "
            "flipped maps they have the values of the opposite column, all others are exact",
            err=True,
        )
    if not quiet and not verbose:
        _name_skipped(result.skipped)
    show_warnings([*result.warnings, *(result.quality.warnings if result.quality else ())])
    if not quiet:
        click.echo(
            f"{out}: {result.samples} samples, {len(result.skipped)} skipped, {result.size_bytes / 1e6:.1f} MB; "
            f"this run {result.new_samples} samples in {result.seconds:.1f} s, "
            f"{result.new_samples / result.seconds:.0f} samples/s"
        )
        show_quality(result.quality)
    if result.skipped:
        sys.exit(3)


def show_quality(quality: Any) -> None:
    """Print how far labels are from annotations, where the data set has some."""
    if quality is not None:
        click.echo(quality.summary())


def show_warnings(warnings: Any) -> None:
    """Print what is probably wrong, on stderr, also where only errors are asked for: labels may be useless."""
    for text in warnings:
        click.echo(f"warning: {text}", err=True)


def _name_skipped(skipped: Any, most: int = 20) -> None:
    for skip in skipped[:most]:
        click.echo(f"skipped {skip.name}: {skip.reason}", err=True)
    if len(skipped) > most:
        click.echo(f"and {len(skipped) - most} more; dataset.json lists them all", err=True)


def cores() -> int:
    """Processors this process may use."""
    from joblib import cpu_count

    return cpu_count()
