"""The command `uvgen augment`."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.builds import SMALL, by_name, edit_index, file_hashes, have, make, start
from support.toy import MIRROR_PX, toy_model, write_sample, write_tree

from uvgen import open_shards, verify_shards
from uvgen.augment import Augmentation, AugmentationDraw, apply
from uvgen.datasets.augmented import augment_shards, plan_copies
from uvgen.maps.mirror import TexelMirror
from uvgen.models.model_file import save_model
from uvgen.models.morphable import make_model
from uvgen.shards.index import ShardEntry
from uvgen.storage.files import sha256_file, temporary_name

EVERYTHING = {
    "flip": 0.5, "occlusion": 1, "occluder_fills": ["noise", "color", "image"], "hue_deg": [-10, 10], "blur": [0, 1],
    "noise": [0, 5], "jpeg": [60, 90],
}  # fmt: skip
ONE_LINE = r"uvgen: [^\n]*\n"


BOTH_KINDS_OF_MAPS = pytest.mark.parametrize("shards", ["uint16", "float32"], indirect=True)
FLOATS = [pytest.mark.slow, pytest.mark.long]
CODES_IN_CI = pytest.mark.parametrize("shards", ["uint16", pytest.param("float32", marks=FLOATS)], indirect=True)


@pytest.fixture(scope="module")
def shards(request: pytest.FixtureRequest, model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    make(
        write_tree(folder / "300W_LP"),
        model_path,
        folder / "shards",
        dataclasses.replace(SMALL, posmap_dtype=getattr(request, "param", "uint16")),
    )
    return folder / "shards"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "augmentation.json"
    path.write_text(json.dumps(EVERYTHING))
    return path


@pytest.fixture
def run(uvgen: Any, shards: Path, model_path: Path, config: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs the command with everything switched on; later options win."""

    def run(*options: object) -> Any:
        return uvgen("augment", shards, "--out", tmp_path / "out", "--model", model_path, "--config", config,
                     "--workers", 1, *options)  # fmt: skip

    return run


# What it is for


@CODES_IN_CI
def test_augment_makes_a_sound_data_set(run, uvgen, shards, model_path, tmp_path) -> None:
    result = run("--copies", 3)
    assert result.exit_code == 0, result.output
    assert re.search(r"out: 27 samples, 0 skipped, \d+\.\d MB; this run 27 samples in", result.stdout)
    verified = uvgen("verify", tmp_path / "out", "--model", model_path)
    assert verified.exit_code == 0, verified.output
    assert "maps agree with their parameters" in verified.stdout
    reader = open_shards(tmp_path / "out")
    assert sorted(reader.names) == sorted(f"{name}-{k}" for name in open_shards(shards).names for k in range(3))
    assert len({sample["flipped"].item() for sample in reader}) == 2


@CODES_IN_CI
def test_augment_stores_what_a_training_loop_would_get(run, shards, model, tmp_path) -> None:
    assert run("--copies", 2, "--seed", 7).exit_code == 0
    augmentation = Augmentation.from_json(json.dumps(EVERYTHING), Augmentation.preset("prnet"))
    mirror = TexelMirror.of_model(model, SMALL.uv_size)
    before, after = by_name(shards), by_name(tmp_path / "out")
    rounding = 2.5 * SMALL.size / 2**14
    n_compared = 0
    for name, sample in before.items():
        for copy in range(2):
            stored = after[f"{name}-{copy}"]
            draw = AugmentationDraw.from_json(stored["augmentation"])
            assert draw == augmentation.draw(7, name, copy, SMALL.size)
            if not draw.needs_other:
                n_compared += 1
                expected = apply(draw, sample["image"], sample["posmap"], sample["landmarks"], mirror=mirror)
                np.testing.assert_array_equal(stored["image"], expected.image)
                atol = rounding + (MIRROR_PX * draw.scale if draw.flip else 0)  # a map is blended, a copy's made anew
                np.testing.assert_allclose(stored["posmap"], expected.position_map, atol=atol)
                np.testing.assert_allclose(stored["landmarks"], expected.landmarks, atol=1e-5)
            np.testing.assert_allclose(stored["image_to_crop"], draw.similarity @ sample["image_to_crop"])
            for key in ("pose", "shape", "expression", "image_height", "source"):
                np.testing.assert_array_equal(stored[key], sample[key])
    assert n_compared > 4


