"""Data sets from strangers: whatever their files hold, reading ends with what is there or with a `UvgenError`."""

import io
import itertools
import json
import re
import shutil
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.builds import SMALL, assert_equal_samples, edit_index, have
from support.hostile import as_shard, mutated, outcomes
from support.toy import write_tree

from uvgen import open_shards, verify_shards
from uvgen.datasets.config import BuildConfig
from uvgen.errors import DatasetError
from uvgen.shards.constants import read_constants
from uvgen.shards.index import Index
from uvgen.storage.hdf5_dataset import Hdf5Dataset

R, U = SMALL.size, SMALL.uv_size
WAYS = ("set", "command")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("built")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("jpegs")
    config = BuildConfig(size=R, uv_size=U, shard_size=2, image_codec="jpeg", compression="gzip")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", config)
    return folder / "shards"


# Shards changed by hand


def put(name: str, values: Any, **options: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        attributes = dict(file[name].attrs) if name in file else {}
        if name in file:
            del file[name]
        file.create_dataset(name, data=values, **options).attrs.update(attributes)

    return change


def chunks(size: Callable[[int], int], mask: int = 0, rows: tuple[int, ...] = (0, 1)) -> Callable[[h5py.File], None]:
    """Position maps whose chunks are stored longer, shorter, masked or not at all."""

    def change(file: h5py.File) -> None:
        attributes = dict(file["posmap"].attrs)
        del file["posmap"]
        data = file.create_dataset("posmap", (2, U, U, 3), "u2", chunks=(1, U, U, 3), fillvalue=None)
        for row in rows:
            data.id.write_direct_chunk((row, 0, 0, 0), b"\x01" * size(U * U * 6), mask)
        data.attrs.update(attributes)

    return change


def attribute(name: str, key: str, value: Any) -> Callable[[h5py.File], None]:
    return lambda file: (file if name == "/" else file[name]).attrs.__setitem__(key, value)


CHANGES: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "longer chunk": (chunks(lambda n: 100 * n), r"posmap (has a chunk of|stores)"),
    "slightly longer chunk": (chunks(lambda n: n + 1), "posmap has a chunk of 13825 bytes"),
    "shorter chunk": (chunks(lambda n: n - 1), "posmap declares|posmap has a chunk"),
    "missing chunk": (chunks(lambda n: n, rows=(1,)), "posmap declares"),
    "filter mask": (chunks(lambda n: n, mask=2), "posmap has a chunk with filter mask"),
    "link": (lambda f: f.__setitem__("extra", h5py.ExternalLink("other.h5", "/x")), r"extra is a link"),
    "group": (lambda f: f.create_group("extra"), "extra is not a dataset"),
    "circle": (lambda f: f.__setitem__("extra", f["/"]), "extra is not a dataset"),
    "no rows": (put("extra", 5), "extra has 0 rows"),
    "other rank": (put("pose", np.zeros((2, 7, 1), "f4")), r"pose holds float32 \(7, 1\) a sample, expected"),
    "other type": (put("pose", np.zeros((2, 7), "f8")), r"pose holds float64"),
    "text": (put("pose", np.zeros(2, "S7")), "pose holds"),
    "several texts a sample": (put("tags", np.zeros((2, 3), "S7")), r"tags holds texts \(3,\) a sample, expected one"),
    "other byte order": (put("extra", np.zeros((2, 3), ">f4")), "extra holds >f4, expected numbers in this machine's"),
    "number for a text": (put("name", np.zeros(2)), "name holds float64"),
    "other size": (put("image", np.zeros((2, R, R + 1, 3), "u1")), "image holds uint8"),
    "no text": (put("name", np.array([b"\xff", b"\xfe"])), "name of sample 0 is not text"),
    "no JPEG bytes": (lambda f: f.move("image", "image_end"), "image_end"),
    "JPEG without ends": (put("image_data", np.zeros(9, "u1")), "image_data"),
    "scale of nothing": (attribute("posmap", "scale_factor", 0.0), "expected codes"),
    "scale that is text": (attribute("posmap", "scale_factor", np.bytes_("one")), "expected codes"),
    "huge scale": (attribute("posmap", "scale_factor", 1e300), "whose values are no float32"),
    "huge offset": (attribute("posmap", "add_offset", -1e308), "whose values are no float32"),
    "infinite offset": (attribute("posmap", "add_offset", np.inf), "expected codes"),
    "no offset": (lambda f: f["posmap"].attrs.__delitem__("add_offset"), "expected codes"),
    "other format": (attribute("/", "format", 5), "not a shard"),
    "version that is text": (attribute("/", "version", np.bytes_("3")), "version 3, expected 3"),
}


