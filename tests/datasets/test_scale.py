"""No step of a large data set is quadratic: steps are counted for a small and a larger one, mostly without shards."""

import os
import pickle
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.builds import SMALL, edit_index, make
from support.scaling import assert_proportional, config_of, index_of, write_index
from support.toy import write_tree

from uvgen import ReportOptions, describe_shards, merge_shards, select_names, split_shards, verify_shards, write_report
from uvgen.datasets import merge, record
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.open import open_shards, reader_of
from uvgen.datasets.plan import ShardTask, plan_shards
from uvgen.datasets.quality.survey import probes_of, versions_of
from uvgen.datasets.selection import Criteria
from uvgen.datasets.splits import group_samples, train_and_val
from uvgen.errors import DatasetError
from uvgen.jobs.options import RunOptions
from uvgen.jobs.run import run_job
from uvgen.samples import find, map_files
from uvgen.samples.find import Sample, find_samples, unread_folders
from uvgen.samples.selection import find_names, select_samples
from uvgen.shards import index as index_module
from uvgen.shards.index import Index, plain
from uvgen.shards.table import ShardTable
from uvgen.storage.journal import Journal


def samples_of(n: int) -> list[Sample]:
    return [Sample(f"HELEN/HELEN_image_{k:06d}_1_0", "HELEN", Path(f"{k}.jpg"), Path(f"{k}.mat")) for k in range(n)]


def in_memory(folder: Path, n: int, step: Callable[[Any], object]) -> Callable[[], object]:
    reader = reader_of(folder, index_of(n), config_of())
    return lambda: step(reader)


