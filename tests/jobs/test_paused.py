"""A run that is stopped for a while (Ctrl-Z, a suspended laptop) and goes on: no process counts as hanging for that."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.jobs import pair_of_tasks

from uvgen.parallel import workers
from uvgen.parallel.workers import Workers


def test_time_that_a_run_was_stopped_does_not_count_also_when_a_process_speaks_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_s, wait = [0.0], workers.wait

    def stopped_once(pipes: Any, patience: float | None) -> Any:
        heard = wait(pipes, patience)
        if (tmp_path / "result-1").exists():  # the first task is made, and the second is not
            stopped_s[0] = 1000.0
        return heard

    monkeypatch.setattr(workers, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + stopped_s[0]))
    monkeypatch.setattr(workers, "wait", stopped_once)
    (tmp_path / "job").touch()
    with Workers[str](pair_of_tasks, tmp_path, 2, timeout=600) as pool:
        pool.open("job")
        pool.submit("quick", "quick")
        pool.submit("slow", "slow")
        assert dict(pool) == {"quick": "quick", "slow": "slow"}