@CODES_IN_CI
def test_augment_that_skips_some_copies_keeps_the_others_whole(shards, model, tmp_path) -> None:
    wild = Augmentation(rotation_deg=(-180, 180), scale=(1, 6))
    result = augment_shards(shards, tmp_path / "out", wild, copies=4)
    codes = open_shards(shards).config.build.posmap_dtype == "uint16"  # floats reach everywhere
    assert 5 < result.samples < 31 if codes else result.samples == 36
    assert result.samples + len(result.skipped) == 36
    assert verify_shards(tmp_path / "out", model=model).problems == ()
    before = by_name(shards)
    skipped = {skip.name for skip in result.skipped}
    for name, stored in by_name(tmp_path / "out").items():
        source, copy = name.rsplit("-", 1)
        assert name not in skipped
        draw = wild.draw(0, source, int(copy), SMALL.size)
        expected = apply(draw, before[source]["image"], before[source]["posmap"], before[source]["landmarks"])
        np.testing.assert_array_equal(stored["image"], expected.image)
        np.testing.assert_allclose(stored["image_to_crop"], draw.similarity @ before[source]["image_to_crop"])
        np.testing.assert_array_equal(stored["shape"], before[source]["shape"])


def test_augment_states_how_far_codes_are_rounded(model_path, model, tmp_path) -> None:
    have(write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "in", dataclasses.replace(SMALL, size=256))
    augment_shards(tmp_path / "in", tmp_path / "out", Augmentation(rotation_deg=(30, 60), scale=(1.2, 1.2)))
    assert (
        verify_shards(tmp_path / "out", model=model).problems == ()
    )  # at 256 a code is 1/64 px: more than parameters' rounding


def test_augment_image_occluders_show_any_sample_of_the_shard(model_path, tmp_path) -> None:
    for k in range(50):
        write_sample(tmp_path / "300W_LP/IBUG", f"IBUG_{k:03d}", seed=k)
    have(tmp_path / "300W_LP", model_path, tmp_path / "in", dataclasses.replace(SMALL, shard_size=64))
    shows = Augmentation(occlusion=1, occluder_size=(1, 1), occluder_shapes=("rectangle",), occluder_fills=("image",))
    augment_shards(tmp_path / "in", tmp_path / "out", shows)
    before = list(open_shards(tmp_path / "in"))
    shown = []
    for k, (sample, after) in enumerate(zip(before, open_shards(tmp_path / "out"), strict=True)):
        draw = shows.draw(0, sample["name"], 0, SMALL.size)
        shown.append(draw.other_sample(k, 50))
        other = before[shown[-1]]["image"]
        np.testing.assert_array_equal(after["image"], apply(draw, sample["image"], other=other).image)
    assert all(k != number for k, number in enumerate(shown)) and len(set(shown)) > 20


def test_augment_of_jpeg_crops_keeps_their_quality(model_path, tmp_path) -> None:
    sizes = []
    for quality in (20, 95):
        config = dataclasses.replace(SMALL, size=64, image_codec="jpeg", jpeg_quality=quality, maps="none")
        have(write_tree(tmp_path / f"tree{quality}"), model_path, tmp_path / f"in{quality}", config)
        augment_shards(tmp_path / f"in{quality}", tmp_path / f"out{quality}", Augmentation(rotation_deg=(10, 20)))
        with h5py.File(tmp_path / f"out{quality}/AFW-00000.h5") as file:
            sizes.append(len(file["image_data"]))
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.slow
def test_augment_of_shards_without_maps_leaves_maps_to_the_reader(uvgen, model, model_path, config, tmp_path) -> None:
    small = dataclasses.replace(SMALL, maps="none", image_codec="jpeg", jpeg_quality=100)
    have(write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "shards", small)
    config.write_text('{"flip": 0.5}')
    result = uvgen("augment", tmp_path / "shards", "--out", tmp_path / "out", "--model", model_path,
                   "--config", config, "--workers", 1)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert uvgen("verify", tmp_path / "out", "--model", model_path).exit_code == 0
    mirror = TexelMirror.of_model(model, SMALL.uv_size)
    before, after = (list(open_shards(tmp_path / name, model=model)) for name in ("shards", "out"))
    assert len({sample["flipped"].item() for sample in after}) == 2
    for sample, moved in zip(before, after, strict=True):
        draw = AugmentationDraw.from_json(moved["augmentation"])
        expected = apply(draw, sample["image"], sample["posmap"], sample["landmarks"], mirror=mirror)
        atol = 1e-3 + (MIRROR_PX * draw.scale if draw.flip else 0)
        np.testing.assert_allclose(moved["posmap"], expected.position_map, atol=atol)
        assert np.abs(moved["image"].astype(int) - expected.image).mean() < 3  # JPEG once more
    stacked = open_shards(tmp_path / "out", model=model)[:]
    np.testing.assert_array_equal(stacked["posmap"][3], after[3]["posmap"])