def changed(built: Path, folder: Path, change: Callable[[h5py.File], object]) -> Path:
    entry = next(entry for entry in Index.read(built).shards if entry.samples)
    shutil.copy(built / entry.file, folder.with_suffix(".h5"))
    with h5py.File(folder.with_suffix(".h5"), "r+") as file:
        change(file)
    return as_shard(folder.with_suffix(".h5"), built, folder)


@pytest.fixture(scope="module")
def of_changes(built: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What came of each change, in a process of its own: a broken rule may end it."""
    folder = tmp_path_factory.mktemp("changed")
    sets = [changed(built, folder / str(k), change) for k, (change, _) in enumerate(CHANGES.values())]
    found = iter(outcomes([*itertools.product(WAYS, sets)]))
    return {way: [next(found) for _ in sets] for way in WAYS}


@pytest.mark.parametrize("kind", CHANGES)
def test_shard_that_breaks_a_rule_is_refused(of_changes: dict[str, list[str]], kind: str) -> None:
    k = list(CHANGES).index(kind)
    found = of_changes["set"][k]
    assert found.startswith("refused: "), found
    assert re.search(CHANGES[kind][1], found), found
    assert of_changes["command"][k] == ""  # `uvgen verify` ended in an orderly way


@pytest.mark.slow
def test_shard_that_was_only_written_again_is_read(built: Path, tmp_path: Path) -> None:
    folder = changed(built, tmp_path / "same", lambda file: None)
    assert outcomes([("set", folder), ("verify", folder), ("checked", folder)]) == ["", "", ""]
    assert verify_shards(folder).sound


def test_fields_of_one_text_or_number_are_read_however_they_are_stored(built: Path, tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file.create_dataset("note", data=np.array([b"one", b"two"]), chunks=(1,))
        file.create_dataset("mark", data=np.array([True, False]), chunks=(1,))
        names = file["name"][...]
        del file["name"]  # a compact one, of UTF-8: HDF5 converts it to no other encoding
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        kind = h5py.h5t.py_create(h5py.string_dtype("utf-8", names.itemsize), logical=True)
        made = h5py.h5d.create(file.id, b"name", kind, h5py.h5s.create_simple((2,)), plist)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, names, kind)

    folder = changed(built, tmp_path / "set", change)
    samples = [open_shards(folder)[k] for k in range(2)]
    assert [sample["note"] for sample in samples] == ["one", "two"]
    assert [bool(sample["mark"]) for sample in samples] == [True, False]
    assert [sample["name"] for sample in samples] == Index.read(built).shards[0].sample_names


@pytest.mark.parametrize("kind", CHANGES)
def test_verify_names_a_shard_that_breaks_a_rule(built: Path, tmp_path: Path, kind: str) -> None:
    if "chunk" in kind:
        pytest.skip("read in another process, above")
    folder = changed(built, tmp_path / "bad", CHANGES[kind][0])
    problems = verify_shards(folder).problems
    assert problems and all("00000.h5: " in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f["image_end"].write_direct(np.array([900, 100])), "not ascending"),
        (lambda f: f["image_end"].write_direct(np.array([-5, 100])), "not ascending"),
        (lambda f: f["image_end"].write_direct(np.array([5, 10**15])), "not ascending"),
        (put("image_end", np.array([5, 9], "f8")), "expected integers"),
        (put("image_data", np.zeros((100_000, 1), "u1")), "expected uint8 of one axis"),
        (put("image_data", np.zeros(100_000, "u1")), "image of sample 0 cannot be read"),
        (attribute("/", "size", 10**6), "attribute size is"),
        (attribute("/", "size", np.bytes_("32")), "attribute size is"),
        (attribute("/", "size", 40), "image holds uint8"),
        (lambda f: f.move("image_data", "other"), "other has .* rows"),
    ],
)
def test_shard_with_impossible_jpegs_is_refused(jpegs: Path, tmp_path: Path, change: Any, message: str) -> None:
    folder = changed(jpegs, tmp_path / "bad", change)
    with pytest.raises(DatasetError, match=rf"00000\.h5: .*({message})"):
        open_shards(folder)[0]
    assert not verify_shards(folder).sound


@pytest.mark.parametrize("untrusted", [False, True])
def test_shard_whose_jpegs_are_packed_together_unpacks_them_once(
    jpegs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untrusted: bool
) -> None:
    """Else each of many samples would take as long as all of them."""

    def pack(file: h5py.File) -> None:
        data = file["image_data"][()]
        attributes = {key: file["image_data"].attrs.get_id(key) for key in file["image_data"].attrs}
        del file["image_data"]
        packed = file.create_dataset("image_data", data=data, chunks=(len(data),), compression="gzip")
        assert attributes.keys() == {"codec", "channels"}
        for key, text in (("codec", b"JPEG"), ("channels", b"RGB")):
            packed.attrs[key] = np.array(text, h5py.string_dtype("utf-8", len(text)))

    folder = changed(jpegs, tmp_path / "packed", pack)
    read, n = Hdf5Dataset.read, list[str]()

    def counting(dataset: Hdf5Dataset, *arguments: Any) -> Any:
        n.append(dataset.name)
        return read(dataset, *arguments)

    monkeypatch.setattr(Hdf5Dataset, "read", counting)
    reader, plain = open_shards(folder, untrusted=untrusted), open_shards(jpegs)
    for k in (0, 1, 0, 1):
        np.testing.assert_array_equal(reader[k]["image"], plain[k]["image"])
    assert n.count("image_data") == (0 if untrusted else 1)  # the child process reads it in this one's place


def test_shard_whose_jpeg_is_larger_than_its_crop_takes_no_memory_for_it(jpegs: Path, tmp_path: Path) -> None:
    from uvgen.images.jpeg import encode_jpeg

    code = np.frombuffer(encode_jpeg(np.zeros((4000, 4000, 3), np.uint8), 50), np.uint8)

    def change(file: h5py.File) -> None:
        put("image_data", np.concatenate([code, code]))(file)
        file["image_end"][:] = [len(code), 2 * len(code)]

    with pytest.raises(DatasetError, match=rf"4000 x 4000 px, expected {R} x {R}"):
        open_shards(changed(jpegs, tmp_path / "bad", change))[0]


def test_shards_whose_samples_do_not_stack_are_refused(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "shards"))
    with h5py.File(folder / "IBUG-00000.h5", "r+") as file:
        put("shape", np.zeros((2, 3), "f4"))(file)
    reader = open_shards(folder)
    assert reader[0]["shape"].shape != (3,)
    with pytest.raises(DatasetError, match=r"IBUG-00000\.h5: shape is \(\(3,\), .*in other shards"):
        reader[3]


# Files that broke HDF5, and random damage


@pytest.mark.slow
@pytest.mark.vital
def test_files_that_broke_hdf5_are_refused(reference: Path, built: Path, tmp_path: Path) -> None:
    files = sorted((reference / "hdf5_cve").iterdir())
    assert len(files) == 137
    tasks = []
    for path in files:
        folder = as_shard(path, built, tmp_path / f"{path.name}-set")
        model = Path(shutil.copy(path, tmp_path / f"{path.name}-model.h5"))
        tasks += [("set", folder), ("checked", folder), ("command", folder), ("model", model), ("info", model)]
    for (way, path), found in zip(tasks, outcomes(tasks), strict=True):
        if way in ("command", "info"):
            assert found == "", f"{way} {path.name}: {found}"
        else:
            assert found.startswith("refused: ") and path.name in found, f"{way} {path.name}: {found}"


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_damaged_shards_are_read_or_refused(built: Path, jpegs: Path, tmp_path: Path, codec: str) -> None:
    like, rng = {"raw": built, "jpeg": jpegs}[codec], np.random.default_rng(20)
    data = next(like / entry.file for entry in Index.read(like).shards if entry.samples).read_bytes()
    sets = [as_shard(mutated(data, rng), like, tmp_path / str(k)) for k in range(75)]
    tasks = [*itertools.product(WAYS, sets)]
    found = outcomes(tasks)
    for (way, path), outcome in zip(tasks, found, strict=True):
        if outcome.startswith("died: nothing"):  # HDF5 2.0.0 may hang on a text attribute, see SECURITY.md
            (outcome,) = outcomes([("untrusted", path)], seconds=600)
        assert outcome == "" or outcome.startswith("refused: "), f"{way} {path.name}: {outcome}"
    assert 10 < sum(outcome != "" for outcome in found) < 75  # the damage is such that some are, and others not


@pytest.mark.slow
def test_damaged_models_are_read_or_refused(model_path: Path, tmp_path: Path) -> None:
    rng, data = np.random.default_rng(21), model_path.read_bytes()
    tasks = []
    for k in range(75):
        (tmp_path / f"{k}.h5").write_bytes(mutated(data, rng))
        tasks += [("model", tmp_path / f"{k}.h5"), ("info", tmp_path / f"{k}.h5")]
    found = outcomes(tasks)
    for (way, path), outcome in zip(tasks, found, strict=True):
        assert outcome == "" or outcome.startswith("refused: "), f"{way} {path.name}: {outcome}"
    assert 37 < sum(outcome != "" for outcome in found) < 75


@pytest.mark.slow
def test_sets_with_a_field_missing_or_damaged_are_used_or_refused(built: Path, tmp_path: Path) -> None:
    """By what stands on the reader: training, export, augmented copies."""
    rng, names = np.random.default_rng(22), [*open_shards(built).fields]
    sets = [changed(built, tmp_path / f"no-{name}", lambda file, n=name: file.__delitem__(n)) for name in names]
    data = next(built / entry.file for entry in Index.read(built).shards if entry.samples).read_bytes()
    sets += [as_shard(mutated(data, rng), built, tmp_path / str(k)) for k in range(25)]
    ways = ["export", "augment", "set"] + (["train"] if find_spec("torch") else [])
    tasks = [*itertools.product(ways, sets)]
    for (way, path), outcome in zip(tasks, outcomes(tasks), strict=True):
        assert outcome == "" or outcome.startswith("refused: "), f"{way} {path.name}: {outcome}"


# Checked and isolated readers


def test_open_shards_with_check_refuses_a_changed_shard_before_hdf5_opens_it(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "shards"))
    path = folder / "AFW-00000.h5"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    reader = open_shards(folder, check=True)
    with pytest.raises(DatasetError, match=r"AFW-00000\.h5: its SHA-256 is not the one in the index"):
        reader[0]
    assert_equal_samples(reader[4], open_shards(built)[4])
    np.savez(folder / "constants.npz", weight_mask=np.ones((U, U)))
    with pytest.raises(DatasetError, match=r"constants\.npz: its SHA-256"):
        reader.constants  # noqa: B018


@pytest.mark.parametrize("codec", ["raw", pytest.param("jpeg", marks=[pytest.mark.slow, pytest.mark.long])])
def test_open_shards_untrusted_reads_the_same(built: Path, jpegs: Path, codec: str) -> None:
    folder = {"raw": built, "jpeg": jpegs}[codec]
    plain, isolated = open_shards(folder), open_shards(folder, untrusted=True)
    for expected, found in zip(plain, isolated, strict=True):
        assert_equal_samples(found, expected)
    assert isolated.names == plain.names and isolated.fields == plain.fields
    np.testing.assert_array_equal(isolated.column("pose"), plain.column("pose"))
    assert verify_shards(folder, untrusted=True).problems == ()


def test_open_shards_untrusted_survives_the_end_of_its_process(built: Path) -> None:
    reader = open_shards(built, untrusted=True)
    expected = reader[0]
    process = reader._pool.process
    assert process is not None and process._child is not None
    process._child.kill()
    process._child.wait()
    assert_equal_samples(reader[0], expected)


# dataset.json


@pytest.mark.slow
@pytest.mark.vital
def test_open_shards_of_an_index_with_any_bit_flipped_is_refused(built: Path, tmp_path: Path) -> None:
    data = (built / "dataset.json").read_bytes()
    for k in range(0, 8 * len(data), 7):  # 7 and 8 have no common factor: each bit of a byte has its turn
        flipped = bytearray(data)
        flipped[k // 8] ^= 1 << k % 8
        (tmp_path / "dataset.json").write_bytes(flipped)
        with pytest.raises(DatasetError, match=r"dataset\.json: "):
            Index.read(tmp_path)


def test_open_shards_of_an_index_edited_by_hand_says_so(built: Path, tmp_path: Path) -> None:
    text = (built / "dataset.json").read_text(encoding="utf-8")
    for edited in (text.replace('"seed": 0', '"seed": 1'), text + "\n", json.dumps(json.loads(text))):
        (tmp_path / "dataset.json").write_text(edited, encoding="utf-8")
        with pytest.raises(DatasetError, match=r"checksum .*edited by hand"):
            open_shards(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"format": "uvgen-dataset", "version": 2, "n_samples": Infinity}',
        '{"format": "uvgen-dataset", "version": NaN}',
        '{"format": "uvgen-dataset", "version": ' + "9" * 5000 + "}",
        '{"format": {}, "version": []}',
        "\ufeff{}",
        "null",
        "5",
    ],
)
def test_index_of_odd_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"dataset\.json: "):
        open_shards(tmp_path)


ODD = (None, True, -1, 1.5, 1e300, 10**30, "text", "\ud800", "\0", "", [], [1], {}, {"a": 1})


@pytest.mark.parametrize("key", ["uvgen", "n_samples", "config", "plan", "constants_sha256", "shards", "skipped"])
def test_index_of_odd_values_is_read_or_refused(built: Path, tmp_path: Path, key: str) -> None:
    """The checksum fits: somebody made it so."""
    content = json.loads((built / "dataset.json").read_text(encoding="utf-8"))
    places = [(content, key)]
    if isinstance(content[key], dict):
        places += [(content[key], name) for name in content[key]]
    if key == "shards":
        places += [(content[key][0], name) for name in content[key][0]]
    if key == "skipped":
        content[key] = [{"name": "a", "shard": "b", "reason": "c"}]
        places += [(content[key][0], name) for name in content[key][0]]
    (tmp_path / "dataset.json").write_text("{}")
    refused = 0
    for (place, name), value in itertools.product(places, ODD):
        if value == "\ud800":  # as JSON can say it
            value = "surrogate"
        before, place[name] = place[name], value
        text = json.dumps({**content, "sha256": ""}).replace("surrogate", r"\ud800")
        (tmp_path / "dataset.json").write_text(text)
        edit_index_text(tmp_path / "dataset.json")
        try:
            reader = open_shards(tmp_path)
            len(reader), reader.files, repr(reader.config)
        except DatasetError:
            refused += 1
        place[name] = before
    assert refused > 0


def edit_index_text(path: Path) -> None:
    """Put the right checksum at the end of an index that was written otherwise."""
    import hashlib

    data = path.read_bytes().removesuffix(b', "sha256": ""}')
    path.write_bytes(data + b',\n  "sha256": "' + hashlib.sha256(data).hexdigest().encode() + b'"\n}\n')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "IBUG-00000.hdf5"}, "expected a name that ends in .h5"),
        ({"file": "dataset.json"}, "expected a name that ends in .h5"),
        ({"file": ".uvgen-tmp-0123456789ab-x-00000.h5"}, "is not a temporary one"),
        ({"file": "../IBUG-00000.h5"}, "expected a name"),
        ({"size_bytes": 31}, "2 samples in the 31 bytes of"),
        ({"samples": 1 << 28}, "268435456 samples in the"),
        ({"sha256": "../../home/thesis"}, "the hash '../../home/thesis', expected 64 hexadecimal digits"),
        ({"sha256": "A" * 64}, "expected 64 hexadecimal digits"),
        ({"names": "one\ntwo\nthree"}, "other names than the 2 samples of"),
    ],
)
def test_index_with_an_entry_that_no_shard_has_is_refused(
    built: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    shutil.copy(built / "dataset.json", tmp_path)
    edit_index(tmp_path, lambda content: content["shards"][0].update(change))
    with pytest.raises(DatasetError, match=rf"dataset\.json: .*{message}"):
        open_shards(tmp_path)


# Fields that inflate


@cache
def deflated_zeros(n: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(min(1 << 20, n - k))) for k in range(0, n, 1 << 20)) + packer.flush()


def inflating(name: str, shape: tuple[int, ...], dtype: str, chunks: tuple[int, ...]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        data = file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip", fillvalue=None)
        packed = deflated_zeros(int(np.prod(chunks)) * data.dtype.itemsize)
        for start in itertools.product(*(range(0, n, c) for n, c in zip(shape, chunks, strict=True))):
            data.id.write_direct_chunk(start, packed)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (inflating("source", (2,), f"S{1 << 26}", (1,)), "source takes 67108864 bytes|small fields take"),
        (inflating("extra", (2, 1 << 26), "f4", (2, 1 << 20)), "its small fields take 5368"),
        (inflating("extra", (2, 1 << 27), "f4", (1, 1 << 27)), "extra takes 536870912 bytes per sample"),
        (
            lambda file: [inflating(f"extra{k}", (2, 60 << 20), "f4", (1, 60 << 20))(file) for k in range(3)],
            r"its fields take 75\d{7} bytes per sample, more than 536870912",
        ),
    ],
)
@pytest.mark.parametrize("untrusted", [False, True])
def test_shard_of_fields_that_inflate_is_refused_before_they_do(
    built: Path, tmp_path: Path, change: Any, message: str, untrusted: bool
) -> None:
    folder = changed(built, tmp_path / "bad", change)
    tracemalloc.start()
    with pytest.raises(DatasetError, match=rf"00000\.h5: .*({message})"):
        open_shards(folder, untrusted=untrusted)[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


def test_shard_of_more_samples_than_its_bytes_can_hold_is_refused(built: Path, tmp_path: Path) -> None:
    n = 1 << 20

    def change(file: h5py.File) -> None:
        for name in list(file):
            del file[name]
        inflating("name", (n,), "S1", (n,))(file)

    folder = changed(built, tmp_path / "bad", change)

    def claim(content: dict[str, Any]) -> None:
        entry = next(entry for entry in content["shards"] if entry["samples"])
        entry.update(samples=n, size_bytes=n * 100)
        entry.pop("names", None)
        content["n_samples"] = content["plan"]["samples"] = sum(entry["samples"] for entry in content["shards"])

    edit_index(folder, claim)
    with pytest.raises(DatasetError, match=rf"00000\.h5: has \d+ bytes, too few for {n} samples"):
        open_shards(folder).names  # noqa: B018


# constants.npz


def npz(members: dict[str, bytes], **options: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def npy(shape: Any, dtype: str = "<f4", data: bytes = b"", order: bool = False) -> bytes:
    header = repr({"descr": dtype, "fortran_order": order, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def bomb() -> bytes:
    """A thousand times what it takes, of zeros, deflated: work that collecting the tests is not to do."""
    return npz({"weight_mask.npy": npy((1 << 24,), data=bytes(1 << 26))}, compression=zipfile.ZIP_DEFLATED)


def saved(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"text", id="text"),
        pytest.param(saved(weight_mask=np.array([{}], object)), id="pickle"),
        pytest.param(saved(other=np.zeros(3)), id="unknown name"),
        pytest.param(saved(weight_mask=np.array(["a"])), id="text array"),
        pytest.param(npz({"../weight_mask.npy": npy((U, U), data=bytes(4 * U * U))}), id="path"),
        pytest.param(npz({"weight_mask.npy": npy((1 << 40,))}), id="declares a terabyte"),
        pytest.param(npz({"weight_mask.npy": npy((U, U), data=bytes(4))}), id="too few bytes"),
        pytest.param(npz({"weight_mask.npy": npy((U, U), data=bytes(4 * U * U + 1))}), id="too many bytes"),
        pytest.param(npz({"weight_mask.npy": npy((-1,), data=bytes(4))}), id="negative length"),
        pytest.param(npz({"weight_mask.npy": npy((True,), data=bytes(4))}), id="bool for a length"),
        pytest.param(npz({"weight_mask.npy": npy("text", data=bytes(4))}), id="shape that is text"),
        pytest.param(npz({"weight_mask.npy": npy((U, U), "|O", bytes(8 * U * U))}), id="objects"),
        pytest.param(npz({"weight_mask.npy": npy((U, U), "|V4", bytes(4 * U * U))}), id="bytes"),
        pytest.param(npz({"weight_mask.npy": npy((U, U), "<f4", bytes(4 * U * U), order=True)}), id="columns first"),
        pytest.param(npz({"weight_mask.npy": b"\x93NUMPY\x09\x00"}), id="unknown version"),
        pytest.param(bomb, id="bomb"),
        pytest.param(
            npz({"weight_mask.npy": npy((U, U), data=bytes(4 * U * U))}, compression=zipfile.ZIP_LZMA),
            id="LZMA",
        ),
    ],
)
def test_read_constants_of_a_hostile_file_is_refused(tmp_path: Path, content: bytes | Callable[[], bytes]) -> None:
    (tmp_path / "constants.npz").write_bytes(content if isinstance(content, bytes) else content())
    with pytest.raises(DatasetError, match=r"constants\.npz: cannot be read"):
        read_constants(tmp_path, U)


def test_read_constants_names_what_is_there_as_it_can_be_printed(tmp_path: Path) -> None:
    (tmp_path / "constants.npz").write_bytes(npz({"a\x1b[31m\n.npy": b""}))
    with pytest.raises(
        DatasetError, match=r"constants\.npz: cannot be read \(holds a\\x1b\[31m\\n, expected weight_mask"
    ):
        read_constants(tmp_path, U)


def test_read_constants_reads_what_numpy_does(built: Path, tmp_path: Path) -> None:
    with np.load(built / "constants.npz") as expected:
        found = read_constants(built, U)
        assert found.keys() == set(expected)
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name], strict=True)
            array[:] = 0  # the caller's own
    for content in (npy((U, U), ">f4", bytes(4 * U * U)), npy((U, U + 1), "<f4", bytes(4 * U * (U + 1)))):
        with np.load(built / "constants.npz") as sound:
            others = {f"{name}.npy": npy_bytes(sound[name]) for name in sound if name != "weight_mask"}
        (tmp_path / "constants.npz").write_bytes(npz({**others, "weight_mask.npy": content}))
        with pytest.raises(DatasetError, match=rf"expected float32 \({U}, {U}\)"):
            read_constants(tmp_path, U)


def npy_bytes(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_verify_of_constants_that_cannot_be_read_is_a_problem(built: Path, tmp_path: Path) -> None:
    import hashlib

    folder = Path(shutil.copytree(built, tmp_path / "shards"))
    (folder / "constants.npz").write_bytes(b"text")
    edit_index(folder, lambda content: content.update(constants_sha256=hashlib.sha256(b"text").hexdigest()))
    assert "constants.npz: cannot be read" in verify_shards(folder).problems[0]
