"""Claims on folders of a store: one run at a time, also from other machines; stale ones are taken over."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.stores import FolderStore, folder_store

from uvgen.errors import BusyError, DatasetError
from uvgen.storage import claims
from uvgen.storage.claims import CLAIM, STALE_S, claimed
from uvgen.storage.urls import local_path


@pytest.fixture(params=[True, False], ids=["conditions", "no conditions"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FolderStore]:
    monkeypatch.setattr(claims, "_SETTLE_S", 0.1)
    with folder_store(tmp_path) as found:
        found.conditions = request.param
        yield found


def place(store: FolderStore) -> Path:
    return store.folder / "bucket/set" / CLAIM


def other() -> dict[str, object]:
    """The claim of a run of another machine."""
    return {"uvgen": "other", "host": "elsewhere", "pid": 7, "where": "there", "started": 0, "seen": time.time()}


def write(store: FolderStore, **changes: object) -> None:
    place(store).parent.mkdir(exist_ok=True)
    draft = place(store).with_name("draft")
    draft.write_text(json.dumps({**other(), **changes}))
    draft.replace(place(store))


FOLDER = "s3://bucket/set"


def test_claimed_folder_holds_a_claim_until_the_end(store: FolderStore) -> None:
    with claimed(local_path(FOLDER)) as check:
        assert json.loads(place(store).read_text())["host"]
        check()
    assert not place(store).exists()


@pytest.mark.parametrize("denied", [True, False])
def test_claim_whose_second_write_is_refused_is_not_left_behind(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, denied: bool
) -> None:
    write_once, writes = store.pipe_file, list[str]()

    def pipe_file(path: str, data: bytes, mode: str = "overwrite") -> None:
        writes.append(path)
        if len(writes) > 1:
            raise PermissionError("denied") if denied else RuntimeError("503")
        write_once(path, data, mode)

    monkeypatch.setattr(store, "pipe_file", pipe_file)
    if denied:  # what the run writes says so
        with claimed(local_path(FOLDER)):
            assert not place(store).exists()
    else:
        with pytest.raises(DatasetError, match="503"), claimed(local_path(FOLDER)):
            raise AssertionError
    assert len(writes) > 1 and not place(store).exists()


def test_claim_of_another_run_is_respected_and_named(store: FolderStore) -> None:
    write(store)
    with (
        pytest.raises(BusyError, match=r"s3://bucket/set: another uvgen \(process 7 on elsewhere, started 1970.*del"),
        claimed(local_path(FOLDER)),
    ):
        raise AssertionError
    assert json.loads(place(store).read_text())["uvgen"] == "other"


STALE = [{"seen": time.time() - STALE_S - 60}, {"pid": 2**22 + 1, "where": claims._where()}]


@pytest.mark.parametrize("changes", STALE)
def test_stale_claim_is_taken_over(store: FolderStore, changes: dict[str, object]) -> None:
    write(store, **changes)
    with claimed(local_path(FOLDER)):
        assert json.loads(place(store).read_text())["uvgen"] != "other"


def test_claim_by_a_clock_that_is_ahead_says_so(store: FolderStore) -> None:
    """Such a claim is not stale 300 s after its run was killed, so this is not said."""
    write(store, seen=time.time() + 1e9)
    with (
        pytest.raises(BusyError, match=r"by a clock that is \d{9,} s ahead of this machine's.* delete .*claim\.json"),
        claimed(local_path(FOLDER)),
    ):
        raise AssertionError


NO_TIME = '{"uvgen": "other", "host": "h", "where": "w", "pid": 7, "started": 0, "seen": NaN}'  # it never is stale


@pytest.mark.parametrize("content", ["", "{", "[]", '{"uvgen": 1}', NO_TIME, NO_TIME.replace("NaN", "1e999")])
def test_what_is_no_claim_is_taken_over(store: FolderStore, content: str) -> None:
    place(store).parent.mkdir()
    place(store).write_text(content)
    with claimed(local_path(FOLDER)):
        assert "host" in json.loads(place(store).read_text())


def one_by_one(function: Callable[..., Any], lock: threading.Lock) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        with lock:
            return function(*arguments, **options)

    return call


def test_of_runs_that_begin_at_the_same_time_one_goes_on(store: FolderStore) -> None:
    outcomes, barrier, done = list[str](), threading.Barrier(4), threading.Event()
    settling = list[int]()

    def settle(_: float) -> None:
        """In place of a pause that is long enough for others' writes: wait for them."""
        settling.append(1)
        while len(settling) + len(outcomes) < 4:
            time.sleep(0.01)

    def run() -> None:
        barrier.wait()
        try:
            with claimed(local_path(FOLDER)):
                outcomes.append("held")
                done.wait(30)
        except BusyError:
            outcomes.append("busy")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "_is_stale", lambda claim, place: False)  # all are of this process
        patch.setattr(claims, "time", SimpleNamespace(**{**vars(time), "sleep": settle}))
        lock = threading.Lock()  # machines have a mirror each; the threads here share one
        for name in ("get_bytes", "put_bytes"):
            patch.setattr(claims, name, one_by_one(getattr(claims, name), lock))
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(outcomes) < 4:
            time.sleep(0.01)
        done.set()
        for thread in threads:
            thread.join()
    assert sorted(outcomes) == ["busy", "busy", "busy", "held"]