@pytest.mark.slow
@pytest.mark.vital
def test_augment_with_workers_or_after_an_interruption_gives_the_same_bytes(run, tmp_path) -> None:
    assert run("--copies", 2).exit_code == 0
    whole = file_hashes(tmp_path / "out")
    assert run("--copies", 2, "--workers", 2, "--out", tmp_path / "two").exit_code == 0
    assert file_hashes(tmp_path / "two") == whole
    (tmp_path / "two" / "IBUG-00001.h5").unlink()
    (tmp_path / "two" / temporary_name("IBUG-00001.h5")).write_bytes(b"half")
    again = run("--copies", 2, "--out", tmp_path / "two")
    assert again.exit_code == 0 and "this run 2 samples" in again.stdout
    assert file_hashes(tmp_path / "two") == whole


def test_augment_without_flips_needs_no_model(uvgen, shards, model_path, tmp_path) -> None:
    assert uvgen("augment", shards, "--out", tmp_path / "out", "--workers", 1, "--quiet").exit_code == 0
    assert uvgen("verify", tmp_path / "out", "--model", model_path).exit_code == 0
    assert not any(sample["flipped"] for sample in open_shards(tmp_path / "out"))


@BOTH_KINDS_OF_MAPS
def test_augment_with_preset_none_copies_the_samples(uvgen, shards, tmp_path) -> None:
    assert uvgen("augment", shards, "--out", tmp_path / "out", "--preset", "none", "--workers", 1).exit_code == 0
    after = by_name(tmp_path / "out", "image", "posmap", "landmarks", "image_to_crop")
    for name, sample in by_name(shards, "image", "posmap", "landmarks", "image_to_crop").items():
        for key, value in sample.items():
            np.testing.assert_allclose(after[f"{name}-0"][key], value, atol=1e-5, err_msg=key)


@pytest.mark.slow
def test_augment_as_a_process_exits_0(shards, tmp_path) -> None:
    process = start("augment", shards, "--out", tmp_path / "out", "--workers", 2, "--quiet")
    assert process.communicate() == ("", "")
    assert process.returncode == 0


def test_plan_copies_numbers_within_each_subset() -> None:
    entries = [
        ShardEntry(file, n, 1, "0" if n else None)
        for file, n in (("A-00000.h5", 2), ("A-00001.h5", 0), ("B_Flip-00000.h5", 1))
    ]
    planned = [(task.file, task.source.file, task.copy) for task in plan_copies(entries, 2)]
    assert planned == [
        ("A-00000.h5", "A-00000.h5", 0), ("A-00001.h5", "A-00000.h5", 1),
        ("B_Flip-00000.h5", "B_Flip-00000.h5", 0), ("B_Flip-00001.h5", "B_Flip-00000.h5", 1),
    ]  # fmt: skip


