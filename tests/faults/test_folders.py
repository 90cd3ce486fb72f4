"""Folders that vanish, cannot be written, or are only read; samples that are mended; machines with narrow limits."""

import errno
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.builds import SMALL, file_hashes, have, listed_shards, make
from support.faults import faulty_environment, finish, start, write_samples
from support.toy import write_sample, write_tree

from uvgen import RunOptions, SynthOptions, export_shards, open_shards, render_faces, verify_shards
from uvgen.datasets import worker
from uvgen.datasets.augmented import augment_shards
from uvgen.datasets.record import ShardResult
from uvgen.errors import DatasetError, SampleError
from uvgen.shards.index import Index
from uvgen.storage.drafts import draft_of
from uvgen.storage.files import check_folder

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")


# Samples that are mended


def spoil(path: Path, how: str) -> bytes:
    content = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(content[:300] if how == "cut short" else b"text")
    return content


@pytest.mark.parametrize("name", ["read_annotation", "read_picture"])
def test_build_takes_a_sample_that_could_not_be_read_once(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As on a network's disk; or the file was still being copied, and is whole when its hash is taken."""
    tree = write_tree(tmp_path / "data")
    have(tree, model_path, tmp_path / "expected")
    expected, out, left = tmp_path / "expected", tmp_path / "out", [1]
    read = getattr(worker, name)

    def flaky(sample: Any, *more: Any, **options: Any) -> Any:
        if sample.name == "IBUG/IBUG_001_1_0" and left:
            left.clear()
            raise SampleError(f"{sample.name}: cannot be read") from OSError(errno.EIO, "Input/output error")
        return read(sample, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(worker, name, flaky)
        first = make(tree, model_path, out)
    assert [skip.name for skip in first.skipped] == ["IBUG/IBUG_001_1_0"]
    assert make(tree, model_path, out).skipped == ()
    assert file_hashes(out) == file_hashes(expected)


@pytest.mark.parametrize(
    ("suffix", "how"),
    [
        (".jpg", "missing"),
        pytest.param(".jpg", "cut short", marks=pytest.mark.slow),
        pytest.param(".mat", "missing", marks=pytest.mark.slow),
        (".mat", "text"),
    ],
)
def test_build_takes_a_sample_that_was_mended(model_path: Path, tmp_path: Path, how: str, suffix: str) -> None:
    tree = write_tree(tmp_path / "data")
    have(tree, model_path, tmp_path / "expected")
    path = tree / f"IBUG/IBUG_001_1_0{suffix}"
    content = spoil(path, how)
    out = tmp_path / "out"
    first = make(tree, model_path, out)
    assert [skip.name for skip in first.skipped] == ["IBUG/IBUG_001_1_0"]
    before = {shard.name: shard.stat().st_mtime_ns for shard in out.glob("*.h5")}
    again = make(tree, model_path, out)
    assert (again.new_samples, again.skipped) == (0, first.skipped)
    path.write_bytes(content)
    mended = make(tree, model_path, out)
    assert (mended.new_samples, mended.skipped) == (2, ())
    assert file_hashes(out) == file_hashes(tmp_path / "expected")
    changed = {shard.name for shard in out.glob("*.h5") if before.get(shard.name) != shard.stat().st_mtime_ns}
    assert changed == {"IBUG-00000.h5"}


def test_build_takes_a_shard_of_which_all_samples_were_skipped(model_path: Path, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "data")
    have(tree, model_path, tmp_path / "expected")
    path = tree / "AFW/AFW_002_1_0.jpg"  # alone in its shard
    content = spoil(path, "text")
    make(tree, model_path, tmp_path / "out")
    assert not (tmp_path / "out/AFW-00001.h5").exists()
    path.write_bytes(b"another text")
    still = make(tree, model_path, tmp_path / "out")
    assert [skip.shard for skip in still.skipped] == ["AFW-00001.h5"]
    path.write_bytes(content)
    make(tree, model_path, tmp_path / "out")
    assert file_hashes(tmp_path / "out") == file_hashes(tmp_path / "expected")


# Folders that vanish


def test_build_whose_samples_vanish_stops(model_path: Path, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "data", 9)
    have(tree, model_path, tmp_path / "expected")
    for how in ("deleted", "emptied"):
        out = tmp_path / f"out {how}"

        def vanish(result: ShardResult, how: str = how) -> None:
            if result.entry.file == "AFW-00001.h5":
                for folder in [*tree.iterdir()]:
                    folder.rename(tmp_path / f"{folder.name} away")
                    if how == "emptied":  # as a mount point is
                        folder.mkdir()

        with pytest.raises(DatasetError, match=r"AFW: the samples' folder has vanished .*: deleted or unmounted\?"):
            make(tree, model_path, out, progress=vanish)
        assert listed_shards(out) == ["AFW-00000.h5", "AFW-00001.h5"]
        assert json.loads((out / "dataset.json").read_text())["skipped"] == []
        shutil.rmtree(tree)
        tree.mkdir()
        for folder in tmp_path.glob("* away"):
            folder.rename(tree / folder.name.removesuffix(" away"))
        make(tree, model_path, out)
        assert file_hashes(out) == file_hashes(tmp_path / "expected")


def test_build_with_one_missing_file_skips_it(model_path: Path, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "data", 9)

    def lose(result: ShardResult) -> None:
        (tree / "IBUG/IBUG_004_1_0.jpg").unlink(missing_ok=True)

    result = make(tree, model_path, tmp_path / "out", progress=lose)
    assert [skip.name for skip in result.skipped] == ["IBUG/IBUG_004_1_0"]


@pytest.mark.parametrize(
    ("job", "how"), [("build", "deleted"), ("build", "replaced"), ("augment", "deleted"), ("export", "replaced")]
)
def test_output_that_vanishes_ends_the_run(model_path: Path, tmp_path: Path, how: str, job: str) -> None:
    tree = write_tree(tmp_path / "data", 5)
    have(tree, model_path, tmp_path / "shards")
    out = tmp_path / "out"

    def vanish(_: object) -> None:
        for path in (out, draft_of(out)):
            if path.exists():
                shutil.rmtree(path)
                if how == "replaced":
                    path.mkdir()

    run: dict[str, Callable[[], Any]] = {
        "build": lambda: make(tree, model_path, out, progress=vanish),
        "augment": lambda: augment_shards(tmp_path / "shards", out, progress=vanish),
        "export": lambda: export_shards(tmp_path / "shards", out, "webdataset", progress=vanish),
    }
    with pytest.raises(DatasetError, match=r"(was deleted, moved or unmounted|cannot be written \(No such file)"):
        run[job]()
    assert not (out / "dataset.json").exists() and len(list(tmp_path.glob("out/*"))) <= 1  # a shard under way


# Folders that are only read, or are not ours


@pytest.mark.slow
def test_finished_sets_that_are_run_again_write_nothing(model_path: Path, tmp_path: Path) -> None:
    """Also with a skipped sample; no time of any file or folder changes, as on a disk that is only read."""
    tree = write_tree(tmp_path / "data")
    spoil(tree / "AFW/AFW_001_1_0.mat", "text")

    def work() -> None:
        make(tree, model_path, tmp_path / "shards", run=RunOptions(1))
        augment_shards(tmp_path / "shards", tmp_path / "augmented")
        render_faces(tmp_path / "faces", 2, options=SynthOptions(size=64))

    def times() -> dict[Path, tuple[int, int]]:
        folders = [tmp_path / name for name in ("shards", "augmented", "faces")]
        paths = [path for folder in folders for path in [folder, *folder.rglob("*")]]
        return {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths}

    work()
    before = times()
    work()
    assert verify_shards(tmp_path / "shards").sound
    assert times() == before


@pytest.mark.parametrize(
    "command",
    [
        "build --data data --model MODEL --out",
        "augment shards --out",
        "synth --count 1 --out",
        "export shards --to npy --out",
        "preview shards --out",
        "model convert --face3d MODEL --out",
        "model export builtin --out",
        "model parameterize builtin --out",
    ],
)
def test_output_that_cannot_be_written_is_refused_before_any_work(
    uvgen: Any, model_path: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work would fail otherwise: there are no samples and no shards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    words = [str(model_path) if word == "MODEL" else word for word in command.split()]
    ending = {"preview": ".png", "model": ".h5"}.get(words[0], "")
    result = uvgen(*words, f"file/out{ending}")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert f"file/out{ending}: cannot be written (Not a directory); choose another folder" in result.stderr


def test_output_of_something_else_is_refused_before_any_work(uvgen: Any, model_path: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "data/AFW", "AFW_000")
    render_faces(tmp_path / "faces", 1, options=SynthOptions(size=64))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/dataset.json").write_text('{"format": "photos"}')
    for folder, mark in {"fitted": "fit.json", "exported": ".uvgen-export.json"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / mark).write_text("{}")
    for name, message in {
        "faces": "holds samples that uvgen synth made", "other": "not a data set's index", "data": "holds the samples",
        "fitted": "holds samples that uvgen fit made", "exported": "is an export for other trainers",
    }.items():  # fmt: skip
        result = uvgen("build", "--data", tmp_path / "data", "--model", model_path, "--out", tmp_path / name)
        assert result.exit_code == 1 and message in result.stderr, result.output
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["AFW"]


def test_check_folder_of_a_disk_that_is_only_read_says_so() -> None:
    if os.access("/sys", os.W_OK):
        pytest.skip("no file system here that is only read")
    with pytest.raises(DatasetError, match=r"cannot be written \((Read-only file system|Permission denied)\)"):
        check_folder(Path("/sys/uvgen"))


# The index


@pytest.mark.slow
def test_index_is_written_now_and_then_and_the_journal_says_the_rest(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, written = write_tree(tmp_path / "data", 20), list[int]()
    write, listed = Index.write, list[int]()
    monkeypatch.setattr(Index, "write", lambda self, folder: (written.append(len(self.shards)), write(self, folder))[1])

    def look(_: ShardResult) -> None:
        assert (tmp_path / "out/.uvgen-journal").exists()
        listed.append(len(open_shards(tmp_path / "out").files))  # readable all the time

    make(tree, model_path, tmp_path / "out", progress=look)
    assert {1, 2, 4, 8, 16, 30} <= set(written)
    assert listed[15:18] == [16, 16, 16] and sorted(listed) == listed
    assert not (tmp_path / "out/.uvgen-journal").exists()


@pytest.mark.slow
def test_build_goes_on_from_the_journal_alone(model_path: Path, tmp_path: Path) -> None:
    """As it is left by a process that was killed after the seventh shard; its last line may be torn."""
    tree = write_tree(tmp_path / "data", 9)
    have(tree, model_path, tmp_path / "expected")
    out, copy = tmp_path / "out", tmp_path / "copy"

    def keep(_: ShardResult) -> None:
        if len(list(out.glob("*.h5"))) == 7:
            shutil.copytree(out, copy)

    make(tree, model_path, out, progress=keep)
    assert len(listed_shards(copy)) == 4
    for torn, new in ((0, 14), (10, 16)):
        shutil.rmtree(out)
        shutil.copytree(copy, out)
        journal = out / ".uvgen-journal"
        journal.write_bytes(journal.read_bytes()[: -torn or None])
        assert make(tree, model_path, out).new_samples == new
        assert file_hashes(out) == file_hashes(tmp_path / "expected")


def test_index_with_a_flipped_bit_is_refused(model_path: Path, tmp_path: Path) -> None:
    have(write_tree(tmp_path / "data"), model_path, tmp_path / "out")
    path = tmp_path / "out/dataset.json"
    text = path.read_bytes()
    assert b'"names_sha256": "' in text
    path.write_bytes(text.replace(b"AFW_000", b"AFW_800"))
    with pytest.raises(DatasetError, match="its content does not have the checksum that is written in it"):
        open_shards(tmp_path / "out")


def test_names_come_from_the_index_and_from_shards_where_it_has_none(model_path: Path, tmp_path: Path) -> None:
    from support.builds import edit_index

    out = tmp_path / "out"
    have(write_tree(tmp_path / "data"), model_path, out)
    names = [sample["name"] for sample in open_shards(out)]
    edit_index(out, lambda content: content["shards"][1].pop("names"))
    assert open_shards(out).names == names and verify_shards(out).sound
    edit_index(out, lambda content: content["shards"][0].update(names="AFW/AFW_000_1_0\nAFW/AFW_002_1_0"))
    assert open_shards(out).names != names
    assert [problem for problem in verify_shards(out).problems if "other names than dataset.json says" in problem]
    for entry in Index.read(out).shards:
        (out / entry.file).unlink()
    edit_index(
        out, lambda content: [entry.update(names="\n".join("x" * entry["samples"])) for entry in content["shards"]]
    )
    assert open_shards(out).names == ["x"] * 9  # no shard was opened


# Narrow limits


@linux
@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "value"),
    [
        pytest.param(resource.RLIMIT_NOFILE, 32, marks=pytest.mark.long),
        (resource.RLIMIT_NOFILE, 14),
        (resource.RLIMIT_AS, 900 << 20),
    ],
)
def test_build_under_a_narrow_limit_is_finished_or_says_why(
    model_path: Path, tmp_path: Path, limit: int, value: int
) -> None:
    data = write_samples(tmp_path / "data")
    environment = faulty_environment(tmp_path) | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = ("build", "--data", data, "--model", model_path, "--out", tmp_path / "out", "--size", 32,
               "--shard-size", 8, "--workers", 2, "--quiet")  # fmt: skip
    process = start(*command, environment=environment, before=lambda: resource.setrlimit(limit, (value, value)))
    status, _, errors = finish(process)
    assert status == 0 or (status == 1 and errors.splitlines()[-1].startswith("uvgen: ")), errors
    assert "Traceback" not in errors


@linux
@pytest.mark.slow
@pytest.mark.vital
def test_build_on_a_full_disk_says_so_and_goes_on_later(model_path: Path, tmp_path: Path) -> None:
    data, out = write_samples(tmp_path / "data", 8), tmp_path / "out"
    have(data, model_path, tmp_path / "expected")
    size = max(path.stat().st_size for path in (tmp_path / "expected").glob("*.h5"))
    command = ("build", "--data", data, "--model", model_path, "--out", out, "--size", 32, "--uv-size", 48,
               "--shard-size", SMALL.shard_size, "--quiet")  # fmt: skip
    import signal

    def narrow() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    for workers in (1, 2):
        status, _, errors = finish(start(*command, "--workers", workers, before=narrow))
        assert status == 1 and "cannot be written (File too large)" in errors, errors
    make(data, model_path, out)
    assert file_hashes(out) == file_hashes(tmp_path / "expected")


# Locales


@linux
@pytest.mark.slow
def test_names_that_the_locale_s_encoding_lacks_are_refused_by_their_name(model_path: Path, tmp_path: Path) -> None:
    """As in a Latin-1 locale: sets are named in UTF-8 in all of them, and only files of such names cannot be made."""
    write_sample(tmp_path / "data/AFW", "AFW_Žižkov_0", 0)
    make(tmp_path / "data", model_path, tmp_path / "shards")
    ascii_names = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = faulty_environment(tmp_path) | ascii_names
    for target, expected in (("npy", 1), ("webdataset", 0)):
        command = ("export", tmp_path / "shards", "--to", target, "--out", tmp_path / target, "--workers", 1)
        status, _, errors = finish(start(*command, environment=environment))
        assert status == expected and "Traceback" not in errors, errors
        assert ("set PYTHONUTF8=1, or LC_ALL to a locale with UTF-8" in errors) == bool(expected)