def test_run_whose_claim_was_taken_over_notices_and_leaves_it(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_BEAT_S", 0.02)
    with pytest.raises(BusyError, match="process 7 on elsewhere"), claimed(local_path(FOLDER)) as check:
        seen = json.loads(place(store).read_text())["seen"]
        while json.loads(place(store).read_text())["seen"] == seen:
            time.sleep(0.01)
        # a refresh that is under way may come after the taker's write: those after it write the taker's claim again
        monkeypatch.setattr(claims, "_bytes", lambda claim: json.dumps(other()).encode())
        write(store)
        while True:
            check()
            time.sleep(0.01)
    assert json.loads(place(store).read_text())["uvgen"] == "other"


def test_run_whose_claim_is_gone_does_not_go_on(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken over while the run was stopped, and the run that took it is finished; or somebody deleted it."""
    monkeypatch.setattr(claims, "_BEAT_S", 0.02)
    with (
        pytest.raises(BusyError, match=r"claim, s3://bucket/set/\.uvgen-claim\.json, was deleted.*again to continue"),
        claimed(local_path(FOLDER)) as check,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(claims, "put_bytes", lambda *arguments, **options: True)  # of a refresh that is under way
        place(store).unlink()
        while True:
            check()
            time.sleep(0.01)
    assert not place(store).exists()


@pytest.mark.parametrize("finished", [False, True])
def test_run_that_was_stopped_for_long_looks_at_its_claim_before_it_goes_on(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """Its refreshing thread may be the last to go on."""
    monkeypatch.setattr(claims, "_BEAT_S", 1e6)
    stopped_s = [0.0]
    monkeypatch.setattr(claims, "time", SimpleNamespace(**{**vars(time), "time": lambda: time.time() + stopped_s[0]}))
    with (
        pytest.raises(BusyError, match="was deleted" if finished else "process 7"),
        claimed(local_path(FOLDER)) as check,
    ):
        check()
        stopped_s[0] = STALE_S + 1
        check()  # nobody took it
        place(store).unlink() if finished else write(store)
        check()
        raise AssertionError


def test_claim_whose_writes_are_commits_is_refreshed_rarely_and_stands_longer(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, ago = "hf://bucket/set", time.time() - STALE_S - 60
    monkeypatch.setattr(claims, "_BEAT_S", 0.001)
    written: list[Path] = []
    own = claims.put_bytes
    monkeypatch.setattr(claims, "put_bytes", lambda *a, **k: (written.append(a[0]), own(*a, **k))[1])
    with claimed(local_path(url)):
        taken = len(written)
        time.sleep(0.2)
        assert len(written) == taken <= 2
    write(store, seen=ago)
    with pytest.raises(BusyError, match=rf"run the command again {claims.STALE_COMMIT_S:.0f} s after that"):
        claims._take(local_path(url) / CLAIM, {"uvgen": "this"})
    write(store, seen=time.time() - claims.STALE_COMMIT_S - 60)
    with claimed(local_path(url)):
        assert json.loads(place(store).read_text())["uvgen"] != "other"
    assert claims._COMMIT_BEAT_S * 3 < claims.STALE_COMMIT_S


ODD = {
    "nested": b"[" * 100_000,
    "a number of 400 digits": b'{"uvgen": "a", "host": "b", "where": "c", "pid": 1%s, "started": 1, "seen": 1}'
    % (b"0" * 400),
    "half a surrogate pair": rb'{"uvgen": "\ud800", "host": "b", "where": "c", "pid": 1, "started": 1, "seen": 1}',
    "no text": b"\xff\xfe{",
    "large": b" " * (1 << 20) + b"{}",
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_claim_counts_for_nothing(store: FolderStore, kind: str) -> None:
    place(store).parent.mkdir()
    place(store).write_bytes(ODD[kind])
    with claimed(local_path(FOLDER)) as check:
        check()
    assert not place(store).exists()


def test_claim_of_a_clock_that_is_far_ahead_is_named_briefly(store: FolderStore) -> None:
    write(store, seen=1e308, pid=-1e300)
    with pytest.raises(BusyError, match=r"process -1\.0e\+300 on .* 1\.0e\+308 s ahead"), claimed(local_path(FOLDER)):
        raise AssertionError