# What verify finds


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("flipped", lambda values: ~values, "its augmentation says otherwise"),
        ("augmentation", lambda values: np.array([b"{}"] * len(values), values.dtype), "not a draw"),
        ("image_to_crop", lambda values: values * [[1, 1, 1.2], [1, 1, 1], [1, 1, 1]], "map is off by"),
    ],
)
def test_verify_of_a_tampered_augmentation_says_so(run, uvgen, model_path, tmp_path, field, change, message) -> None:
    assert run().exit_code == 0
    shard = tmp_path / "out" / "AFW-00000.h5"
    with h5py.File(shard, "r+") as file:
        file[field][...] = change(file[field][()])

    def fix(content: dict[str, Any]) -> None:
        entry = next(e for e in content["shards"] if e["file"] == shard.name)
        entry["sha256"], entry["size_bytes"] = sha256_file(shard), shard.stat().st_size

    edit_index(tmp_path / "out", fix)
    result = uvgen("verify", tmp_path / "out", "--model", model_path)
    assert result.exit_code == 1
    assert message in result.stderr


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--preset", "reshow"), "--preset: reshow, expected one of none, prnet"),
        (("--copies", 0), "--copies: 0, expected a whole number from 1 to 10000"),
        (("--workers", 0), "--workers: 0, expected a whole number of 1 or more"),
        (("--quiet", "--verbose"), "exclude each other"),
    ],
)
def test_augment_with_wrong_usage_exits_2(run, tmp_path, options, message) -> None:
    result = run(*options)
    assert result.exit_code == 2 and message in result.stderr
    assert not (tmp_path / "out").exists()


def test_augment_that_flips_without_model_exits_2(uvgen, shards, config, tmp_path) -> None:
    result = uvgen("augment", shards, "--out", tmp_path / "out", "--config", config)
    assert result.exit_code == 2 and "missing --model: flips exchange texels" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"rotation_deg": [45, -45]}', r"augmentation.json: augmentation: rotation_deg = \(45, -45\)"),
        ("nothing", "augmentation.json: augmentation: not JSON"),
        ("\udcff", "augmentation.json: "),
    ],
)
def test_augment_with_a_bad_config_fails_in_one_line(run, config, tmp_path, text, message) -> None:
    config.write_bytes(text.encode("utf-8", "surrogateescape"))
    result = run()
    assert result.exit_code == 1 and re.fullmatch(ONE_LINE, result.stderr) and re.search(message, result.stderr)
    assert not (tmp_path / "out").exists()


def test_augment_with_another_model_fails_in_one_line(run, tmp_path) -> None:
    model = toy_model()
    arrays = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    save_model(make_model(source="x", **{**arrays, "mean": model.mean + 1}), tmp_path / "other.h5")
    result = run("--model", tmp_path / "other.h5")
    assert result.exit_code == 1 and "other.h5: not the model of" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "cut short or changed"),
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(b"x" * path.stat().st_size), "its SHA-256 is not the one"),
    ],
)
def test_augment_of_a_damaged_shard_fails_in_one_line(run, uvgen, shards, tmp_path, damage, message) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "copy"))
    damage(copy / "AFW-00000.h5")
    result = uvgen("augment", copy, "--out", tmp_path / "out", "--workers", 1, "--quiet")
    assert result.exit_code == 1 and re.fullmatch(ONE_LINE, result.stderr)
    assert "AFW-00000.h5: " in result.stderr and message in result.stderr
    assert not list((tmp_path / "out").glob("*.h5"))


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_augment_of_a_changed_sample_is_refused(uvgen, model_path, tmp_path, codec) -> None:
    config = dataclasses.replace(SMALL, image_codec=codec)
    have(write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "in", config)
    path = tmp_path / "in/AFW-00000.h5"
    with h5py.File(path) as file:
        place = file["image" if codec == "raw" else "posmap"].id.get_chunk_info(0).byte_offset
    with open(path, "r+b") as raw:
        raw.seek(place + 100)
        raw.write(b"xyz")
    result = uvgen("augment", tmp_path / "in", "--out", tmp_path / "out", "--workers", 1, "--quiet")
    assert result.exit_code == 1 and re.fullmatch(ONE_LINE, result.stderr)
    assert f"{path}: its SHA-256 is not the one in the index: damaged or changed" in result.stderr
    assert not (tmp_path / "out" / path.name).exists()


def test_augment_of_an_unfinished_set_is_refused(uvgen, shards, tmp_path) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "copy"))
    (copy / "AFW-00001.h5").unlink()
    edit_index(copy, lambda index: index.update(
        shards=[e for e in index["shards"] if e["file"] != "AFW-00001.h5"], n_samples=index["n_samples"] - 1
    ))  # fmt: skip
    result = uvgen("augment", copy, "--out", tmp_path / "out")
    assert result.exit_code == 1 and re.fullmatch(ONE_LINE, result.stderr)
    assert "copy: unfinished, 1 sample is missing; run the `uvgen build` again" in result.stderr
    assert not (tmp_path / "out").exists()


