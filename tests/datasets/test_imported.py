"""Maps that other programs wrote: each layout becomes the shards that a build of the same samples gives."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io as sio
from click.testing import CliRunner
from PIL import Image
from support.builds import edit_index, file_hashes
from support.faults import fail_reads
from support.toy import toy_model, write_tree

from uvgen import (
    Augmentation,
    BuildConfig,
    MapOptions,
    MorphableModel,
    ShardReader,
    augment_shards,
    build_shards,
    describe_shards,
    export_shards,
    import_maps,
    merge_shards,
    open_shards,
    render_preview,
    repair_shards,
    save_model,
    split_shards,
    verify_shards,
    write_report,
)
from uvgen.cli.main import main
from uvgen.datasets.mean_face import lay_on
from uvgen.errors import DatasetError, InputError, SampleError, SettingsError
from uvgen.geometry import affine_to_pose, pose_to_image
from uvgen.normalization import MAP_SCALES, Normalization
from uvgen.samples.map_files import find_maps, read_map
from uvgen.shards import writer
from uvgen.shards.format import Field
from uvgen.storage.files import sha256_file
from uvgen.storage.folders import EXPORT_MARK

Built = Callable[[str], tuple[Path, ShardReader]]
SIZE = 64
CONFIG = BuildConfig(size=SIZE, uv_size=SIZE, shard_size=2, posmap_dtype="float32", filter="bilinear", jitter=0)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return toy_model()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model: MorphableModel) -> Built:
    """The samples' tree, and a build of it in a convention."""
    folder = tmp_path_factory.mktemp("built")
    tree = write_tree(folder / "tree", 2)
    for stem in ("AFW_000_1_0", "AFW_001_1_0"):  # the others have names of their own
        assert (tree / "AFW" / f"{stem}.jpg").exists()
    shutil.rmtree(tree / "IBUG_Flip")
    for convention in ("exact", "face3d"):
        build_shards(tree, folder / convention, model=model, config=replace(CONFIG, convention=convention))
    return lambda convention: (tree, open_shards(folder / convention))


def as_scale(name: Any) -> Any:
    """A name, or the number that it is."""
    return name if name in MAP_SCALES else float(name)


def write_maps(folder: Path, reader: ShardReader, layout: str, scale: Any = "px") -> Path:
    """A set's crops and maps as another program writes them."""
    normalization = Normalization.of_scale(as_scale(scale), reader.config.build.size)
    for sample in reader:
        stem = sample["name"].rpartition("/")[2]
        position_map = sample["posmap"]
        if layout == "face3d":
            place, image, file = folder / sample["name"].split("/")[0], f"{stem}.png", f"{stem}.npy"
        elif layout == "reshow":
            place, image, file = folder / stem, f"{stem}_cropped.png", f"{stem}_cropped_uv_posmap.npy"
        else:
            place, image, file = folder / stem, "original.png", "uv_posmap.npy"
        place.mkdir(parents=True, exist_ok=True)
        if layout == "reshow":
            position_map = position_map + np.float32([sample["image_to_crop"][0, 0], 0, 0])
            sio.savemat(place / f"{stem}_bbox_info.mat", {"Tform": sample["image_to_crop"]})
        Image.fromarray(sample["image"]).save(place / image)
        np.save(place / file, normalization.normalize(position_map))
    return folder


LAYOUTS = [("face3d", "face3d"), ("prnet_pytorch", "face3d"), ("uvgen", "exact"), ("reshow", "exact")]


@pytest.mark.parametrize(("layout", "convention"), LAYOUTS)
def test_import_maps_gives_the_crops_maps_and_landmarks_of_the_build(
    tmp_path: Path,
    model: MorphableModel,
    built: Built,
    layout: str,
    convention: str,
) -> None:
    _, reader = built(convention)
    folder = write_maps(tmp_path / "maps", reader, layout)
    result = import_maps(
        folder,
        tmp_path / "out",
        model=model,
        config=CONFIG,
        options=MapOptions(layout="uvgen" if layout == "uvgen" else None),
    )
    assert result.samples == len(reader) and not result.skipped
    found = open_shards(tmp_path / "out")
    assert found.config.build.maps_from == layout and found.config.build.convention == convention
    assert "shape" not in found.fields and "expression" not in found.fields
    by_stem = {sample["name"].rpartition("/")[2]: sample for sample in found}
    for sample in reader:
        made = by_stem[sample["name"].rpartition("/")[2]]
        np.testing.assert_array_equal(made["image"], sample["image"])
        np.testing.assert_allclose(made["posmap"], sample["posmap"], atol=2e-5)
        assert np.abs(made["landmarks"] - sample["landmarks"]).max() < 1  # read from 64 texels
        turned = np.degrees(made["crop_pose"][:3] - sample["crop_pose"][:3])
        assert np.abs(turned).max() < 15 and np.array_equal(made["pose"], made["crop_pose"])
    assert verify_shards(tmp_path / "out", model=model).problems == ()


