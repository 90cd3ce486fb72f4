"""The Croissant description and data card of a set."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.builds import SMALL, edit_index, have, seal
from support.toy import write_tree

from uvgen import describe_shards, merge_shards, open_shards, verify_shards
from uvgen.datasets.export.card import model_license, size_category
from uvgen.datasets.export.run import export_shards
from uvgen.errors import DatasetError, InputError


@pytest.fixture(scope="module", params=["plain", "lean"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("built")
    lean = dataclasses.replace(SMALL, maps="none", image_codec="jpeg")
    config = lean if request.param == "lean" else SMALL
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", config)
    return folder / "shards"


@pytest.fixture
def exported(built: Path, tmp_path: Path) -> Path:
    export_shards(built, tmp_path / "out", "croissant")
    return tmp_path / "out"


def read(folder: Path) -> Any:
    return json.loads((folder / "croissant.json").read_text(encoding="utf-8"))


def test_croissant_lists_every_file_with_its_hash_and_size(built: Path, exported: Path) -> None:
    files = {part["contentUrl"]: part for part in read(exported)["distribution"] if part["@type"] == "cr:FileObject"}
    assert files.keys() == {path.name for path in built.iterdir()}
    for name, part in files.items():
        data = (built / name).read_bytes()
        assert (part["sha256"], part["contentSize"]) == (hashlib.sha256(data).hexdigest(), f"{len(data)} B")
    assert sorted(path.name for path in exported.iterdir()) == [".uvgen-export.json", "README.md", "croissant.json"]


def test_croissant_fields_are_the_datasets_of_the_shards(built: Path, exported: Path) -> None:
    (records,) = read(exported)["recordSet"]
    fields = {field["source"]["extract"]["column"]: field for field in records["field"]}
    with h5py.File(built / "AFW-00000.h5") as file:
        assert fields.keys() == file.keys()
        for name, dataset in file.items():
            shape = ",".join(map(str, dataset.shape[1:]))
            assert fields[name].get("arrayShape", "") == shape, name
            kind = {"S": "sc:Text", "b": "sc:Boolean"}.get(dataset.dtype.kind)
            assert fields[name]["dataType"].lower() == (kind or f"cr:{dataset.dtype.name}").lower(), name


def test_croissant_is_valid_by_mlcroissant(exported: Path) -> None:
    mlcroissant: Any = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    data = mlcroissant.Dataset(exported / "croissant.json")
    assert not data.metadata.ctx.issues.errors
    assert [records.id for records in data.metadata.record_sets] == ["samples"]


def test_card_says_what_the_set_holds_and_its_license(built: Path, exported: Path) -> None:
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert "9 faces: crops of 32 x 32 px" in card and "AFW 3, IBUG 3, IBUG_Flip 3" in card
    assert "may not be redistributed" in card and "the face model toy" in card
    for name in open_shards(built).fields:
        assert f"| `{name}` |" in card


def test_card_of_a_set_with_markup_in_its_names_shows_them_as_text(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "set"))
    old, odd = "IBUG-00000.h5", "<img src=x onerror=alert(1)>-00000.h5"
    (folder / old).rename(folder / odd)
    edit_index(folder, lambda content: next(s for s in content["shards"] if s["file"] == old).update(file=odd))
    export_shards(folder, tmp_path / "out", "croissant")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert r"\<img src=x onerror=alert(1)\> " in card and " <img" not in card


def test_both_files_may_lie_beside_the_index(built: Path, exported: Path, tmp_path: Path) -> None:
    for path in built.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for name in ("croissant.json", "README.md"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    assert not verify_shards(tmp_path).problems and describe_shards(tmp_path).samples == 9


def test_croissant_of_some_samples_is_refused(built: Path, tmp_path: Path) -> None:
    names = open_shards(built).names[:1]
    with pytest.raises(InputError, match="names: given, expected none: croissant describes whole shards"):
        export_shards(built, tmp_path / "out", "croissant", names=names)
    with pytest.raises(InputError, match="split: given, expected none: croissant describes whole shards"):
        export_shards(built, tmp_path / "out", "croissant", split="train")
    assert not any(tmp_path.iterdir())


def test_croissant_of_a_damaged_set_is_refused(built: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    for path in built.iterdir():
        (tmp_path / "broken" / path.name).write_bytes(path.read_bytes())
    with h5py.File(tmp_path / "broken/IBUG-00000.h5", "a") as file:
        file["landmarks"][0] = np.float32(1)
    with pytest.raises(
        DatasetError, match=r"IBUG-00000\.h5: its SHA-256 is not the one in the index; run `uvgen verify`"
    ):
        export_shards(tmp_path / "broken", tmp_path / "out", "croissant")
    assert not (tmp_path / "out").exists()


def test_croissant_of_a_set_that_is_replaced_when_all_was_looked_at_is_refused(built: Path, tmp_path: Path) -> None:
    shards, seen = tmp_path / "shards", list[int]()
    shutil.copytree(built, shards)
    names = open_shards(built).names
    merge_shards(built, tmp_path / "other", names=names[1:])

    def replace(n: int) -> None:
        seen.append(n)
        if sum(seen) == len(names):
            shutil.rmtree(shards)
            (tmp_path / "other").rename(shards)

    with pytest.raises(DatasetError, match="shards: was made again or replaced while it was read"):
        export_shards(shards, tmp_path / "out", "croissant", progress=replace)
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]


@pytest.mark.parametrize(("n", "word"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (122450, "100K<n<1M"),
                                         (3 * 10**6, "1M<n<10M")])  # fmt: skip
def test_size_category_is_the_hub_s_word(n: int, word: str) -> None:
    assert size_category(n) == word


def test_model_license_of_the_built_in_model_allows_everything(built: Path) -> None:
    config = open_shards(built).config
    assert "for any purpose" in model_license(dataclasses.replace(config, model="builtin"))
    assert "may be redistributed" in model_license(dataclasses.replace(config, model="bfm"))


def test_uvgen_export_of_a_description_needs_no_model_and_all_samples(built: Path, tmp_path: Path, uvgen: Any) -> None:
    out = ("--to", "croissant", "--out", tmp_path / "out")
    refused = uvgen("export", built, *out, "--split", "train")
    assert refused.exit_code == 2 and "describes whole shards, expected neither --list nor --split" in refused.stderr
    result = uvgen("export", built, *out)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'out'}: 9 samples as croissant\n"), result.stderr


def test_croissant_card_shows_the_name_of_a_field_as_text(built: Path, tmp_path: Path) -> None:
    name = "a` | <img src=x> | **b"
    shutil.copytree(built, tmp_path / "shards")
    for path in (tmp_path / "shards").glob("*.h5"):
        with h5py.File(path, "r+") as file:
            for field in (name, "own_score"):
                file.create_dataset(field, data=np.ones(len(file["name"]), np.float32))
    seal(tmp_path / "shards")
    export_shards(tmp_path / "shards", tmp_path / "out", "croissant")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert r"| a\` \| \<img src=x\> \| \*\*b |" in card and "<img" not in card.replace(r"\<img", "")
    assert "| `own_score` |" in card
    assert name in {field["name"] for field in read(tmp_path / "out")["recordSet"][0]["field"]}