def test_augment_takes_the_index_for_its_folder_and_no_other_file(uvgen, shards, tmp_path) -> None:
    assert uvgen("augment", shards / "dataset.json", "--out", tmp_path / "out", "--workers", 1).exit_code == 0
    result = uvgen("augment", shards / "AFW-00000.h5", "--out", tmp_path / "no")
    assert result.exit_code == 1
    assert "AFW-00000.h5: a shard of a data set; give the folder" in result.stderr


def test_augment_of_no_data_set_itself_or_an_augmented_one_fails(run, uvgen, shards, tmp_path) -> None:
    for arguments, message in (
        ((tmp_path, "--out", tmp_path / "new"), "dataset.json: no such file"),
        ((shards, "--out", shards), "is the source, expected another folder for the copies"),
    ):
        result = uvgen("augment", *arguments)
        assert result.exit_code == 1 and message in result.stderr
    assert run().exit_code == 0
    result = uvgen("augment", tmp_path / "out", "--out", tmp_path / "new")
    assert result.exit_code == 1 and "is augmented already" in result.stderr


def test_augment_into_another_augmentation_is_refused_until_overwrite(run, tmp_path) -> None:
    assert run().exit_code == 0
    before = file_hashes(tmp_path / "out")
    refused = run("--seed", 1)
    assert refused.exit_code == 1 and "augmentation_seed = 0, now it is 1" in refused.stderr
    assert file_hashes(tmp_path / "out") == before
    assert run("--seed", 1, "--overwrite").exit_code == 0
    assert file_hashes(tmp_path / "out") != before


@BOTH_KINDS_OF_MAPS
def test_augment_skips_maps_that_leave_uint16_and_exits_3(run, shards, config, tmp_path) -> None:
    config.write_text('{"translation": [0, 1], "scale": [1, 3]}')
    result = run()
    with h5py.File(shards / "AFW-00000.h5") as file:
        is_fixed = file["posmap"].dtype == np.uint16
    if not is_fixed:  # float32 maps have no range
        assert result.exit_code == 0
        return
    assert result.exit_code == 3
    assert re.search(r"skipped \w+/\w+-0: an augmented map leaves -48 to 80 px", result.stderr)
    failed = run("--on-error", "fail", "--out", tmp_path / "failed")
    assert failed.exit_code == 1 and re.search(r"^uvgen: \w+/\w+-0: an augmented map", failed.stderr, re.MULTILINE)


def test_augment_help_groups_its_options(uvgen) -> None:
    output = uvgen("augment", "--help").output
    places = [
        output.index(text)
        for text in ("What is done:", "--preset [", "What comes out:", "--copies K  ", "How it runs:")
    ]
    assert places == sorted(places)
    assert "\n  SHARDS" not in output


def test_augment_of_a_source_without_its_constants_is_refused(uvgen, shards, tmp_path) -> None:
    shutil.copytree(shards, tmp_path / "in")
    (tmp_path / "in/constants.npz").write_bytes(b"damaged")
    result = uvgen("augment", tmp_path / "in", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "constants.npz: changed; run `uvgen verify --repair" in result.stderr
    (tmp_path / "in/constants.npz").unlink()
    result = uvgen("augment", tmp_path / "in", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "constants.npz: missing; run `uvgen verify --repair" in result.stderr
    assert not (tmp_path / "out").exists()
    result = uvgen("preview", tmp_path / "in", "--out", tmp_path / "a.png")
    assert result.exit_code == 1 and "constants.npz: missing" in result.stderr


def test_augment_into_its_source_under_another_name_is_refused(uvgen, shards, tmp_path) -> None:
    shutil.copytree(shards, tmp_path / "in")
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    before = file_hashes(tmp_path / "in")
    for out in (tmp_path / "alias", tmp_path / "in/../in"):
        result = uvgen("augment", tmp_path / "in", "--out", out, "--overwrite")
        assert result.exit_code == 1 and "is the source" in result.stderr
    assert file_hashes(tmp_path / "in") == before