@pytest.mark.parametrize("scale", ["size", "prnet", "unit", "281.6", 255.0])
def test_import_maps_of_divided_values_multiplies_them(
    tmp_path: Path, model: MorphableModel, built: Built, scale: Any
) -> None:
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d", scale)
    with pytest.raises(DatasetError, match=r"none of .* can be used; the first, .*npy: values of .*expected px"):
        import_maps(folder, tmp_path / "out", model=model)
    import_maps(folder, tmp_path / "out", model=model, options=MapOptions(scale=scale), config=BuildConfig())
    found, wanted = open_shards(tmp_path / "out"), reader
    np.testing.assert_allclose(found[0]["posmap"], wanted[0]["posmap"], atol=SIZE / 2**14)
    assert found.config.build.posmap_dtype == "uint16" and verify_shards(tmp_path / "out").sound


@pytest.mark.parametrize(
    ("layout", "convention", "scale"),
    [("face3d", "face3d", "px"), ("face3d", "exact", "280"), ("prnet_pytorch", "face3d", "255"),
     ("prnet_pytorch", "exact", "281.6"), ("reshow", "exact", "256"), ("face3d", "exact", "prnet"),
     ("face3d", "face3d", "unit")],
)  # fmt: skip
def test_import_maps_with_originals_finds_scale_and_convention(
    tmp_path: Path, model: MorphableModel, built: Built, layout: str, convention: str,
    scale: str,
) -> None:  # fmt: skip
    tree, reader = built(convention)
    folder = write_maps(tmp_path / "maps", reader, layout, scale)
    result = import_maps(folder, tmp_path / "out", model=model, options=MapOptions(originals=tree), config=CONFIG)
    found = open_shards(tmp_path / "out").config.build
    expected = Normalization.of_scale(as_scale(scale), SIZE)
    assert ((found.maps_scale,), (found.maps_offset,)) == (expected.scale, expected.offset)
    assert found.convention == convention
    assert BuildConfig.from_plain(found.to_plain()) == found
    assert f"convention {convention}" in result.warnings[0] and "compared with 4 originals" in result.warnings[0]


@pytest.mark.parametrize("convention", ["exact", "face3d"])
@pytest.mark.parametrize("to", ["npy", "prnet"])
def test_import_maps_of_an_export_takes_the_convention_that_it_states(
    tmp_path: Path, model: MorphableModel, built: Built, monkeypatch: pytest.MonkeyPatch, to: str, convention: str
) -> None:
    _, reader = built(convention)
    export_shards(reader.folder, tmp_path / "files", to, model=model)
    inner = "files" if to == "npy" else "files/train"
    import_maps(tmp_path / inner, tmp_path / "out", model=model)
    found = open_shards(tmp_path / "out")
    assert found.config.build.convention == convention
    np.testing.assert_allclose(found[0]["landmarks"], reader[0]["landmarks"], atol=0.5)
    import_maps(tmp_path / "files", tmp_path / "named", model=model, options=MapOptions(convention="face3d"))
    assert open_shards(tmp_path / "named").config.build.convention == "face3d"
    layout = "face3d" if to == "npy" else "prnet_pytorch"  # the program whose files they look like
    import_maps(tmp_path / "files", tmp_path / "laid out", model=model, options=MapOptions(layout=layout))
    assert open_shards(tmp_path / "laid out").config.build.convention == convention
    both = MapOptions(layout=layout, convention="exact")
    import_maps(tmp_path / "files", tmp_path / "both", model=model, options=both)
    assert open_shards(tmp_path / "both").config.build.convention == "exact"
    mark = tmp_path / "files/.uvgen-export.json"
    with monkeypatch.context() as patch:
        fail_reads(patch, mark.name, errno.EMFILE)
        with pytest.raises(DatasetError, match=r"\.uvgen-export\.json: cannot be read \(Too many open files\)"):
            import_maps(tmp_path / "files", tmp_path / "again", model=model)
    mark.write_text(mark.read_text().replace("labels", "other"))
    with pytest.raises(DatasetError, match="does not say its labels' convention, expected an export of this version"):
        import_maps(tmp_path / "files", tmp_path / "again", model=model)


