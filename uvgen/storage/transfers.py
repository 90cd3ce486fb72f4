"""Transfers to and from object stores: watched while they move, tried again, and what is told if they fail."""

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from uvgen.errors import DatasetError, DependencyError
from uvgen.storage.names import brief

TRIES = 4
"""How often a transfer is tried."""

_PAUSE_S = 0.5  # after the first try that failed; twice as long after each further one
_LOOK_S = 0.2  # between looks at how far a transfer is
_SECONDS = 60.0  # without a byte moving, until a try has failed
_LOCAL = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EFBIG", "EMFILE", "ENFILE", "ENAMETOOLONG", "ENOTDIR")
    if hasattr(errno, name)
}  # of this machine: no try helps

Result = TypeVar("Result")


class MissingError(DatasetError):
    """A store has no such file."""


class NoBucketError(FileNotFoundError):
    """There is no such bucket."""


class WrongContentError(Exception):
    """The content that was received is not what was requested."""


def patience_s() -> float:
    """Seconds without progress: ``UVGEN_STORE_TIMEOUT``, or a minute."""
    with suppress(ValueError):
        if (stated := float(os.environ.get("UVGEN_STORE_TIMEOUT", ""))) > 0:
            return stated
    return _SECONDS


_given_up: dict[str, list[threading.Thread]] = {}  # changes of a file, by its URL, that may still be made


def settle(url: str) -> None:
    """Wait for changes of a file that were given up: they would undo what is done to it next.

    Raises
    ------
    DatasetError
        If one is still under way after the time that a transfer may take without progress.
    """
    end = time.monotonic() + patience_s()
    for thread in _given_up.pop(url, []):
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            _given_up.setdefault(url, []).append(thread)
    if url in _given_up:
        raise DatasetError(
            f"{url}: an earlier write or deletion, which took too long, is still under way; run the command again to "
            "continue"
        )


def watched(
    call: Callable[[], Result], grown: Callable[[], int], patience: float | None, *, changes: str | None = None
) -> Result:
    """The result of a call that runs in a thread of its own, which is abandoned if there is no progress.

    Parameters
    ----------
    call : callable
        The transfer.
    grown : callable
        How many bytes have come so far.
    patience : float, optional
        Seconds without progress after which TimeoutError is raised; without it the call may take any time. While this
        process is stopped (Ctrl-Z), no time passes.
    changes : str, optional
        The URL of the file that the call writes or deletes: see `settle`.
    """
    outcome: list[Any] = []

    def make() -> None:
        try:
            outcome.append((True, call()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=make, daemon=True, name="uvgen-transfer")
    thread.start()
    seen, waited = grown(), 0.0
    while thread.is_alive():
        before = time.monotonic()
        thread.join(_LOOK_S)
        waited += min(time.monotonic() - before, 2 * _LOOK_S)
        if (size := grown()) != seen:
            seen, waited = size, 0.0
        elif patience is not None and thread.is_alive() and waited > patience:
            if changes is not None:
                _given_up.setdefault(changes, []).append(thread)
            raise TimeoutError(f"nothing moved for {patience:g} s")
    good, value = outcome[0]
    if not good:
        raise value
    result: Result = value
    return result


def tried(call: Callable[[], Result], url: str, done: str) -> Result:
    """The result of a call, which is repeated after temporary errors, `TRIES` times in all.

    Parameters
    ----------
    call : callable
        The transfer.
    url : str
        Of the file or folder, for messages.
    done : {"fetched", "written", "listed", "deleted"}
        What the call does, for messages.

    Raises
    ------
    MissingError
        If the store has no such file.
    DatasetError
        If all tries fail, rights are missing, or there is no such bucket.
    OSError
        If this machine is short of something, such as disk space.
    """
    for number in range(1, TRIES + 1):
        try:
            return call()
        except FileNotFoundError as error:
            if done == "written" or _lacks_bucket(error):
                raise DatasetError(
                    f"{url}: no such bucket, expected one that is there; create it, or correct the URL"
                ) from error
            raise MissingError(f"{url}: no such file in the store; run what wrote it again") from error
        except (DatasetError, DependencyError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _LOCAL:
                raise
            if _is_denied(error):
                raise DatasetError(
                    f"{url}: cannot be {done}, permission is denied ({brief(error)}); credentials are taken only from "
                    "the environment, as the store's own tools take them (AWS_PROFILE, AWS_ACCESS_KEY_ID …)"
                ) from error
            if number == TRIES and isinstance(error, WrongContentError):
                raise DatasetError(f"{url}: {error}, in {number} tries; damaged or changed in the store?") from error
            endless = done == "listed" and isinstance(error, TimeoutError)  # pages came all the time
            if number == TRIES or endless or isinstance(error, (TypeError, AttributeError)):
                again = f" in {number} tries" if number > 1 else ""
                raise DatasetError(
                    f"{url}: cannot be {done}{again} ({brief(error) or type(error).__name__}); is the store reached "
                    "from here (AWS_ENDPOINT_URL, proxy)? Run the command again to continue"
                ) from error
            time.sleep(_PAUSE_S * 2 ** (number - 1))
    raise AssertionError


def _lacks_bucket(error: BaseException | None) -> bool:
    """Whether a file is not found because its bucket is not."""
    while error is not None:
        if isinstance(error, NoBucketError) or store_code(error) == "NoSuchBucket" or "specified bucket" in str(error):
            return True
        error = error.__cause__
    return False


def store_code(error: BaseException) -> str | None:
    """S3's code of an error, or of its cause, such as ``NoSuchBucket``; None if it has none."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code"))
    return None


def _is_denied(error: BaseException) -> bool:
    name = type(error).__name__
    words = ("Credential", "TokenRetrieval", "ProfileNotFound", "SSOToken", "GatedRepo")
    return isinstance(error, PermissionError) or any(word in name for word in words)
