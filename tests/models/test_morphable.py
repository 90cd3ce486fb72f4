"""Models: checks, uvgen's own file, and the foreign formats, which must agree to the last bit."""

import dataclasses
import errno
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io as sio
from support.overwritten import overwritten
from support.toy import face3d_files, toy_model

from uvgen import BuildConfig, build_shards, load_model, save_model
from uvgen.errors import DatasetError, ModelError
from uvgen.models.checked import check_unchanged
from uvgen.models.formats import bfm2009, face3d
from uvgen.models.formats.matlab import mirror, trimmed_uv
from uvgen.models.morphable import REGIONS, MorphableModel, hash_arrays, make_model

ARRAYS = [f.name for f in dataclasses.fields(MorphableModel) if f.name not in ("name", "sources", "path", "rig")]


def assert_same(a: MorphableModel, b: MorphableModel) -> None:
    for name in ARRAYS:
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, err_msg=name)
    assert a.content_sha256 == b.content_sha256


def test_save_model_then_load_model_gives_the_same_model(model, tmp_path) -> None:
    save_model(dataclasses.replace(model, sources={"a.mat": "12"}), tmp_path / "model.h5")
    loaded = load_model(tmp_path / "model.h5")
    assert_same(loaded, model)
    assert loaded.sources == {"a.mat": "12"}
    assert loaded.name == "toy"


def test_load_model_twice_saved_gives_the_same_bytes(model, tmp_path) -> None:
    save_model(model, tmp_path / "a.h5")
    save_model(model, tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_load_model_maps_the_bases_and_gives_no_writable_array(model_path) -> None:
    loaded = load_model(model_path)
    base = loaded.basis
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    for name in ARRAYS:
        assert getattr(loaded, name) is None or not getattr(loaded, name).flags.writeable, name


def test_model_pickled_travels_as_its_path(model, model_path) -> None:
    data = pickle.dumps(load_model(model_path))
    assert len(data) < 1000
    assert_same(pickle.loads(data), model)
    assert_same(pickle.loads(pickle.dumps(model)), model)  # one that has no file travels whole


def test_check_unchanged_of_a_model_whose_file_was_written_to_says_so(model, tmp_path) -> None:
    path, other = tmp_path / "model.h5", tmp_path / "other.h5"
    save_model(model, path)
    save_model(dataclasses.replace(model, basis=model.basis * np.float32(1.5)), other)
    content, later = path.read_bytes(), path.stat().st_mtime_ns + 10**9
    mapped = load_model(path)
    os.utime(path, ns=(later, later))
    check_unchanged(mapped, hash_arrays)  # the same content
    path.write_bytes(other.read_bytes())
    with pytest.raises(ModelError, match=r"model\.h5: was written to while it was in use"):
        check_unchanged(mapped, hash_arrays)
    path.write_bytes(content)
    check_unchanged(mapped, hash_arrays)
    os.replace(other, path)  # what is mapped is the old file
    check_unchanged(mapped, hash_arrays)


def test_build_with_a_model_that_is_overwritten_meanwhile_ends_with_an_error(model, tree, tmp_path) -> None:
    mapped = overwritten(model, tmp_path)
    with pytest.raises(ModelError, match="was written to while it was in use"):
        build_shards(tree, tmp_path / "out", model=mapped, config=BuildConfig(size=32))
    assert not list((tmp_path / "out").glob("*.h5"))


def test_model_that_travels_as_its_path_is_refused_where_the_file_holds_another(model, tmp_path) -> None:
    path = tmp_path / "model.h5"
    save_model(model, path)
    data = pickle.dumps(load_model(path))
    save_model(dataclasses.replace(model, mean=model.mean * np.float32(1.5)), path)
    with pytest.raises(ModelError, match=r"model\.h5: holds another model than when the run began"):
        pickle.loads(data)
    save_model(model, path)  # written anew, with the same content
    assert_same(pickle.loads(data), model)


def test_shape_and_expression_basis_are_the_parts_of_the_joint_one(model) -> None:
    assert model.shape_basis.shape == (model.n_vertices, 3, 10)
    assert model.expression_basis.shape == (model.n_vertices, 3, 5)
    np.testing.assert_array_equal(np.concatenate([model.shape_basis, model.expression_basis], axis=2), model.basis)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"albedo_mean": np.zeros((7, 3))}, r"albedo_mean is \(7, 3\), expected \(1681, 3\)"),
        ({"albedo_basis": None}, "albedo_basis, _mean and _std: not all given, expected all"),
        ({"albedo_basis": np.zeros((1681, 3, 9))}, r"albedo_basis is \(1681, 3, 9\), expected"),
        ({"uv": toy_model().uv + 0.5}, r"UV coordinates leave \[0, 1\]"),
        ({"uv": toy_model().uv[:-1]}, "UV coordinates are"),
        ({"mean": np.full((1681, 3), np.nan)}, "mean shape holds NaN"),
        ({"landmarks": np.arange(51)}, r"landmarks are \(51,\), expected \(68,\)"),
        (
            {"triangles": toy_model().triangles + 1},
            "triangles name a vertex that does not exist, 1 to 1681, expected 0",
        ),
        ({"triangles": np.empty((0, 3))}, "there are no triangles"),
        ({"mirror": np.full(1681, 1681)}, "mirror pairs name a vertex"),
        ({"regions": np.full(1681, 9)}, "regions hold the label 9, expected 0 to 5"),
        ({"shape_std": np.ones(3)}, r"bases are \(1681, 3, 15\), expected \(1681, 3, 8\)"),
    ],
)
def test_make_model_with_a_bad_field_raises_and_names_it(model, changes, message) -> None:
    arrays = {name: getattr(model, name) for name in ARRAYS} | changes
    with pytest.raises(ModelError, match=f"^some file: .*{message}"):
        make_model(source="some file", **arrays)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.h5", None, "no such file, expected a model"),
        ("text.h5", b"not HDF5", "not a readable model file"),
        ("text.mat", b"not MATLAB", "not a readable MATLAB file"),
    ],
)
def test_load_model_of_no_model_raises(tmp_path, name, content, message) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / name)


