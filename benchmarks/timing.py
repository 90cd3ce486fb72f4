"""What the benchmarks share: one BLAS thread, and the fastest of some runs. Import it before NumPy."""

import os
import time
from collections.abc import Callable

for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")


def best_ms(
    function: Callable[[], object], repeats: int, n: int = 1, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Milliseconds for each of n: the fastest of some repeats, the first (cold) one not counted."""
    function()
    times = []
    for _ in range(repeats):
        started = clock()
        function()
        times.append(clock() - started)
    return min(times) * 1e3 / n
