"""What commands that make shards share: progress, interrupts, skipped samples."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click


class Interrupt:
    """Ctrl-C that cannot get lost: where an interrupt falls into a destructor, Python drops it."""

    def __enter__(self) -> "Interrupt":
        self._seen = False
        self._previous = signal.getsignal(signal.SIGINT)
        with contextlib.suppress(ValueError):  # not the main thread: somebody else's signals
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, *_: object) -> None:
        self._seen = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt where there was one."""
        if self._seen:
            raise KeyboardInterrupt


class Reporter:
    """Progress: a bar on a terminal, a line a shard elsewhere; both on stderr."""

    def __init__(self, n_samples: int, *, quiet: bool, verbose: bool) -> None:
        self._total, self._done, self._verbose = n_samples, 0, verbose
        self._started = time.perf_counter()
        self._bar: Any = None
        self._lines = not quiet and (verbose or not sys.stderr.isatty())
        if not quiet and not self._lines:
            from tqdm import tqdm

            self._bar = tqdm(total=n_samples, unit=" samples", dynamic_ncols=True, smoothing=0.1)

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def shard_finished(self, result: Any) -> None:
        """Count and show a `ShardResult`."""
        n = result.entry.samples + len(result.skipped)
        self._done += n
        if self._bar is not None:
            self._bar.update(n)
        if self._lines:
            rate = self._done / (time.perf_counter() - self._started)
            skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
            click.echo(
                f"{result.entry.file}: {result.entry.samples} samples{skipped} "
                f"({self._done} of {self._total}, {rate:.0f} samples/s)",
                err=True,
            )
        if self._verbose:
            for skip in result.skipped:
                click.echo(f"skipped {skip.name}: {skip.reason}", err=True)


@contextlib.contextmanager
def reported(n_samples: int, *, quiet: bool, verbose: bool) -> Iterator[Callable[[Any], None]]:
    """What to call with each finished `ShardResult`: it shows progress, and lets no Ctrl-C get lost."""
    with Interrupt() as interrupt, Reporter(n_samples, quiet=quiet, verbose=verbose) as reporter:

        def shard_finished(result: Any) -> None:
            reporter.shard_finished(result)
            interrupt.check()

        yield shard_finished


def finish(out: Path, result: Any, seconds: float, *, quiet: bool, verbose: bool) -> None:
    """Name skipped samples, print the closing summary of a `BuildResult`, and exit with 3 where any was skipped."""
    if not quiet and not verbose:
        _name_skipped(result.skipped)
    if not quiet:
        click.echo(
            f"{out}: {result.samples} samples, {len(result.skipped)} skipped, {result.size_bytes / 1e6:.1f} MB; "
            f"this run {result.new_samples} samples in {seconds:.1f} s, {result.new_samples / seconds:.0f} samples/s"
        )
    if result.skipped:
        sys.exit(3)


def _name_skipped(skipped: Any, most: int = 20) -> None:
    for skip in skipped[:most]:
        click.echo(f"skipped {skip.name}: {skip.reason}", err=True)
    if len(skipped) > most:
        click.echo(f"and {len(skipped) - most} more; dataset.json lists them all", err=True)


def cores() -> int:
    """Processors this process may use."""
    from joblib import cpu_count

    return cpu_count()