def test_load_model_of_what_may_not_be_looked_at_raises(tmp_path, monkeypatch) -> None:
    """Such as a model in another user's folder, which the samples that were fitted with it name."""
    with pytest.raises(ModelError, match=r"cannot be read \(File name too long\), expected a model"):
        load_model(tmp_path / ("x" * 300))
    (tmp_path / "private").mkdir()
    is_file = Path.is_file

    def refused(path: Path) -> bool:
        if path.parent.name == "private":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)  # tests may run as root, who may enter any folder
    with pytest.raises(ModelError, match=r"private.*: cannot be read \(Permission denied\), expected a model"):
        load_model(tmp_path / "private")


def test_load_model_of_a_folder_raises(tmp_path) -> None:
    with pytest.raises(ModelError, match="is an empty folder, expected a model's file"):
        load_model(tmp_path)


def test_load_model_of_other_hdf5_raises(tmp_path) -> None:
    h5py.File(tmp_path / "x.h5", "w").close()
    with pytest.raises(ModelError, match="not a uvgen model"):
        load_model(tmp_path / "x.h5")


def test_load_model_of_a_newer_version_or_without_a_dataset_raises(model, tmp_path) -> None:
    save_model(model, tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        del file["uv"]
    with pytest.raises(ModelError, match="dataset uv is missing"):
        load_model(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.attrs["version"] = 3
    with pytest.raises(ModelError, match="model format 3, expected 2; update uvgen"):
        load_model(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.attrs["version"] = 1
    with pytest.raises(ModelError, match="model format 1, expected 2; make the file again"):
        load_model(tmp_path / "m.h5")


def test_load_model_of_a_truncated_file_raises(model, tmp_path) -> None:
    save_model(model, tmp_path / "m.h5")
    data = (tmp_path / "m.h5").read_bytes()
    (tmp_path / "m.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"m\.h5: not a readable model file"):
        load_model(tmp_path / "m.h5")


def test_save_model_that_fails_leaves_the_old_file(model, tmp_path) -> None:
    (tmp_path / "m.h5").write_text("old")
    broken = dataclasses.replace(model, sources={"a": b"not text"})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        save_model(broken, tmp_path / "m.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]
    assert (tmp_path / "m.h5").read_text() == "old"


def test_save_model_into_a_file_as_folder_raises(model, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be written"):
        save_model(model, tmp_path / "file" / "m.h5")


def test_load_model_of_face3d_files_gives_every_field(model, tmp_path) -> None:
    loaded = load_model(face3d_files(model, tmp_path))
    for name in ("mean", "basis", "triangles", "uv", "landmarks", "albedo_basis"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name), err_msg=name)
    assert (loaded.regions[:100] == REGIONS.index("eyes")).all()
    assert (loaded.regions[100:] == REGIONS.index("face")).all()
    off_middle = model.mirror != np.arange(model.n_vertices)
    np.testing.assert_array_equal(loaded.mirror[off_middle], model.mirror[off_middle])
    assert sorted(loaded.sources) == ["BFM.mat", "BFM_UV.mat", "BFM_info.mat"]


def test_face3d_files_keep_mirror_vertices_that_have_another_one(model, tmp_path) -> None:
    mirror = np.array(model.mirror)
    mirror[[5, 9, 11]] = 2, 2, -1  # of the middle line, as some of the Basel model's
    mirror[mirror == 11] = -1
    changed = dataclasses.replace(model, mirror=mirror)
    face3d.write(changed, tmp_path)
    np.testing.assert_array_equal(load_model(tmp_path / "BFM.mat").mirror, mirror)


def test_load_model_of_face3d_files_without_info_knows_no_regions(model, tmp_path) -> None:
    loaded = load_model(face3d_files(model, tmp_path, info=False))
    assert loaded.regions is None
    assert loaded.mirror is None


def test_load_model_of_face3d_files_without_uv_raises(model, tmp_path) -> None:
    path = face3d_files(model, tmp_path)
    (tmp_path / "BFM_UV.mat").unlink()
    with pytest.raises(ModelError, match=r"BFM_UV\.mat: no such file; put the file of UV coordinates beside"):
        load_model(path)


def test_load_model_of_another_mat_raises(tmp_path) -> None:
    sio.savemat(tmp_path / "BFM.mat", {"something": 1})
    with pytest.raises(ModelError, match="no struct `model` in it"):
        load_model(tmp_path / "BFM.mat")


def test_trimmed_uv_repairs_three_vertices_of_untrimmed_rows() -> None:
    rows = np.random.default_rng(0).uniform(size=(53490, 2))
    trim = np.arange(100, 53315)
    uv = trimmed_uv(rows, trim)
    untouched = np.setdiff1d(np.arange(53215), [10031, 10154, 10279])
    np.testing.assert_array_equal(uv[untouched], rows[trim][untouched])
    np.testing.assert_allclose(uv[10031], (uv[10032] + uv[10157]) / 2)
    np.testing.assert_allclose(uv[10154], (uv[10533] + uv[10156] + uv[10660]) / 3)
    np.testing.assert_allclose(uv[10279], (uv[10915] + uv[10285]) / 2)


def test_mirror_of_contradicting_pairs_keeps_the_first() -> None:
    np.testing.assert_array_equal(mirror(np.array([[1.0, 2.0], [4.0, 4.0]]), 5), [3, 3, -1, 0, -1])


@pytest.mark.slow
def test_load_model_by_both_routes_gives_the_same_model(stand_in: Path) -> None:
    additions = stand_in / "3ddfa"
    assembled = bfm2009.read(
        stand_in / "bfm2009/01_MorphableModel.mat", additions / "Model_Expression.mat",
        additions / "model_info.mat", stand_in / "stn/BFM_UV.mat", additions / "Model_tri_mouth.mat",
    )  # fmt: skip
    assert_same(assembled, load_model(stand_in / "face3d/BFM.mat"))
    assert assembled.n_vertices == 53215
    assert set(assembled.sources) >= {"01_MorphableModel.mat", "Model_tri_mouth.mat"}


def test_bfm2009_read_of_files_that_do_not_fit_raises(stand_in: Path, tmp_path: Path) -> None:
    additions = stand_in / "3ddfa"
    sio.savemat(tmp_path / "BFM_UV.mat", {"UV": np.zeros((100, 2))})
    with pytest.raises(ModelError, match=r"BFM_UV\.mat: UV has 100 rows, expected 53490 or 53215"):
        bfm2009.read(
            stand_in / "bfm2009/01_MorphableModel.mat", additions / "Model_Expression.mat",
            additions / "model_info.mat", tmp_path / "BFM_UV.mat",
        )  # fmt: skip


PRIVATE_MEMORY = """
import sys, numpy as np
from pathlib import Path
def private():
    fields = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(fields[k].split()[0]) for k in ("Private_Clean", "Private_Dirty")) / 1024
from uvgen import PositionMapper, load_model
model = load_model(sys.argv[1])
PositionMapper(model, 256)
model.basis.sum()
print(private())
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps_rollup")
@pytest.mark.slow
def test_load_model_in_another_process_costs_little_private_memory(stand_in_model: MorphableModel) -> None:
    mapped = stand_in_model.basis.sum()  # so that this process has the pages too, and they count as shared
    assert np.isfinite(mapped)
    arguments = [sys.executable, "-c", PRIVATE_MEMORY, str(stand_in_model.path)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    megabytes = float(subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment).stdout)
    assert megabytes < 250


def test_changed_copy_of_a_model_from_a_file_is_not_taken_for_the_file(model_path: Path) -> None:
    """Workers get what they are given: a model that is its file travels as the file's name, a changed one does not."""
    model = load_model(model_path)
    assert len(pickle.dumps(model)) < 2000
    changed = dataclasses.replace(model, mean=model.mean * np.float32(0.5))
    again = pickle.loads(pickle.dumps(changed))
    np.testing.assert_array_equal(again.mean, changed.mean)
    assert not again.mean.flags.writeable


# The hash of the content


@pytest.fixture
def full(model: MorphableModel) -> MorphableModel:
    """A model that has all arrays."""
    corners, labels = np.array([[0, 1, 2]], np.int32), np.ones(model.n_vertices, np.uint8)
    return dataclasses.replace(model, mouth_triangles=corners, regions=labels)


def plain_hash(model: MorphableModel) -> str:
    """As the documentation of `hash_arrays` says it, by other code."""
    parts = b""
    for name in ARRAYS:
        array = getattr(model, name)
        if array is None:
            parts += f"{name} None\n".encode()
        else:
            shape = str(array.shape)
            parts += f"{name} {shape} {array.dtype.str}\n".encode() + array.tobytes("C")
    return hashlib.sha256(parts).hexdigest()


def test_hash_arrays_is_the_documented_one(model: MorphableModel) -> None:
    assert model.content_sha256 == hash_arrays(model) == plain_hash(model)
    assert ARRAYS == [
        "mean", "basis", "shape_std", "expression_std", "triangles", "mouth_triangles", "uv", "landmarks", "regions",
        "mirror", "albedo_mean", "albedo_basis", "albedo_std",
    ]  # fmt: skip
    bare = dataclasses.replace(model, regions=None, mirror=None, albedo_basis=None, albedo_std=None)
    assert bare.content_sha256 == plain_hash(bare) != model.content_sha256


@pytest.mark.parametrize("name", ARRAYS)
def test_load_model_finds_a_flipped_bit_in_each_array(full: MorphableModel, tmp_path: Path, name: str) -> None:
    save_model(full, tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        data = file[name]
        places = data.id.get_offset() + np.linspace(0, data.nbytes - 1, 5).astype(int)
    whole = (tmp_path / "m.h5").read_bytes()
    for place in places.tolist():
        changed = bytearray(whole)
        changed[place] ^= 1
        (tmp_path / "bad.h5").write_bytes(changed)
        with pytest.raises(ModelError, match=r"bad\.h5: (its content does not have the hash|.*expected)"):
            load_model(tmp_path / "bad.h5")


@pytest.mark.parametrize("name", ARRAYS)
def test_replaced_array_of_a_model_has_another_hash(full: MorphableModel, name: str) -> None:
    before = full.content_sha256
    array = getattr(full, name).copy()
    array.reshape(-1)[-1] += 1
    changed = dataclasses.replace(full, **{name: array})
    assert changed.content_sha256 == plain_hash(changed) != before == full.content_sha256
    assert dataclasses.replace(full, name="other", sources={"a": "b"}).content_sha256 == before
    assert pickle.loads(pickle.dumps(changed)).content_sha256 == changed.content_sha256


# Texts of the file


def test_save_model_writes_no_text_of_variable_length(model: MorphableModel, tmp_path: Path) -> None:
    save_model(dataclasses.replace(model, name="modèle", sources={"ä.mat": "12"}), tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        for name, value in file.attrs.items():
            kind = file.attrs.get_id(name).get_type()
            assert name == "version" or (isinstance(value, bytes) and not kind.is_variable_str()), name
    assert load_model(tmp_path / "m.h5").name == "modèle"
    assert load_model(tmp_path / "m.h5").sources == {"ä.mat": "12"}


def test_load_model_of_an_earlier_version_says_to_make_it_again(model: MorphableModel, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        file.attrs.update(name="toy", sources="{}", version=1)
    with pytest.raises(ModelError, match=r"attribute name of the file is text of variable .* Make the file again"):
        load_model(tmp_path / "m.h5")


@pytest.mark.parametrize("n", [64, 65, 1000])
def test_model_of_many_sources_keeps_some_and_a_hash_over_all(model: MorphableModel, tmp_path: Path, n: int) -> None:
    sources = {f"scan {k:04d} {'ü' * 60}.obj": hashlib.sha256(str(k).encode()).hexdigest() for k in range(n)}
    arrays = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    made = make_model(source="x", **{**arrays, "sources": sources})
    if n == 64:
        assert made.sources == sources
    else:
        first, (label, digest) = [*made.sources.items()][:-1], [*made.sources.items()][-1]
        assert first == [*sources.items()][:16] and label == f"{n} files"
        lines = "".join(f"{name} {value}\n" for name, value in sorted(sources.items()))
        assert digest == hashlib.sha256(lines.encode()).hexdigest()
    save_model(made, tmp_path / "m.h5")
    assert load_model(tmp_path / "m.h5").sources == made.sources


def test_save_model_of_sources_that_do_not_fit_is_one_line(model: MorphableModel, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"^attribute sources: \d+ bytes, expected 64000 at most, .*shorten it$"):
        save_model(dataclasses.replace(model, sources={"a" * 70_000: "b"}), tmp_path / "m.h5")
    assert not [*tmp_path.iterdir()]
