"""Results that depend on a model and a few plain values, computed once in a process.

Threads that ask at the same time may each compute one; they then share the last.
"""

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:  # see uvgen.maps.landmarks
    from uvgen.models.morphable import MorphableModel

Result = TypeVar("Result")


def once_per_model(function: Callable[..., Result]) -> Callable[..., Result]:
    """Keep what a function returns for a model and its other arguments for as long as the model lives.

    Parameters
    ----------
    function : callable
        Takes a model, then hashable arguments by position; returns a frozen value without a reference to the model.

    Returns
    -------
    callable
        The same, which may be called from several threads.
    """
    kept: WeakKeyDictionary[MorphableModel, dict[tuple[Any, ...], Result]] = WeakKeyDictionary()
    lock = Lock()

    @wraps(function)
    def remembered(model: "MorphableModel", *arguments: Any) -> Result:
        from uvgen.models.morphable import check_sound  # see uvgen.maps.landmarks

        check_sound(model)
        with lock:
            results = kept.setdefault(model, {})
        if arguments not in results:
            results[arguments] = function(model, *arguments)
        return results[arguments]

    return remembered
