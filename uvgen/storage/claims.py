"""A claim on a folder of a store: an object that names the run that writes there, as stores have no locks.

The run refreshes its claim. Another run takes over a claim that was not refreshed for `STALE_S`, or whose process ran
on this machine and has ended. If the store supports conditional writes, the object is only made if there is none.
Otherwise, and when a stale claim is taken over, the object is read again after a pause: of two runs, the one that wrote
last continues. A run that lost its claim finds out at the next refresh, lists no further shards and fails: also if
the other run is finished, and its claim is gone. A run that was stopped for so long that its claim may have been taken
over looks at it before it goes on.
"""

import json
import math
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from uvgen.errors import BusyError, DatasetError
from uvgen.storage.files import TEMPORARY_PREFIX
from uvgen.storage.names import brief
from uvgen.storage.objects import get_bytes, put_bytes, remove
from uvgen.storage.plain_json import parse_json
from uvgen.storage.urls import writes_are_commits

CLAIM = f"{TEMPORARY_PREFIX}claim.json"
"""The object's name in the folder."""

STALE_S = 300.0
"""Seconds after which a claim that was not refreshed is stale."""

STALE_COMMIT_S = 7200.0
"""The same for Hugging Face repositories, where each refresh is a commit and is therefore made less often."""

_BEAT_S, _COMMIT_BEAT_S = 30.0, 1800.0
_SKEW_S = 60.0  # clocks of machines that a time server keeps differ by less
_MOST_BYTES = 1 << 16  # of a claim
_SETTLE_S = 1.0  # until another run's write, begun at the same time, has arrived


@contextmanager
def claimed(folder: Path) -> Iterator[Callable[[], None]]:
    """Claim a folder of a store against runs of other machines.

    Parameters
    ----------
    folder : Path
        The folder's place in the mirror, which this process has locked.

    Yields
    ------
    callable
        Raises BusyError if another run has taken the claim over.

    Raises
    ------
    BusyError
        If another run holds it.
    DatasetError
        If the store cannot be reached. One that may not be written to is not claimed: what is written says so.
    """
    place = folder / CLAIM
    mine: dict[str, Any] = {
        "uvgen": secrets.token_hex(8), "host": platform.node(), "pid": os.getpid(), "where": _where(),
        "started": time.time(), "seen": time.time(),
    }  # fmt: skip
    try:
        _take(place, mine)
    except BusyError:
        raise
    except BaseException as error:
        _drop(place, mine)  # what was written of it: others would wait for this run
        if not isinstance(error, DatasetError) or not isinstance(error.__cause__, PermissionError):
            raise
        yield lambda: None
        return
    stop, lost = threading.Event(), list[str]()

    def look() -> None:
        found = _read(place)
        if found is None:  # half of a write, perhaps, in a store whose writes are not whole
            stop.wait(_SETTLE_S)
            found = _read(place)
        if found is None:
            lost.append(_gone(folder))
        elif found["uvgen"] != mine["uvgen"]:
            lost.append(_taken(folder, found))

    def refresh() -> None:
        while not lost and not stop.wait(_COMMIT_BEAT_S if writes_are_commits(place) else _BEAT_S):
            with suppress(DatasetError):  # the run's own transfers say what is wrong
                look()
                if not lost:
                    now = time.time()
                    put_bytes(place, _bytes({**mine, "seen": now}))
                    mine["seen"] = now

    def check() -> None:
        if not lost and abs(time.time() - mine["seen"]) > stale_s(place):  # stopped, and others may know
            look()
        if lost:
            raise BusyError(lost[0])

    thread = threading.Thread(target=refresh, daemon=True, name="uvgen-claim")
    thread.start()
    try:
        yield check
        with suppress(DatasetError):
            look()
        check()
    finally:
        stop.set()
        thread.join(_SETTLE_S)  # a refresh that is under way would put the claim back
        _drop(place, mine)


