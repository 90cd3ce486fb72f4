"""Tasks on worker processes, their results as they come."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from uvgen.interrupts import interrupts_ignored

Result = TypeVar("Result")


def run_on_workers(function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], workers: int) -> Iterator[Result]:
    """Call a function in worker processes, with one BLAS thread each; results in the order they are ready.

    Parameters
    ----------
    function : callable
        Importable by the workers.
    calls : sequence of tuple
        Its arguments, a tuple a call.
    workers : int
        Processes, at most one a call.

    Yields
    ------
    What the function returns. An error in a worker ends the others and is raised here.
    """
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tasks.*cancelled", category=UserWarning)  # an interrupt says it
        parallel = Parallel(n_jobs=min(workers, len(calls)), return_as="generator_unordered", batch_size=1)
        with interrupts_ignored():  # the workers inherit that: Ctrl-C is this process's matter
            results = parallel(delayed(function)(*arguments) for arguments in calls)
        yield from results