STEPS: dict[str, Callable[[Path, int], Callable[[], object]]] = {
    "plan": lambda _, n: partial(plan_shards, samples_of(n), 4, 2),
    "select": lambda _, n: partial(select_samples, samples_of(n), [one.name for one in samples_of(n)[::2]]),
    "survey": lambda _, n: lambda: versions_of(probes_of(samples_of(n))[0], samples_of(n)),
    "groups": lambda _, n: partial(group_samples, [one.name for one in samples_of(n)]),
    "train and val": lambda _, n: partial(train_and_val, [one.name for one in samples_of(n)]),
    "check": lambda _, n: partial(index_of(n).check, 2 * n),
    "names": lambda folder, n: in_memory(folder, n, lambda reader: find_names(reader.names, reader.names[::3])),
    "subset": lambda folder, n: in_memory(folder, n, lambda reader: reader.subset(range(0, len(reader), 3)).names),
    "maps": lambda folder, n: partial(
        map_files._of_layout,
        folder,
        [folder / f"{k:06d}{end}" for k in range(n) for end in (".jpg", ".npy", "_posmap.jpg", "_tex.jpg")],
        next(layout for layout in map_files.LAYOUTS.values() if "_posmap" in layout.for_show),
    ),
    "pickle": lambda folder, n: in_memory(folder, n, lambda reader: pickle.loads(pickle.dumps(reader))),
    "merge": lambda folder, n: (
        lambda: merge._plan(merge._samples([folder], [index_of(n)], None, None, untrusted=False), 4)
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_step_takes_steps_in_proportion_to_the_samples(name: str, tmp_path: Path) -> None:
    assert_proportional(lambda n: STEPS[name](tmp_path, n))


def test_open_shards_takes_steps_in_proportion_to_the_shards(tmp_path: Path) -> None:
    assert_proportional(lambda n: partial(open_shards, write_index(tmp_path / str(n), n)))


def test_index_that_is_whole_is_read_the_short_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_index(tmp_path / "set", 50)

    def long_way(*_: object, **__: object) -> str:
        raise AssertionError("its text was searched for what is no text")

    monkeypatch.setattr(index_module, "read_text", long_way)
    monkeypatch.setattr(index_module, "printable", long_way)
    assert len(Index.read(folder).shards) == 50


WHOLE_SETS: dict[str, Callable[[Path, Path], object]] = {
    "open and read": lambda folder, _: [sample["name"] for sample in open_shards(folder)],
    "info": lambda folder, _: describe_shards(folder),
    "verify": lambda folder, _: verify_shards(folder),
    "split": lambda folder, _: split_shards(folder, {"train": 0.5, "val": 0.5}, overwrite=True),
    "select": lambda folder, _: select_names(folder, Criteria(max_yaw_deg=90)),
    "merge": lambda folder, out: merge_shards([folder], out),
    "report": lambda folder, out: write_report(folder, out, options=ReportOptions(worst=1), run=RunOptions(1)),
}


@pytest.fixture(scope="module")
def whole_sets(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Data sets of three times so many shards, of a sample each."""
    folders = {}
    for n in (2, 8):
        tree = write_tree(tmp_path_factory.mktemp(f"tree-{n}"), n)
        folders[n] = tmp_path_factory.mktemp(f"sets-{n}") / "shards"
        make(tree, model_path, folders[n], BuildConfig(size=32, uv_size=32, shard_size=1))
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE_SETS)
def test_function_of_a_whole_set_takes_steps_in_proportion_to_the_shards(
    name: str, whole_sets: dict[int, Path], tmp_path: Path
) -> None:
    out = count()
    assert_proportional(lambda n: partial(WHOLE_SETS[name], whole_sets[n], tmp_path / str(next(out))), 2)


class Skips:
    """A job that makes shards without a file: all of their samples are skipped."""

    def open(self) -> Callable[[ShardTask], record.ShardResult]:
        return self.make

    def make(self, task: ShardTask) -> record.ShardResult:
        skipped = tuple(index_module.SkippedSample(sample.name, task.file, "no face") for sample in task.samples)
        return record.ShardResult(index_module.ShardEntry(task.file, 0, 0, None), skipped)


def a_record(folder: Path, n: int) -> tuple[list[ShardTask], record.ShardRecord]:
    """Of 2 n samples that all are skipped, in n shards."""
    units = plan_shards(samples_of(2 * n), 2)
    folder.mkdir(exist_ok=True)
    fresh = Index("0", config_of().to_plain(), {"samples": 2 * n})
    return units, record.ShardRecord(folder, fresh, {"mask": np.zeros(1)}, units, None, overwrite=False)


@pytest.fixture
def few_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(record.ShardRecord, "_write", lambda self: None)  # it is written ever more rarely


@pytest.mark.usefixtures("few_writes")
def test_run_and_its_continuation_take_steps_in_proportion_to_the_shards(tmp_path: Path) -> None:
    def step(n: int) -> Callable[[], object]:
        units, kept = a_record(tmp_path / str(n), n)
        return lambda: run_job(Skips(), units, kept, tmp_path / str(n), RunOptions(1))

    assert_proportional(step, 20)
    assert_proportional(step, 20)  # the journal has it all


@pytest.mark.usefixtures("few_writes")
def test_record_takes_steps_in_proportion_to_the_shards_that_it_notes(tmp_path: Path) -> None:
    def step(n: int) -> Callable[[], object]:
        units, kept = a_record(tmp_path / str(n), n)
        kept.resume()
        made = [Skips().make(unit) for unit in units]
        return lambda: [kept.add(one) for one in made]

    assert_proportional(step, 100)


@pytest.mark.usefixtures("few_writes")
def test_end_of_a_run_whose_folder_was_renamed_takes_steps_in_proportion_to_the_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "is_shard", lambda path: True)

    def step(n: int) -> Callable[[], object]:
        folder = tmp_path / str(n)
        _, kept = a_record(folder, n)
        kept.index.shards = [index_module.ShardEntry(f"NEW-{k}.h5", 1, 9, f"{k:064}") for k in range(n)]
        kept.index.outdated = {f"OLD-{k}.h5": f"{k:064}" for k in range(n)}
        for name in [*kept.index.outdated, *(entry.file for entry in kept.index.shards)]:
            (folder / name).touch()
        return kept.finish

    assert_proportional(step, 30)
    assert {path.name[:3] for path in (tmp_path / "120").glob("*.h5")} == {"NEW"}


@pytest.mark.usefixtures("few_writes")
def test_index_is_written_rarely_where_each_write_is_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    monkeypatch.setattr(record, "_SECONDS_BETWEEN_WRITES", -1.0)
    monkeypatch.setattr(record.ShardRecord, "_write", lambda self: written.append(self._added))
    units, kept = a_record(tmp_path / "set", 9)
    kept.resume()
    made = [Skips().make(unit) for unit in units]
    for one in made:
        kept.add(one)
    assert written == [*range(1, 10)]
    _, kept = a_record(tmp_path / "other", 9)
    kept.resume()
    monkeypatch.setattr(record, "writes_are_commits", lambda folder: True)
    written.clear()
    for one in made:
        kept.add(one)
    assert written == [1, 2, 4, 8]


def test_journal_of_what_the_index_lists_too_takes_steps_in_proportion() -> None:
    def step(n: int) -> Callable[[], object]:
        index = index_of(n)
        lines = [{"entry": plain(entry), "skipped": []} for entry in index.shards]
        return lambda: record._with_journal(index, lines)

    assert_proportional(step)
    index = index_of(5)
    assert record._with_journal(index, [{"entry": plain(index.shards[2]), "skipped": []}]).n_samples == 10


def test_journal_line_takes_the_place_of_what_was_listed_of_its_shard() -> None:
    index = index_of(3, skipped=[index_module.SkippedSample("a", "HELEN-00001.h5", "old")])
    index.plan["samples"] += 1
    entry = {**plain(index.shards[1]), "samples": 1, "names": "b"}
    skipped = [{"name": "c", "shard": "HELEN-00001.h5", "reason": "new"}]
    found = record._with_journal(index, [{"entry": entry, "skipped": skipped}])
    assert [skip.reason for skip in found.skipped] == ["new"] and found.n_samples == 5
    assert len({one.file for one in found.shards}) == len(found.shards) == 3


def test_journal_takes_steps_in_proportion_to_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)

    def step(n: int) -> Callable[[], object]:
        journal = Journal(tmp_path / str(n), "a set")
        return lambda: ([journal.append(k) for k in range(n)], journal.close(), journal.read())

    assert_proportional(step)


def tree_of(folder: Path, n: int) -> Path:
    for subset in ("AFW", "HELEN"):
        (folder / subset).mkdir(parents=True)
        for k in range(n // 2):
            for suffix in ("jpg", "mat"):
                (folder / subset / f"{subset}_{k:06d}_0.{suffix}").touch()
    return folder


def test_find_samples_lists_each_folder_a_few_times_and_stats_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, listed = tree_of(tmp_path / "tree", 20), list[str]()
    own_scan, own_list, own_stat = os.scandir, os.listdir, os.stat
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(str(path)), own_scan(path))[1])
    monkeypatch.setattr(os, "listdir", lambda path: (listed.append(str(path)), own_list(path))[1])

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        assert not str(path).endswith((".jpg", ".mat")), f"a call for each sample: {path}"
        return own_stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert len(find_samples(root)) == 20 and not unread_folders(root).deeper
    assert all(listed.count(str(folder)) <= 5 for folder in (root / "AFW", root / "HELEN")), listed


def test_find_samples_takes_steps_and_memory_in_proportion(tmp_path: Path) -> None:
    roots = {n: tree_of(tmp_path / str(n), n) for n in (8, 60, 240)}
    assert_proportional(lambda n: partial(find_samples, roots[n]))
    peaks = []
    for n in (60, 240):
        tracemalloc.start()
        find_samples(roots[n])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 180 < 2000, "bytes for each sample more"


def test_find_samples_leaves_the_collector_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree_of(tmp_path / "tree", 4)
    found = find.gc.isenabled()
    monkeypatch.setattr(find, "_pair", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        find_samples(root)
    assert find.gc.isenabled() == found


def test_reader_in_another_process_has_the_names_and_refuses_shards_of_others(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    make(tree, model_path, out, SMALL)
    reader = open_shards(out)
    there = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(reader))))
    assert isinstance(there._pool.entries, ShardTable) and there.names == reader.names
    assert list(there._pool.entries) == [
        index_module.ShardEntry(e.file, e.samples, e.size_bytes, e.sha256) for e in reader._pool.entries
    ]
    few = pickle.loads(pickle.dumps(reader.subset([0, len(reader) - 1])))
    assert few.names == [reader.names[0], reader.names[-1]] and [one["name"] for one in few] == few.names
    edit_index(out, lambda content: content["shards"][0].update(names="x\ny"))
    assert there.names == reader.names  # of the shards themselves: the index is another one now
    other = pickle.loads(pickle.dumps(open_shards(out)))
    with pytest.raises(DatasetError, match=r"its samples have other names than dataset\.json says"):
        other[0]
