"""Model files from strangers and damaged ones: mapped only where they are what they say, hashed once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from uvgen.errors import ModelError
from uvgen.models import checked
from uvgen.models.load import load_model
from uvgen.models.morphable import MorphableModel, save_model


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
    "mean a group": (lambda f: (f.__delitem__("mean"), f.create_group("mean")), "mean is no dataset"),
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

    monkeypatch.setattr("uvgen.models.morphable.check_once", counted)
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
