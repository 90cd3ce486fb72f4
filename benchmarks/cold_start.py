"""What the first command on a machine compiles, kernel by kernel, and how long that takes.

    python benchmarks/cold_start.py [build --subset IBUG --out OUT]

Runs a command of uvgen (by default a build of the built-in samples with one worker) in a process of its own with an
empty cache of compiled code, and again with the cache that it left. Kernels that are compiled for more than one set of
types show how many. The list is of this process alone; with more than one worker, others compile ahead of it, and
each one's time is in the sum of "its children".
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

COMMAND = ["build", "--subset", "IBUG", "--workers", "1", "--overwrite", "--quiet"]


def measured(arguments: list[str]) -> None:
    """Run a command and print each kernel's compilations, the longest first."""
    from numba.core import event

    spent: dict[str, list[float]] = defaultdict(list)
    open_since: list[tuple[str, float, float]] = []  # kernels compile the kernels that they call

    class Listener(event.Listener):
        def on_start(self, event: event.Event) -> None:
            function = event.data["dispatcher"].py_func
            open_since.append((f"{function.__module__}.{function.__qualname__}", time.process_time(), 0.0))

        def on_end(self, event: event.Event) -> None:
            name, started, inner = open_since.pop()
            took = time.process_time() - started
            spent[name].append(took - inner)
            if open_since:
                outer, since, others = open_since[-1]
                open_since[-1] = (outer, since, others + took)

    event.register("numba:compile", Listener())
    started = time.process_time()
    from uvgen.cli.main import main

    status = 0
    try:
        main(arguments)
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    whole = time.process_time() - started
    times = {name: (sum(values), len(values)) for name, values in spent.items()}
    for name, (seconds, n) in sorted(times.items(), key=lambda item: -item[1][0]):
        print(f"  {seconds:6.3f} s {f'{n} ×' if n > 1 else '':>4} {name}")
    compiled = sum(seconds for seconds, _ in times.values())
    print(f"{whole:.2f} s of process time, {compiled:.2f} s of it compiling {len(times)} kernels; status {status}")


def main() -> None:
    if os.environ.get("UVGEN_COLD_START"):
        measured(sys.argv[1:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="of uvgen, with its options")
    arguments = parser.parse_args().command
    with tempfile.TemporaryDirectory() as name:
        command = arguments or [*COMMAND, "--out", str(Path(name) / "out")]
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(Path(name) / "cache"), "UVGEN_COLD_START": "1"}
        environment["UVGEN_CACHE"] = str(Path(name) / "samples")  # made anew: the first command makes them too
        for what in ("empty", "full"):
            started = time.perf_counter()
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run([sys.executable, __file__, *command], env=environment, capture_output=True, text=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            took = time.perf_counter() - started
            print(f"cache {what}: {took:.2f} s, {spent:.2f} s of process time with its children")
            print(done.stdout, end="")
            if done.returncode:
                sys.exit(done.stderr)


if __name__ == "__main__":
    main()