def test_import_maps_of_an_export_with_other_labels_than_its_layout_s_is_refused(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    _, reader = built("exact")
    export_shards(reader.folder, tmp_path / "files", "reshow", convention="face3d")
    for options in (MapOptions(), MapOptions(layout="reshow")):
        with pytest.raises(InputError, match="was exported with face3d labels, expected reshow's own in its layout"):
            import_maps(tmp_path / "files", tmp_path / "out", model=model, options=options)
    export_shards(reader.folder, tmp_path / "own", "reshow")
    import_maps(tmp_path / "own", tmp_path / "out", model=model)
    np.testing.assert_allclose(open_shards(tmp_path / "out")[0]["landmarks"], reader[0]["landmarks"], atol=0.5)


@pytest.mark.slow
@pytest.mark.vital
def test_import_maps_of_face3ds_own_output_finds_its_convention_and_landmarks(
    tmp_path: Path, reference: Path, stand_in_model: MorphableModel
) -> None:
    for path in (reference / "golden").glob("[AHI]*_256.npz"):
        golden = np.load(path)
        stem = path.name.removesuffix("_256.npz")
        (tmp_path / "maps").mkdir(exist_ok=True)
        Image.fromarray(golden["crop"]).save(tmp_path / f"maps/{stem}.jpg", quality=95)
        np.save(tmp_path / f"maps/{stem}.npy", golden["posmap"] / np.float32(280))
    result = import_maps(
        tmp_path / "maps", tmp_path / "out", model=stand_in_model, options=MapOptions(originals=reference / "w300lp")
    )
    assert "values in px / 280, convention face3d" in result.warnings[0] and result.samples == 4
    for sample in open_shards(tmp_path / "out"):
        golden = np.load(reference / "golden" / f"{sample['name']}_256.npz")
        np.testing.assert_allclose(sample["posmap"], golden["posmap"], atol=1 / 128 + 1e-4)
        assert np.abs(sample["landmarks"][:, :2] - golden["landmarks_crop"][:, :2]).mean() < 0.1


def test_torch_data_set_of_imported_maps_mirrors_them(tmp_path: Path, model: MorphableModel, built: Built) -> None:
    torch = pytest.importorskip("torch")
    from uvgen.torch import ShardDataset

    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    import_maps(folder, tmp_path / "out", model=model, config=CONFIG)
    plain = ShardDataset(tmp_path / "out", normalize=None)
    mirrored = ShardDataset(tmp_path / "out", normalize=None, model=model, augmentation=Augmentation(flip=1.0))
    before, after = plain[0], mirrored[0]
    assert bool(after["flipped"]) and not torch.equal(before["posmap"], after["posmap"])
    x, moved = before["posmap"][0].numpy(), after["posmap"][0].numpy()
    np.testing.assert_allclose(np.sort(moved.ravel()), np.sort(SIZE - 1 - x.ravel()), atol=0.1)
    np.testing.assert_allclose(after["crop_pose"][1], -before["crop_pose"][1], atol=1e-5)


def test_import_maps_with_originals_of_other_faces_says_so(tmp_path: Path, model: MorphableModel, built: Built) -> None:
    tree, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    other = tmp_path / "other"
    shutil.copytree(tree, other)
    first, second = other / "AFW/AFW_000_1_0.mat", other / "IBUG/IBUG_000_1_0.mat"
    for path in (*other.glob("*/*1_1_0.*"),):
        path.unlink()
    first_bytes, second_bytes = first.read_bytes(), second.read_bytes()
    first.write_bytes(second_bytes), second.write_bytes(first_bytes)
    with pytest.raises(InputError, match=r"no scale or pixel convention gives the 2 crops .*labels .* px apart"):
        import_maps(folder, tmp_path / "out", model=model, options=MapOptions(originals=other))
    for path in other.glob("*/*.*"):
        path.rename(path.with_stem(f"x{path.stem}"))
    with pytest.raises(InputError, match="no sample of the maps' names can be compared"):
        import_maps(folder, tmp_path / "out", model=model, options=MapOptions(originals=other))


@pytest.mark.slow
def test_what_is_done_with_data_sets_is_done_with_imported_ones(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    out = tmp_path / "out"
    import_maps(folder, out, model=model, config=CONFIG)
    again = import_maps(folder, out, model=model, config=CONFIG)
    assert again.new_samples == 0
    with pytest.raises(DatasetError, match=r"maps_scale = 1\.0, now it is 255\.0"):
        import_maps(folder, out, model=model, config=CONFIG, options=MapOptions(scale="255"))
    with pytest.raises(InputError, match=r"maps_from: face3d, expected none: uvgen\.import_maps"):
        build_shards(None, tmp_path / "no", config=replace(CONFIG, maps_from="face3d"))
    assert describe_shards(out).samples == len(reader)
    render_preview(out, tmp_path / "page.png")
    write_report(out, tmp_path / "report")
    write_report(out, tmp_path / "report2", model=model)
    split_shards(out, {"train": 0.5, "val": 0.5})
    export_shards(out, tmp_path / "files", "npy")
    merge_shards([out], tmp_path / "merged")
    turned = Augmentation.preset("prnet")
    with pytest.raises(InputError, match=r"flip: .*maps of another program"):
        augment_shards(out, tmp_path / "flipped", Augmentation(flip=0.5), model=model)
    augment_shards(out, tmp_path / "augmented", turned, model=model)
    assert verify_shards(tmp_path / "augmented", model=model).problems == ()
    moved = open_shards(tmp_path / "augmented")[0]
    assert np.abs(moved["crop_pose"] - open_shards(out)[0]["crop_pose"]).max() > 0.01
    shard = next(out.glob("*.h5"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert verify_shards(out).problems
    with pytest.raises(InputError, match=r"made of another program's maps \(face3d\).*--maps-from"):
        repair_shards(out, model=model)


def test_verify_of_imported_maps_compares_the_landmarks_with_them(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    _, reader = built("face3d")
    folder, out = write_maps(tmp_path / "maps", reader, "face3d"), tmp_path / "out"
    import_maps(folder, out, model=model, config=replace(CONFIG, posmap_dtype="uint16"))
    path = sorted(out.glob("*.h5"))[0]
    with h5py.File(path, "r+") as file:
        file["landmarks"][0, 30] += 1

    def entry_fits(index: dict[str, Any]) -> None:
        (entry,) = (entry for entry in index["shards"] if entry["file"] == path.name)
        entry |= {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}

    edit_index(out, entry_fits)
    (problem,) = verify_shards(out).problems
    assert re.search(r"AFW_000_1_0: landmarks are off by 1\.0\d\d px from its map", problem) or "off by 0.99" in problem


def test_import_maps_reports_each_bad_sample_and_keeps_the_others(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    good = np.load(folder / "AFW/AFW_000_1_0.npy")
    picture = (folder / "AFW/AFW_000_1_0.png").read_bytes()
    bad = {
        "a_alone": None, "b_flat": np.full_like(good, 30), "c_text": b"no map", "d_shape": good[..., :2],
        "e_nan": np.where(good == good[0, 0, 0], np.nan, good), "f_small": good[::2, ::2], "g_far": good + 500,
        "h_upside": good[::-1].copy(), "i_objects": np.array([{}], object), "j_huge": np.where(good > 40, 1e4, good),
    }  # fmt: skip
    for name, content in bad.items():
        (folder / "AFW" / f"{name}.png").write_bytes(picture)
        if isinstance(content, bytes):
            (folder / "AFW" / f"{name}.npy").write_bytes(content)
        elif content is not None:
            np.save(folder / "AFW" / f"{name}.npy", content)
    np.save(folder / "AFW/k_no_image.npy", good)
    np.save(folder / "AFW/l_wide.npy", good)
    Image.fromarray(reader[0]["image"][:, :-4]).save(folder / "AFW/l_wide.png")
    result = import_maps(folder, tmp_path / "out", model=model)
    reasons = {skip.name.split("/")[1][0]: skip.reason for skip in result.skipped}
    expected = {
        "a": "a_alone.png: no position map beside it", "b": "show no face", "c": "c_text.npy: damaged .npy header",
        "d": "float32 64 × 64 × 2, expected a position map", "e": "e_nan.npy: holds NaN", "f": "32 texels per side",
        "g": "the face lies outside the crop of 64 px", "h": "show no face", "i": "object values",
        "j": "j_huge.npy", "k": "k_no_image.npy: no image beside it", "l": "l_wide.png: 60 × 64 px, expected 64 × 64",
    }  # fmt: skip
    assert set(reasons) == set(expected) and result.samples == len(reader)
    for key, text in expected.items():
        assert text in reasons[key], (key, reasons[key])
    with pytest.raises(SampleError):
        import_maps(folder, tmp_path / "strict", model=model, on_error="fail")


def test_find_maps_of_reshow_needs_its_mat(tmp_path: Path, built: Built) -> None:
    _, reader = built("exact")
    folder = write_maps(tmp_path / "maps", reader, "reshow")
    samples, layout = find_maps(folder)
    assert layout == "reshow" and samples[0].name == "AFW_000_1_0"
    sheared, infinite = np.diag([1e200, 1e-200, 1]), np.full((3, 3), np.inf)
    for content, message in (
        ({"Tform": np.eye(2)}, "no Tform of 3 × 3"),
        ({"Tform": np.zeros((3, 3))}, "scales by 0"),
        ({"Tform": sheared}, r"Tform holds 1e\+200, expected a crop's, below 1000"),
        ({"Tform": infinite}, "Tform holds inf"),
        ({"Tform": np.full((3, 3), np.nan)}, "Tform holds nan"),
    ):
        sio.savemat(folder / "AFW_000_1_0/AFW_000_1_0_bbox_info.mat", content)
        with pytest.raises(SampleError, match=f"AFW_000_1_0_bbox_info.mat: .*{message}"):
            read_map(samples[0], layout)
    (folder / "AFW_000_1_0/AFW_000_1_0_bbox_info.mat").unlink()
    with pytest.raises(SampleError, match=r"No such file.*expected reshow's Tform of AFW_000_1_0_crop"):
        read_map(samples[0], layout)


def test_import_maps_takes_a_sample_whose_mat_was_mended(tmp_path: Path, model: MorphableModel, built: Built) -> None:
    _, reader = built("exact")
    folder = write_maps(tmp_path / "maps", reader, "reshow")
    mat = folder / "AFW_000_1_0/AFW_000_1_0_bbox_info.mat"
    sound = mat.read_bytes()
    sio.savemat(mat, {"Tform": np.zeros((3, 3))})
    first = import_maps(folder, tmp_path / "out", model=model, config=CONFIG)
    assert [skip.name for skip in first.skipped] == ["AFW_000_1_0"]
    mat.write_bytes(sound)
    again = import_maps(folder, tmp_path / "out", model=model, config=CONFIG)
    assert not again.skipped and again.samples == len(reader)


def test_find_maps_of_two_layouts_leaves_none_out(tmp_path: Path, built: Built) -> None:
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    (folder / "one").mkdir()
    np.save(folder / "one/uv_posmap.npy", reader[0]["posmap"])
    with pytest.raises(DatasetError, match=r"as prnet_pytorch names them \(.*uv_posmap\.npy\) and 4 as face3d does"):
        find_maps(folder)
    assert len(find_maps(folder, "prnet_pytorch")[0]) == 1
    (folder / "one/uv_posmap.npy").rename(folder / "one/mask.npy")  # no image beside it: no sample of face3d's
    for path in (*folder.glob("*/*.png"),):
        path.rename(path.with_name(f"{path.stem}_cropped.png"))
    np.save(folder / "AFW/AFW_000_1_0_cropped_uv_posmap.npy", reader[0]["posmap"])
    assert find_maps(folder)[1] == "reshow"


def test_find_maps_of_face3d_takes_no_picture_of_a_map_and_no_weights_for_a_sample(
    tmp_path: Path, built: Built
) -> None:
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    names = [sample.name for sample in find_maps(folder)[0]]
    for path in (*folder.glob("*/*.png"),):
        for ending in ("_posmap.jpg", "_tex.jpg"):  # as 8_generate_posmap_300WLP.py writes them
            Image.new("RGB", (SIZE, SIZE)).save(path.with_name(path.stem + ending))
    np.save(folder / "weight_mask.npy", reader.constants["weight_mask"])
    samples, layout = find_maps(folder)
    assert layout == "face3d" and [sample.name for sample in samples] == names
    assert not any(sample.problem for sample in samples)
    (folder / "AFW/AFW_000_1_0.npy").rename(folder / "AFW/AFW_000_1_0_posmap.npy")  # a map makes it a crop
    named = {sample.name: sample.problem for sample in find_maps(folder)[0]}
    assert named["AFW/AFW_000_1_0_posmap"] == "" and "no position map" in named["AFW/AFW_000_1_0"]
    Image.new("RGB", (SIZE, SIZE)).save(folder / "weight_mask.png")
    assert "weight_mask" in {sample.name for sample in find_maps(folder)[0]}


def test_find_maps_of_prnet_pytorch_s_older_folders_takes_the_one_map(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    tree, reader = built("face3d")
    folder = tmp_path / "300WLP"
    for k, sample in enumerate(reader):
        place, stem = folder / str(k), sample["name"].rpartition("/")[2]
        place.mkdir(parents=True)
        Image.fromarray(sample["image"]).save(place / "original.png")
        Image.new("RGB", (SIZE, SIZE)).save(place / "uv_posmap.jpg")
        np.save(place / f"{stem}.npy", sample["posmap"])
    samples, layout = find_maps(folder)
    wanted = sorted(f"{k}/{name.rpartition('/')[2]}" for k, name in enumerate(reader.names))
    assert layout == "prnet_pytorch" and [sample.name for sample in samples] == wanted
    assert {sample.subset for sample in samples} == {"300WLP"}
    result = import_maps(folder, tmp_path / "out", model=model, options=MapOptions(originals=tree), config=CONFIG)
    assert not result.skipped and sorted(open_shards(tmp_path / "out").names) == wanted
    np.save(folder / "0/second.npy", reader[0]["posmap"])
    (folder / "1/AFW_001_1_0.npy").rename(folder / "1/original.npy")  # face3d's layout
    (folder / "2/original.png").unlink()
    problems = {sample.name: sample.problem for sample in find_maps(folder, "prnet_pytorch")[0]}
    assert [name for name in problems if not problems[name]] == wanted[3:]
    assert "no position map beside it" in problems["0"] and "no position map beside it" in problems["1"]
    assert "no image beside it" in problems[wanted[2]]
    (folder / "0/second.npy").rename(folder / "0/uv_posmap.npy")  # as newer folders have it
    problems = {sample.name: sample.problem for sample in find_maps(folder, "prnet_pytorch")[0]}
    assert [name for name in problems if not problems[name]] == ["0", *wanted[3:]]
    with pytest.raises(DatasetError, match=r"as prnet_pytorch names them .* and 1 as face3d does \(.*original\.npy"):
        find_maps(folder)


def test_a_further_array_in_a_folder_whose_map_is_missing_is_no_map(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    """Nor does a folder in it, of another crop, give it its name."""
    _, reader = built("face3d")
    folder = tmp_path / "maps"
    for k, sample in enumerate(reader):
        place = folder / ("id1/smile" if k == 3 else f"id{k}")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample["image"]).save(place / "original.png")
        np.save(place / "uv_posmap.npy", sample["posmap"])
        np.save(place / "kpt.npy", np.zeros((68, 3)))
    import_maps(folder, tmp_path / "out", model=model, config=CONFIG)
    before = file_hashes(tmp_path / "out")
    (folder / "id1/uv_posmap.npy").unlink()
    for _ in range(2):
        assert import_maps(folder, tmp_path / "out", model=model, config=CONFIG).new_samples == 0
        assert file_hashes(tmp_path / "out") == before
    assert {sample.name for sample in find_maps(folder)[0] if sample.problem} == {"id1"}


def test_import_maps_of_older_folders_goes_on_once_a_map_is_added_or_one_of_two_removed(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    """Samples are named by their maps' files, and by their folders without one."""
    _, reader = built("face3d")
    folder = tmp_path / "300WLP"
    for k, sample in enumerate(reader):
        (folder / str(k)).mkdir(parents=True)
        Image.fromarray(sample["image"]).save(folder / str(k) / "original.png")
        np.save(folder / str(k) / f"p{k}.npy", sample["posmap"])
    import_maps(folder, tmp_path / "whole", model=model, config=CONFIG)
    (folder / "0/p0.npy").rename(tmp_path / "away")
    np.save(folder / "1/second.npy", reader[0]["posmap"])
    assert len(import_maps(folder, tmp_path / "out", model=model, config=CONFIG).skipped) == 2
    (tmp_path / "away").rename(folder / "0/p0.npy")
    (folder / "1/second.npy").unlink()
    assert not import_maps(folder, tmp_path / "out", model=model, config=CONFIG).skipped
    assert file_hashes(tmp_path / "out") == file_hashes(tmp_path / "whole")
    (folder / "0/p0.npy").unlink()  # what is finished is kept
    np.save(folder / "1/second.npy", reader[0]["posmap"])
    result = import_maps(folder, tmp_path / "out", model=model, config=CONFIG, on_error="fail")
    assert result.new_samples == 0 and file_hashes(tmp_path / "out") == file_hashes(tmp_path / "whole")


def test_find_maps_takes_none_of_two_maps_of_a_name(tmp_path: Path, built: Built) -> None:
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "prnet_pytorch")
    np.save(folder / "AFW_000_1_0uv_posmap.npy", reader[1]["posmap"])  # a name before the ending, and a folder
    samples, layout = find_maps(folder)
    assert len(samples) == len(reader)
    assert re.search("AFW_000_1_0uv_posmap.npy.* expected one map", samples[0].problem)
    with pytest.raises(SampleError, match="expected one map"):
        read_map(samples[0], layout)


def test_find_maps_follows_links_to_folders_once(tmp_path: Path, built: Built) -> None:
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    here = {sample.name for sample in find_maps(folder)[0]}
    (folder / "AFW").rename(tmp_path / "elsewhere")
    (folder / "AFW").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    (folder / "up").symlink_to(tmp_path)
    (folder / "IBUG" / "self").symlink_to(folder / "IBUG")
    assert {sample.name for sample in find_maps(folder)[0]} == here


def test_import_maps_takes_the_size_that_most_crops_have(tmp_path: Path, model: MorphableModel, built: Built) -> None:
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    first = folder / "AFW/AFW_000_1_0.png"
    Image.open(first).resize((SIZE // 2, SIZE // 2)).save(first)
    result = import_maps(folder, tmp_path / "out", model=model, config=CONFIG)
    assert result.samples == len(reader) - 1 and open_shards(tmp_path / "out").config.build.size == SIZE
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_000_1_0"]


def test_import_maps_goes_on_with_the_size_that_it_began_with_though_crops_of_it_were_damaged(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    """The sizes of the first crops decide, of which fewer can be read now."""
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    small, *crops = sorted(folder.rglob("*.png"))
    Image.open(small).resize((SIZE // 2, SIZE // 2)).save(small)
    import_maps(folder, tmp_path / "out", model=model, config=CONFIG)
    whole = file_hashes(tmp_path / "out")
    for path in crops[1:]:
        path.write_bytes(b"damaged")
    assert not import_maps(folder, tmp_path / "out", model=model, config=CONFIG).new_samples
    assert file_hashes(tmp_path / "out") == whole
    for path in crops[1:]:  # of others, which could not be read when the set was begun, say
        path.write_bytes(small.read_bytes())
    assert not import_maps(folder, tmp_path / "out", model=model, config=CONFIG).new_samples
    assert file_hashes(tmp_path / "out") == whole


@pytest.mark.parametrize(
    ("factor", "message"), [(2, "the face lies outside the crop"), (0.1, "the face is far too sm")]
)
def test_import_maps_of_another_size_s_crops_is_refused(
    tmp_path: Path, model: MorphableModel, built: Built, factor: float, message: str
) -> None:
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d", 1 / factor)
    with pytest.raises(DatasetError, match=rf"none of 4 samples can be used; .*\.npy: {message}"):
        import_maps(folder, tmp_path / "out", model=model, config=CONFIG)


def test_import_maps_of_larger_crops_than_their_own_warns(tmp_path: Path, model: MorphableModel, built: Built) -> None:
    _, reader = built("face3d")
    result = import_maps(
        write_maps(tmp_path / "maps", reader, "face3d", 2), tmp_path / "out", model=model, config=CONFIG
    )
    assert re.search(r"first 4 maps lie at 2\d% of the crops' width and 2\d% of", result.warnings[0])


@pytest.mark.parametrize("named", [{"scale": "255"}, {"convention": "exact"}])
def test_import_maps_with_originals_that_contradict_what_is_named_is_refused(
    tmp_path: Path, model: MorphableModel, built: Built, named: dict[str, str]
) -> None:
    tree, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d", 280 if "scale" in named else 1)
    with pytest.raises(
        InputError, match=r"the maps hold values in px.*, convention face3d, as 4 crops show .*as given; omit"
    ):
        import_maps(folder, tmp_path / "out", model=model, options=MapOptions(originals=tree, **named), config=CONFIG)


def test_find_maps_without_any_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no position maps in it, expected NAME\.npy, uv_posmap\.npy"):
        find_maps(tmp_path)
    with pytest.raises(DatasetError, match="no such folder, expected a folder of position maps"):
        find_maps(tmp_path / "none")
    with pytest.raises(DatasetError, match=r"uv_posmap\.npy \(uvgen\)"):
        find_maps(tmp_path, "uvgen")


def test_lay_on_gives_back_the_pose_of_a_mean_face(model: MorphableModel) -> None:
    mean = model.mean[model.landmarks].astype(np.float64)
    pose = np.array([[0.2, -0.9, 0.4, 30, 20, -5, 4e-4]])
    affine = pose_to_image(pose, 64)[0]
    found, distance = lay_on(mean, mean @ affine[:, :3].T + affine[:, 3])
    np.testing.assert_allclose(found, affine, atol=1e-8)
    np.testing.assert_allclose(affine_to_pose(found[None], 64), pose, atol=1e-6)
    assert distance < 1e-8


def test_build_maps_from_on_the_command_line(tmp_path: Path, model: MorphableModel, built: Built) -> None:
    tree, reader = built("exact")
    folder = write_maps(tmp_path / "maps", reader, "face3d", 280)
    save_model(model, tmp_path / "m.h5")
    command = ["build", "--maps-from", str(folder), "--model", str(tmp_path / "m.h5"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*command, "--data", str(tree), "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert "values in px / 280, convention exact" in done.output
    for more, message in (
        (["--size", "32"], "--size does not go with --maps-from"),
        (["--augment", "prnet"], "--augment does"),
    ):
        done = CliRunner().invoke(main, [*command, *more])
        assert done.exit_code == 2 and message in done.output
    done = CliRunner().invoke(main, ["build", "--maps-from", str(folder), "--out", str(tmp_path / "o")])
    assert done.exit_code == 2 and "missing --model" in done.output
    done = CliRunner().invoke(main, ["build", "--maps-scale", "255", "--out", str(tmp_path / "o")])
    assert done.exit_code == 2 and "goes with --maps-from" in done.output


@pytest.mark.parametrize("values", [np.zeros((0, 0, 3)), np.full((8, 8, 3), 3e38, "f4"), np.full((8, 8, 3), -1e7)])
def test_read_map_of_no_texels_or_huge_values_is_refused(tmp_path: Path, values: Any) -> None:
    np.save(tmp_path / "a.npy", values)
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    (sample,), layout = find_maps(tmp_path)
    with pytest.raises(SampleError, match=r"a\.npy: .*expected (a position map|px of the crop)"):
        read_map(sample, layout)


def test_read_map_of_reshow_refuses_what_is_too_far_after_its_shift(tmp_path: Path, built: Built) -> None:
    _, reader = built("exact")
    folder = write_maps(tmp_path / "maps", reader, "reshow")
    position_map = np.load(folder / "AFW_000_1_0/AFW_000_1_0_cropped_uv_posmap.npy")
    position_map[0, 0, 0] = -1e6
    np.save(folder / "AFW_000_1_0/AFW_000_1_0_cropped_uv_posmap.npy", position_map)
    with pytest.raises(SampleError, match=r"values of -1e\+06 to .*, expected px of the crop"):
        read_map(find_maps(folder)[0][0], "reshow")


@pytest.mark.slow
def test_samples_that_are_held_one_by_one_are_the_same_as_many_at_once(
    tmp_path: Path, model: MorphableModel, built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, reader = built("exact")
    maps, config = write_maps(tmp_path / "maps", reader, "face3d"), replace(CONFIG, shard_size=4)
    made: dict[str, list[dict[str, Any]]] = {}
    for held in (writer._HELD_BYTES, 1):
        monkeypatch.setattr(writer, "_HELD_BYTES", held)
        out = {name: tmp_path / f"{name} {held}" for name in ("build", "import", "merge", "augment")}
        build_shards(tree, out["build"], model=model, config=config)
        import_maps(maps, out["import"], model=model, config=config)
        merge_shards(out["build"], out["merge"])
        augment_shards(out["build"], out["augment"], Augmentation(rotation_deg=(-20, 20)))
        for name, folder in out.items():
            found = [*open_shards(folder)]
            for one, other in zip(found, made.setdefault(name, found), strict=True):
                for field, value in one.items():
                    np.testing.assert_array_equal(value, other[field], err_msg=f"{name}, {field}")


def test_held_at_once_is_fewer_of_large_samples() -> None:
    image = {"image": Field("uint8", (4096, 4096, 3), chunked=True), "pose": Field("float32", (7,))}
    assert writer.held_at_once(image, 32) == 10
    assert writer.held_at_once({**image, "posmap": Field("float32", (4096, 4096, 3), chunked=True)}, 32) == 2
    usual = {"image": Field("uint8", (1024, 1024, 3), chunked=True)}
    assert writer.held_at_once({**usual, "posmap": Field("float32", (1024, 1024, 3), chunked=True)}, 32) == 32
    assert writer.held_at_once({"posmap": Field("float32", (20000, 20000, 3), chunked=True)}, 32) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names of any bytes")
def test_import_maps_names_a_skipped_file_whose_name_is_no_text(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    _, reader = built("exact")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    for name in (b"bad\xff\n\x1b[31m", b"alone\xfe"):
        shutil.copy(next(folder.rglob("*.png")), os.fsencode(folder) + b"/" + name + b".png")
    (folder / os.fsdecode(b"bad\xff\n\x1b[31m.npy")).write_bytes(b"no map")
    result = import_maps(folder, tmp_path / "out", model=model, config=CONFIG)
    reasons = {skip.name: skip.reason for skip in result.skipped}
    assert sorted(reasons) == [r"alone\xfe", r"bad\xff\n\x1b[31m"]
    assert r"bad\xff\n\x1b[31m.npy: damaged .npy header" in reasons[r"bad\xff\n\x1b[31m"]
    assert import_maps(folder, tmp_path / "out", model=model, config=CONFIG).new_samples == 0
    assert verify_shards(tmp_path / "out").sound


def test_import_maps_of_crops_of_no_usable_size_names_the_file(tmp_path: Path, model: MorphableModel) -> None:
    np.save(tmp_path / "a.npy", np.full((8, 8, 3), 9.0))
    for size, message in (
        (8, r"a\.png: 8 px per side, expected 16 to 4096"),
        (64, r"a\.npy: 8 texels per side, expected 16"),
    ):
        Image.new("RGB", (size, size)).save(tmp_path / "a.png")
        with pytest.raises(DatasetError, match=f"the only crop cannot be used: .*{message}"):
            import_maps(tmp_path, tmp_path / "out", model=model)


def test_import_maps_with_a_mark_of_reshow_in_another_layout_says_so(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    folder = write_maps(tmp_path / "maps", built("exact")[1], "face3d")
    (folder / EXPORT_MARK).write_text('{"labels": "reshow"}')
    with pytest.raises(DatasetError, match=r"states labels of reshow, expected its layout of files, they are face3d's"):
        import_maps(folder, tmp_path / "out", model=model, config=CONFIG)
    assert import_maps(
        folder, tmp_path / "out", model=model, config=CONFIG, options=MapOptions(convention="exact")
    ).samples


def test_import_maps_of_another_folder_whose_files_are_called_alike_is_refused(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    reader = built("exact")[1]
    for folder, step in (("one", 0.0), ("two", 2.0)):
        maps = write_maps(tmp_path / folder, reader, "face3d")
        for path in maps.rglob("*.npy"):
            np.save(path, np.load(path) + np.float32([step, 0, 0]))
    options: dict[str, Any] = {"model": model, "options": MapOptions(layout="face3d", convention="exact")}
    result = import_maps(tmp_path / "one", tmp_path / "shards", **options)
    before = file_hashes(tmp_path / "shards")
    with pytest.raises(SettingsError, match=r"other values of landmarks than .*two/.*\.npy: it is of another"):
        import_maps(tmp_path / "two", tmp_path / "shards", **options)
    assert file_hashes(tmp_path / "shards") == before
    assert import_maps(tmp_path / "one", tmp_path / "shards", **options).new_samples == 0
    assert import_maps(tmp_path / "two", tmp_path / "shards", overwrite=True, **options).samples == result.samples


def test_import_maps_finds_the_convention_of_an_export_that_lies_around_in_or_behind_the_folder(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    folder = write_maps(tmp_path / "all" / "maps", built("exact")[1], "face3d")
    (folder / EXPORT_MARK).write_text('{"labels": "exact"}')
    inner = next(folder.rglob("*.npy")).parent
    deeper = shutil.copytree(inner, inner / "a" / "b")
    link = tmp_path / "link"
    link.symlink_to(deeper)
    for k, root in enumerate((folder, tmp_path / "all", deeper, link)):
        import_maps(root, tmp_path / f"out{k}", model=model, config=CONFIG)
        assert open_shards(tmp_path / f"out{k}").config.build.convention == "exact", root


def test_import_maps_of_folders_of_several_conventions_says_so(
    tmp_path: Path, model: MorphableModel, built: Built
) -> None:
    for name, labels in (("one", "exact"), ("two", "face3d")):
        folder = write_maps(tmp_path / "all" / name, built("exact")[1], "face3d")
        (folder / EXPORT_MARK).write_text(f'{{"labels": "{labels}"}}')
    with pytest.raises(DatasetError, match=r"with exact labels\) and .*with face3d labels\), expected labels"):
        import_maps(tmp_path / "all", tmp_path / "out", model=model, config=CONFIG)
    (tmp_path / "all" / "two" / EXPORT_MARK).unlink()
    with pytest.raises(DatasetError, match=r"of no export\), expected labels of one convention; name it"):
        import_maps(tmp_path / "all", tmp_path / "out", model=model, config=CONFIG)
    named = MapOptions(convention="exact")
    assert import_maps(tmp_path / "all", tmp_path / "out", model=model, config=CONFIG, options=named).samples


def test_map_of_a_face_that_looks_away_is_refused(tmp_path: Path, model: MorphableModel, built: Built) -> None:
    """Mirrored, and z away from the viewer: no mirror image, which does not fit, but a face from behind."""
    _, reader = built("face3d")
    folder = write_maps(tmp_path / "maps", reader, "face3d")
    name = reader.names[int(np.abs(reader.column("crop_pose")[:, 1]).argmin())]
    path = folder / f"{name}.npy"
    away = np.load(path) * [-1, 1, -1] + [SIZE - 1, 0, 0]
    np.save(path, away.astype(np.float32))
    (skip,) = import_maps(folder, tmp_path / "out", model=model).skipped
    assert (
        skip.name == name and f"{path.name}: its face is turned 1" in skip.reason and "° from the viewer" in skip.reason
    )


def test_maps_with_the_photograph_beside_them_are_no_older_folders(tmp_path: Path) -> None:
    """The image of a map's own name is its crop, not the photograph that was kept beside it."""
    for name in ("p1/p1.jpg", "p1/p1.npy", "p1/original.jpg", "p1/p1_posmap.jpg", "p1/p2.jpg", "p1/p2_posmap.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    samples, layout = find_maps(tmp_path)
    assert layout == "face3d"
    usable = [(one.name, one.image and one.image.name) for one in samples if not one.problem]
    assert usable == [("p1/p1", "p1.jpg")]
    assert [one.name for one in samples if one.problem] == ["p1/original", "p1/p2"]  # pictures for show are none