def _drop(place: Path, mine: dict[str, Any]) -> None:
    """Delete the claim, if it is there, as far as that can be done."""
    with suppress(DatasetError):
        found = _read(place)
        if found is not None and found["uvgen"] == mine["uvgen"]:
            remove([place])


def _take(place: Path, mine: dict[str, Any]) -> None:
    """Write the claim; BusyError if that of another run stands."""
    found = _read(place)
    if found is None and put_bytes(place, _bytes(mine), new=True):
        if not put_bytes(place, _bytes(mine), new=True):  # so the store knows conditions
            return
    else:
        found = _read(place)
        if found is not None and found["uvgen"] == mine["uvgen"]:  # of a try whose answer was lost
            return
        if found is not None and not _is_stale(found, place):
            raise _busy(place, found)
        put_bytes(place, _bytes(mine))
    time.sleep(_SETTLE_S)
    found = _read(place)
    if found is not None and found["uvgen"] != mine["uvgen"]:
        raise _busy(place, found)


def _read(place: Path) -> dict[str, Any] | None:
    """What a claim says; None if there is none, or what is there is none."""
    data = get_bytes(place, _MOST_BYTES)
    with suppress(ValueError, TypeError, KeyError):
        found = parse_json((data or b"").decode())
        numbers = {key: float(found[key]) for key in ("pid", "started", "seen")}
        if not all(map(math.isfinite, numbers.values())):
            return None
        return {
            **{key: brief(str(found[key])) for key in ("uvgen", "host", "where")},
            **numbers,
        }
    return None


def stale_s(place: Path) -> float:
    """Seconds after which a claim in this store counts for nothing if it was not refreshed."""
    return STALE_COMMIT_S if writes_are_commits(place) else STALE_S


def _is_stale(claim: dict[str, Any], place: Path) -> bool:
    """Whether the run that made the claim has ended, as far as this machine can know."""
    if time.time() - claim["seen"] > stale_s(place):
        return True
    if claim["where"] != _where():
        return False
    if claim["pid"] == os.getpid():  # an earlier run, whose claim could not be removed: this one holds the lock
        return True
    try:
        os.kill(int(claim["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError, ValueError):
        pass
    return False


def _where() -> str:
    """Where process numbers mean what they do here: this machine since it was started, and this container."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 -- no path
    return platform.node()


def _busy(place: Path, claim: dict[str, Any]) -> BusyError:
    ago = time.time() - claim["seen"]
    if ago < -_SKEW_S:  # it would be stale only when this machine's clock has reached it
        return BusyError(
            f"{place.parent}: {_who(claim)} is writing into it, by a clock that is {_plain(-ago)} s ahead of this "
            f"machine's; wait for it to finish. If it was killed, delete {place}, and set the clocks"
        )
    ago = max(0.0, ago)
    return BusyError(
        f"{place.parent}: {_who(claim)} is writing into it, last heard of {_plain(ago)} s ago; wait for it to finish. "
        f"If it was killed, run the command again {stale_s(place):.0f} s after that, or delete {place} now"
    )


def _taken(folder: Path, claim: dict[str, Any]) -> str:
    return (
        f"{folder}: {_who(claim)} took it over, as this run had not been heard of for {stale_s(folder):.0f} s; wait "
        "for it to finish, then run the command again"
    )


def _gone(folder: Path) -> str:
    return (
        f"{folder}: this run's claim, {folder / CLAIM}, was deleted, so that another run may have written there; run "
        "the command again to continue"
    )


def _who(claim: dict[str, Any]) -> str:
    with suppress(OverflowError, ValueError, OSError):
        started = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(claim["started"]))
        return f"another uvgen (process {_plain(claim['pid'])} on {claim['host']}, started {started})"
    return "another uvgen"


def _plain(number: float) -> str:
    """A whole number, which may be any that a claim states: not in 300 digits."""
    return f"{number:.0f}" if abs(number) < 1e15 else f"{number:.1e}"


def _bytes(claim: dict[str, Any]) -> bytes:
    return json.dumps(claim).encode()
