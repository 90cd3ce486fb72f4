"""Model files from strangers and damaged ones: mapped only where they are what they say, hashed once."""

import dataclasses
import os
import shutil
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io as sio
from support.toy import face3d_files

from uvgen.errors import ModelError
from uvgen.models import checked
from uvgen.models.formats import matlab
from uvgen.models.load import load_model
from uvgen.models.model_file import save_model
from uvgen.models.morphable import MorphableModel


def put(name: str, values: Any = None, **options: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file.create_dataset(name, data=values, **options)

    return change


def linked(name: str, link: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = link

    return change


CHANGES: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "basis of references": (put("basis", shape=(25, 3, 15), dtype=h5py.ref_dtype), "basis holds references"),
    "basis of texts": (put("basis", ["a"] * 3), "basis is text of variable length"),
    "basis of short texts": (put("basis", np.zeros(3, "S5")), r"basis holds \|S5, expected numbers"),
    "basis of another file": (put("basis", shape=(4,), dtype="f4", external=[("/etc/passwd", 0, 16)]), "external"),
    "basis never written": (put("basis", shape=(25, 3, 15), dtype="f4"), "stores 0 bytes"),
    "basis linked": (linked("basis", h5py.ExternalLink("other.h5", "basis")), "link .external"),
    "mean linked": (linked("mean", h5py.SoftLink("/uv")), "link .soft"),
    "mean a group": (lambda f: (f.__delitem__("mean"), f.create_group("mean")), "mean is not a dataset"),
    "mean of one number": (put("mean", 5.0), "cannot be read|mean"),
    "no vertices": (put("mean", np.zeros((0, 3))), "mean shape"),
    "no mirror": (put("mirror", np.zeros(0, "i4")), "mirror|cannot be read"),
    "regions of texts": (put("regions", np.zeros(25, "S1")), "regions holds"),
    "hash that is a number": (lambda f: f.attrs.__setitem__("content_sha256", 5), "content_sha256 is"),
    "sources that are no JSON": (lambda f: f.attrs.__setitem__("sources", np.bytes_("[")), "sources cannot be read"),
    "sources that nest": (lambda f: f.attrs.__setitem__("sources", np.bytes_("[" * 60_000)), "sources cannot be read"),
    "sources that are numbers": (lambda f: f.attrs.__setitem__("sources", np.bytes_("[5]")), "sources cannot be read"),
    "version that is text": (lambda f: f.attrs.__setitem__("version", np.bytes_("2")), "version is"),
    "name of references": (
        lambda f: f.attrs.create("name", f["mean"].ref, dtype=h5py.ref_dtype), "attribute name .* references"
    ),
    "one value changed": (lambda f: f["basis"].__setitem__((3, 1, 2), 7), "does not have the hash"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_load_model_of_a_hostile_file_is_refused(model_path: Path, tmp_path: Path, kind: str) -> None:
    change, message = CHANGES[kind]
    path = Path(shutil.copy(model_path, tmp_path / "bad.h5"))
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ModelError, match=rf"bad\.h5: .*({message})"):
        load_model(path)


# Models with the hash that fits


def nan_in(name: str, value: float = np.nan) -> Callable[[MorphableModel], dict[str, Any]]:
    def change(model: MorphableModel) -> dict[str, Any]:
        array = np.array(getattr(model, name))
        array.reshape(-1)[-1] = value
        return {name: array}

    return change


VALUES: dict[str, tuple[Callable[[MorphableModel], dict[str, Any]], str]] = {
    "deviations of two axes": (lambda m: {"shape_std": m.shape_std[:, None]}, r"shape_std is \(10, 1\), expected"),
    "deviations of no axis": (lambda m: {"expression_std": np.float32(1)[()]}, "expression_std"),
    "deviations that are NaN": (nan_in("shape_std"), "shape_std holds NaN, infinity or negative"),
    "deviations below 0": (nan_in("expression_std", -1), "expression_std holds NaN, infinity or negative"),
    "albedo deviations of two axes": (lambda m: {"albedo_std": m.albedo_std[None]}, "albedo_std is"),
    "albedo deviations that are infinite": (nan_in("albedo_std", np.inf), "albedo_std holds NaN, infinity"),
    "albedo that is NaN": (nan_in("albedo_mean"), "albedo_mean holds NaN or infinity"),
    "albedo components that are NaN": (nan_in("albedo_basis"), "albedo_basis holds NaN or infinity"),
    "components that are NaN": (nan_in("basis"), "bases hold NaN or infinity"),
    "components that are infinite": (nan_in("basis", -np.inf), "bases hold NaN or infinity"),
    "components that are huge": (nan_in("basis", 1e30), r"bases hold 1e\+30, expected"),
    "mean that is huge": (nan_in("mean", -3e38), r"mean shape holds 3e\+38, expected numbers"),
    "more components than its vertices can have": (
        lambda m: {
            "basis": np.zeros((len(m.mean), 3, 4097), np.float32),
            "shape_std": np.ones(4097 - m.n_expression, np.float32),
        },
        r"4097 components for \d+ vertices, expected \d+ at most",
    ),
    "too many components of albedo": (
        lambda m: {
            "albedo_mean": np.zeros((len(m.mean), 3), np.float32),
            "albedo_basis": np.zeros((len(m.mean), 3, 4097), np.float32),
            "albedo_std": np.ones(4097, np.float32),
        },
        r"4097 components of albedo for \d+ vertices, expected \d+ at most",
    ),
    "mean of one point": (lambda m: {"mean": np.zeros_like(m.mean)}, "landmarks of the mean face lie in one point"),
    "landmarks of one vertex": (lambda m: {"landmarks": np.zeros_like(m.landmarks)}, "landmarks of the mean face lie"),
    "mean without width": (lambda m: {"mean": m.mean * np.float32([0, 1, 1])}, "lie in one point, or in a row or col"),
    "landmarks in a row": (
        lambda m: {"landmarks": np.resize(m.landmarks[[0, 16]], 68), "mean": m.mean * np.float32([1, 0, 1])},
        "lie in one point, or in a row or column",
    ),
    "mirror of another length": (lambda m: {"mirror": m.mirror[1:]}, "mirror are"),
    "labels of two axes": (lambda m: {"regions": np.zeros((m.n_vertices, 1), np.uint8)}, "regions are"),
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_load_model_of_values_that_no_model_has_is_refused(model: MorphableModel, tmp_path: Path, kind: str) -> None:
    change, message = VALUES[kind]
    path = tmp_path / "bad.h5"
    save_model(dataclasses.replace(model, **change(model)), path)
    for _ in range(2):  # not remembered as sound
        with pytest.raises(ModelError, match=rf"bad\.h5: .*({message})"):
            load_model(path)


@pytest.mark.parametrize(
    ("name", "values"), [("regions", 256), ("triangles", 0.5), ("landmarks", np.nan), ("mirror", 2.0**32)]
)
def test_load_model_of_indices_that_their_type_cannot_hold_is_refused(
    model: MorphableModel, tmp_path: Path, name: str, values: float
) -> None:
    shape = (model.n_vertices,) if name in ("regions", "mirror") else getattr(model, name).shape
    path = tmp_path / "bad.h5"
    save_model(dataclasses.replace(model, **{name: np.full(shape, values)}), path)
    with pytest.raises(ModelError, match=rf"bad\.h5: {name} holds numbers that u?int\d+ cannot"):
        load_model(path)


def test_load_model_of_names_that_are_no_plain_text_escapes_them(model: MorphableModel, tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    save_model(dataclasses.replace(model, name="\x1b]0;owned\x07", sources={"\x1b[31m\nfake": "\u202ey"}), path)
    found = load_model(path)
    assert (found.name, found.sources) == (r"\x1b]0;owned\x07", {r"\x1b[31m\nfake": r"\u202ey"})


def test_load_model_of_an_earlier_check_is_checked_again(
    model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: list[Path]
) -> None:
    path = tmp_path / "m.h5"
    save_model(model, path)
    load_model(path)
    monkeypatch.setattr(checked, "_RULES", checked._RULES + 1)
    load_model(path)
    assert count == [path] * 2


@pytest.mark.parametrize(("kind", "untrusted"), [("f4", False), ("f4", True), ("i1", False)])
def test_load_model_of_arrays_that_inflate_is_refused_before_they_do(
    model_path: Path, tmp_path: Path, kind: str, untrusted: bool
) -> None:
    path = Path(shutil.copy(model_path, tmp_path / "large.h5"))
    n, block = 1 << 26, 1 << 20
    with h5py.File(path, "r+") as file:
        del file["mean"]
        data = file.create_dataset("mean", (n,), kind, chunks=(block,), compression="gzip", fillvalue=None)
        packed = zlib.compress(bytes(np.dtype(kind).itemsize * block), 9)
        for k in range(0, n, block):
            data.id.write_direct_chunk((k,), packed)
    tracemalloc.start()
    with pytest.raises(ModelError, match=r"large\.h5: .*its arrays take \d+ bytes unpacked, more than"):
        load_model(path, untrusted=untrusted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * n / 8


# face3d's files


ODD: dict[str, Any] = {
    "nothing": np.zeros((0, 0)), "empty rows": np.zeros((5, 0)), "a number": np.array(2.0),
    "NaN": np.full((3, 3), np.nan),
    "a row": np.ones((1, 7)), "a square": np.ones((4, 4)), "text": "abc", "a cube": np.ones((2, 3, 4)),
    "large": np.full((3, 5), 1e300), "below 0": np.full((2, 68), -5.0), "complex": np.ones((3, 3)) * 1j,
}  # fmt: skip
FIELDS = {
    "BFM.mat": ("shapeMU", "shapePC", "shapeEV", "expMU", "expPC", "expEV", "texMU", "texPC", "texEV", "tri", "kpt_ind",
                "tri_mouth"),
    "BFM_UV.mat": ("UV",),
    "BFM_info.mat": ("symlist", "segbin", "regions", "trimIndex"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [name for names in FIELDS.values() for name in names])
def test_face3d_read_of_odd_fields_is_a_model_or_names_the_file(
    model: MorphableModel, tmp_path: Path, name: str
) -> None:
    path = face3d_files(model, tmp_path)
    file = next(file for file, names in FIELDS.items() if name in names)
    whole = {key: value for key, value in sio.loadmat(tmp_path / file, simplify_cells=True).items() if key[0] != "_"}
    refused = 0
    for odd in ODD.values():
        struct = next((value for value in whole.values() if isinstance(value, dict)), whole)
        struct[name] = odd
        sio.savemat(tmp_path / file, whole)
        try:
            load_model(path)
        except ModelError as error:
            assert "BFM" in str(error)
            refused += 1
    assert refused >= 5


def test_face3d_read_of_a_trimmed_model_smaller_than_the_basel_one_needs_no_repairs(
    model: MorphableModel, tmp_path: Path
) -> None:
    """`generate.m` repairs three vertices by neighbors that such a model may not have."""
    uv = np.zeros((10_300, 2))
    np.testing.assert_array_equal(matlab.trimmed_uv(uv, np.arange(10_200, dtype=np.int32)), uv[:10_200])


@pytest.mark.parametrize("bad", [np.nan, 0, -3, 1.5])
def test_face3d_read_of_trimmed_vertices_that_are_none_is_refused(
    model: MorphableModel, tmp_path: Path, bad: float
) -> None:
    path = face3d_files(model, tmp_path)
    trim = np.arange(1.0, model.n_vertices + 1)
    trim[3] = bad
    sio.savemat(tmp_path / "BFM_info.mat", {"model_info": {"trimIndex": trim, "segbin": np.ones((9999, 4))}})
    with pytest.raises(ModelError, match=r"BFM_info\.mat: trimIndex holds numbers that are not vertices"):
        load_model(path)


# Maps


def test_load_model_maps_bases_from_their_place(model_path: Path, model: MorphableModel) -> None:
    found = load_model(model_path)
    assert isinstance(found.basis.base, np.memmap) or isinstance(found.basis, np.memmap)
    np.testing.assert_array_equal(found.basis, model.basis)


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"chunks": True}, {"compression": "gzip", "shuffle": True}]
)
def test_load_model_that_another_tool_packed_is_read(
    model: MorphableModel, model_path: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = Path(shutil.copy(model_path, tmp_path / "packed.h5"))
    with h5py.File(path, "r+") as file:
        for name in ("basis", "mean"):
            put(name, file[name][()], **options)(file)
        file["basis_of_another_program"] = h5py.SoftLink("/nowhere")  # not looked at
    np.testing.assert_array_equal(load_model(path).basis, model.basis)


# Hashed once


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Files whose content was hashed, with an empty cache."""
    found: list[Path] = []
    original = checked.check_once

    def counted(path: Path, stated: str, content_hash: Callable[[], str]) -> None:
        original(path, stated, lambda: found.append(path) or content_hash())  # type: ignore[func-returns-value]

    monkeypatch.setattr("uvgen.models.model_file.check_once", counted)
    monkeypatch.setattr(checked, "_checked", set())
    monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "cache"))
    return found


def test_load_model_hashes_a_file_once_for_all_processes(
    model: MorphableModel, tmp_path: Path, count: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.h5"
    save_model(model, path)
    for _ in range(3):
        load_model(path)
    assert count == [path]
    monkeypatch.setattr(checked, "_checked", set())  # as another process has it
    load_model(path)
    assert count == [path]
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(checked, "_checked", set())
    load_model(path)
    assert count == [path] * 2


def test_load_model_hashes_a_file_again_that_was_replaced(
    model: MorphableModel, tmp_path: Path, count: list[Path]
) -> None:
    path = tmp_path / "m.h5"
    save_model(model, path)
    load_model(path)
    with h5py.File(path, "r+") as file:
        file["basis"][0, 0, 0] += 1
    os.utime(path, ns=(1, 1))  # whatever a file system's clock shows
    with pytest.raises(ModelError, match=r"m\.h5: its content does not have the hash that is written in it"):
        load_model(path)
    assert count == [path] * 2
    with pytest.raises(ModelError, match="does not have the hash"):  # not remembered as sound
        load_model(path)


def test_load_model_works_without_a_cache(
    model: MorphableModel, tmp_path: Path, count: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    path = tmp_path / "m.h5"
    save_model(model, path)
    for _ in range(2):
        load_model(path)
    assert count == [path]
