"""Reports: what is in their files, which samples come first, and that they are whole or not there."""

import dataclasses
import errno
import html
import os
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io as sio
from support.builds import SMALL, have
from support.folders import contents_below
from support.reports import BIGGER, WEIRD, picture, rows, script_arguments
from support.toy import write_sample, write_tree

from uvgen import ReportOptions, RunOptions, describe_shards, load_model, merge_shards, open_shards, write_report
from uvgen.datasets.augmented import augment_shards
from uvgen.errors import BusyError, DatasetError, InputError, ModelError, OutputError, SettingsError
from uvgen.jobs.run import results
from uvgen.report import write as write_module
from uvgen.report.folder import check_report_folder
from uvgen.report.pictures import PER_FILE, THUMB, sample_file, thumbs_file
from uvgen.report.table import BIT
from uvgen.storage.drafts import beside, draft_of
from uvgen.storage.locks import exclusive


@pytest.fixture(scope="module")
def shards(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", BIGGER)
    return folder / "shards"


@pytest.fixture(scope="module")
def report(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "report"
    write_report(shards, out, options=ReportOptions(worst=4))
    return out


def text_of(report: Path) -> str:
    return html.unescape((report / "index.html").read_text(encoding="utf-8"))


def move(mat: Path, px: float) -> None:
    """Shift a sample's parameters away from its `pt2d`."""
    content = {key: value for key, value in sio.loadmat(mat).items() if not key.startswith("__")}
    content["Pose_Para"][0, 3] += px
    sio.savemat(mat, content)


def test_report_lists_all_samples_worst_first(shards: Path, report: Path) -> None:
    reader, found = open_shards(shards), rows(report)
    nme = dict(zip(reader.names, reader.column("label_nme"), strict=True))
    assert sorted(found["names"]) == sorted(reader.names)
    np.testing.assert_array_equal(found["nme"], [nme[name] for name in found["names"]])
    assert (np.diff(found["nme"]) <= 0).all()
    np.testing.assert_array_equal(found["picture"], [0, 1, 2, 3, *[-1] * 5])


@pytest.mark.slow
def test_report_puts_corrupted_labels_first(model_path: Path, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "300W_LP", 8)
    bad = {"AFW/AFW_003_1_0": 9.0, "IBUG/IBUG_000_1_0": -14.0, "IBUG_Flip/IBUG_007_1_0": 6.0}
    for name, px in bad.items():
        move(tree / f"{name}.mat", px)
    have(tree, model_path, tmp_path / "shards", BIGGER)
    write_report(tmp_path / "shards", tmp_path / "report", options=ReportOptions(worst=0))
    found = rows(tmp_path / "report")
    assert set(found["names"][:3]) == set(bad)
    assert (found["flags"][:3] & BIT["far"]).all() and not (found["flags"][3:] & BIT["far"]).any()


def test_report_page_holds_the_sample(shards: Path, report: Path) -> None:
    found = rows(report)
    number, content = script_arguments(report / sample_file(2))
    name = found["names"][2]
    reader = open_shards(shards)
    sample = reader[reader.names.index(name)]
    assert (number, content["name"], content["source"]) == (2, name, sample["source"])
    np.testing.assert_allclose(content["landmarks"], sample["landmarks"][:, :2], atol=0.006)  # two decimals
    np.testing.assert_allclose(content["annotated"], sample["annotated_landmarks"][:, :2], atol=0.006)
    crop = picture(content["crop"])
    assert crop.shape == sample["image"].shape
    assert np.abs(crop.astype(int) - sample["image"]).mean() < 12  # a JPEG of blurred noise
    assert set(content["panels"]) == {"dense", "map", "texture"} and content["problems"] == []
    assert ["label NME of the jaw", f"{sample['label_nme_jaw']:.2%}"] in content["numbers"]


def test_report_mesh_lies_where_the_map_does(shards: Path, report: Path) -> None:
    _, content = script_arguments(report / sample_file(0))
    mesh, reader = content["mesh"], open_shards(shards)
    sample = reader[reader.names.index(content["name"])]
    covered = np.unpackbits(decoded(mesh["covered"], np.uint8))[: mesh["side"] ** 2].reshape(mesh["side"], -1)
    np.testing.assert_array_equal(covered, reader.constants["coverage"])  # 48 texels per side: each is there
    low, high = np.array(mesh["low"]), np.array(mesh["high"])
    points = low + decoded(mesh["points"], "<u2").reshape(-1, 3) / 65535 * (high - low)
    np.testing.assert_allclose(points, sample["posmap"][covered.astype(bool)], atol=0.005)


def decoded(text: str, dtype: Any) -> Any:
    import base64

    return np.frombuffer(base64.b64decode(text), dtype)


def test_report_thumbnail_shows_the_crop_and_both_landmarks(shards: Path, report: Path) -> None:
    _, thumbs = script_arguments(report / thumbs_file(0))
    assert len(thumbs) == 4
    reader, name = open_shards(shards), rows(report)["names"][1]
    sample = reader[reader.names.index(name)]
    assert picture(thumbs[1]["i"]).shape == (THUMB, THUMB, 3)
    for key, field in (("l", "landmarks"), ("a", "annotated_landmarks")):
        shares = decoded(thumbs[1][key], "<u2").reshape(68, 2) / 65534 * 3 - 1
        np.testing.assert_allclose(shares * 64 - 0.5, sample[field][:, :2], atol=0.002)


def test_report_with_thumbnails_has_one_of_each_sample(shards: Path, tmp_path: Path) -> None:
    result = write_report(shards, tmp_path / "report", options=ReportOptions(worst=2, thumbnails=True))
    assert (result.samples, result.pages, result.pictured) == (9, 2, 9)
    assert sorted(rows(tmp_path / "report")["picture"]) == [*range(9)]
    _, thumbs = script_arguments(tmp_path / "report" / thumbs_file(0))
    assert len(thumbs) == 9 and len([*(tmp_path / "report/data/samples").rglob("*.js")]) == 2


def test_report_of_all_has_a_page_of_each_in_files_of_sixteen(model_path: Path, tmp_path: Path) -> None:
    have(write_tree(tmp_path / "300W_LP", 6), model_path, tmp_path / "shards")
    result = write_report(tmp_path / "shards", tmp_path / "report", options=ReportOptions(worst=None))
    assert (result.samples, result.pages, result.pictured) == (18, 18, 18)
    counts = [len(script_arguments(tmp_path / "report" / thumbs_file(k))[1]) for k in (0, 1)]
    assert counts == [PER_FILE, 2]
    names = rows(tmp_path / "report")["names"]
    pages = [script_arguments(tmp_path / "report" / sample_file(k)) for k in range(18)]
    assert [(number, content["name"]) for number, content in pages] == [*enumerate(names)]


def test_report_of_listed_names_pictures_those_alone(shards: Path, tmp_path: Path) -> None:
    listed = ["# a remark", "IBUG/IBUG_001_1_0.jpg", "", "AFW/AFW_002_1_0"]
    assert write_report(shards, tmp_path / "report", options=ReportOptions(names=listed)).pages == 2
    found = rows(tmp_path / "report")
    pictured = {name for name, number in zip(found["names"], found["picture"], strict=True) if number >= 0}
    assert pictured == {"IBUG/IBUG_001_1_0", "AFW/AFW_002_1_0"}


def test_report_gives_the_same_bytes_on_any_number_of_processes(shards: Path, report: Path, tmp_path: Path) -> None:
    write_report(shards, tmp_path / "again", options=ReportOptions(worst=4))
    assert contents_below(tmp_path / "again") == contents_below(report)


@pytest.mark.slow
def test_report_of_two_processes_is_that_of_one(model_path: Path, tmp_path: Path) -> None:
    have(write_tree(tmp_path / "300W_LP", 12), model_path, tmp_path / "shards")
    counted: list[int] = []
    for workers in (1, 2):
        write_report(tmp_path / "shards", tmp_path / str(workers), run=RunOptions(workers), progress=counted.append)
    assert contents_below(tmp_path / "1") == contents_below(tmp_path / "2")
    assert sum(counted) == 4 * 36  # verified and drawn, twice


def test_report_verifies_as_it_is_told_to_run(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify, given = write_module.verify_shards, list[RunOptions]()

    def noted(*args: Any, **how: Any) -> Any:
        given.append(how["run"])
        return verify(*args, **how | {"run": RunOptions()})

    monkeypatch.setattr(write_module, "verify_shards", noted)
    monkeypatch.setattr(write_module, "results", lambda job, parts, how: map(job.open(), parts))
    write_report(shards, tmp_path / "out", options=ReportOptions(worst=0), run=RunOptions(2, 5, 60))
    assert given == [RunOptions(2, 5, 60)]


def test_report_overview_says_what_the_set_is(shards: Path, report: Path) -> None:
    text, config = text_of(report), open_shards(shards).config
    assert "Sound. Checked: hashes, shapes and values" in text and "(<code>uvgen report --model</code>)" in text
    for part in (config.model_sha256, config.weight_mask_sha256, "label NME, median", "posmap_dtype", "IBUG_Flip"):
        assert part in text
    (about,) = script_arguments(report / "data/overview.js")
    for histogram in about["histograms"]:
        assert histogram["under"] + sum(histogram["counts"]) + histogram["over"] == 9, histogram["title"]
    assert (about["samples"], about["pages"], about["subsets"]) == (9, 4, ["AFW", "IBUG", "IBUG_Flip"])
    assert sorted(set(about["sides"])) == [0, 1, 2]


@pytest.mark.slow
def test_report_overview_links_flags_subsets_and_warnings_to_their_samples(model_path: Path, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "300W_LP", 8)
    move(tree / "AFW/AFW_003_1_0.mat", 20)
    have(tree, model_path, tmp_path / "shards", dataclasses.replace(BIGGER, jitter=0))
    write_report(tmp_path / "shards", tmp_path / "report", options=ReportOptions(worst=1))
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    assert 'href="#gallery?subset=IBUG_Flip"' in page
    warnings = page[page.index('class="warnings"') : page.index('class="facts"')]
    assert 'href="#gallery?far=yes"' in warnings and "<code>uvgen verify --model</code>" in warnings
    flags = page[page.index("<caption>Flags") :]
    assert 'href="#gallery?far=yes"' in flags
    assert not re.search("`|names_sha256|annotated_dimensions|identity", page)


def test_report_states_numbers_that_do_not_vary_instead_of_drawing_them(model_path: Path, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "300W_LP", 2)
    have(tree, model_path, tmp_path / "shards")
    write_report(tmp_path / "shards", tmp_path / "report", options=ReportOptions(worst=0))
    heights = open_shards(tmp_path / "shards").column("image_height")
    (about,) = script_arguments(tmp_path / "report/data/overview.js")
    drawn = any(histogram["column"] == "height" for histogram in about["histograms"])
    assert drawn == (len(set(heights)) > 1) != ("height of the images, all" in text_of(tmp_path / "report"))


def test_report_page_has_angles_in_radians_nowhere_and_those_of_the_image_where_they_differ(
    model_path: Path, tmp_path: Path
) -> None:
    have(write_tree(tmp_path / "300W_LP", 1), model_path, tmp_path / "shards")
    augment_shards(tmp_path / "shards", tmp_path / "copies", "prnet", copies=2, model=load_model(model_path))
    write_report(tmp_path / "copies", tmp_path / "report", options=ReportOptions(worst=None))
    reader = open_shards(tmp_path / "copies")
    turned = 0
    for k in range(len(reader)):
        _, content = script_arguments(tmp_path / "report" / sample_file(k))
        sample = reader[reader.names.index(content["name"])]
        stated = dict(content["numbers"])
        assert not [key for key in stated if "rad" in key]
        for axis, name in enumerate(("pitch", "yaw", "roll")):
            image, crop = np.rad2deg([float(sample[field][axis]) for field in ("pose", "crop_pose")])
            differs = abs((image - crop + 180) % 360 - 180) >= 0.05
            assert stated.get(f"{name} in the image") == (f"{image:.1f}°" if differs else None)
            turned += differs
    assert turned


def test_report_histogram_counts_in_the_bins_that_it_states(shards: Path, report: Path) -> None:
    (about,) = script_arguments(report / "data/overview.js")
    yaws = rows(report)["yaw"]
    (yaw,) = (histogram for histogram in about["histograms"] if histogram["column"] == "yaw")
    np.testing.assert_array_equal(yaw["counts"], np.histogram(yaws, yaw["edges"])[0])


def test_report_names_skipped_samples_and_their_reasons(model_path: Path, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "300W_LP", 2)
    (tree / "AFW/AFW_000_1_0.mat").write_bytes(b"no mat file <i>")
    have(tree, model_path, tmp_path / "shards")
    write_report(tmp_path / "shards", tmp_path / "report", options=ReportOptions(worst=1))
    text = text_of(tmp_path / "report")
    assert "Why samples were skipped" in text and "AFW/AFW_000_1_0" in text
    assert all(
        reason in text for reason in describe_shards(tmp_path / "shards").skipped
    )  # counted as `uvgen info` does
    assert "<i>" not in (tmp_path / "report/index.html").read_text(encoding="utf-8")


def test_report_shows_what_verify_finds(shards: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(shards, tmp_path / "shards")
    with h5py.File(tmp_path / "shards/AFW-00000.h5", "r+") as file:
        file["posmap"][0] = file["posmap"][0][:, ::-1]
    result = write_report(tmp_path / "shards", tmp_path / "report", options=ReportOptions(worst=None))
    assert result.verified is not None and not result.verified.sound
    assert "1 problem found" in text_of(tmp_path / "report") and "SHA-256 is not the one" in text_of(
        tmp_path / "report"
    )
    found = rows(tmp_path / "report")
    wrong = [name for name, bits in zip(found["names"], found["flags"], strict=True) if bits & BIT["problem"]]
    assert wrong == ["AFW/AFW_000_1_0"]
    _, content = script_arguments(tmp_path / "report" / sample_file(found["names"].index(wrong[0])))
    assert any("inside out" in problem for problem in content["problems"])


def test_report_of_a_map_that_is_not_finite_says_so_and_shows_the_rest(model_path: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, posmap_dtype="float32")
    have(write_tree(tmp_path / "300W_LP", 1), model_path, tmp_path / "shards", config)
    with h5py.File(tmp_path / "shards/AFW-00000.h5", "r+") as file:
        file["posmap"][0, 3, 3, 0] = np.nan
    write_report(tmp_path / "shards", tmp_path / "report")
    found = rows(tmp_path / "report")
    _, content = script_arguments(tmp_path / "report" / sample_file(found["names"].index("AFW/AFW_000_1_0")))
    assert content["mesh"] is None and content["panels"] == {} and "NaN or infinity" in content["problems"][0]


def test_report_of_numbers_that_are_not_finite_shows_such_samples_first(model_path: Path, tmp_path: Path) -> None:
    for k in range(5):
        write_sample(tmp_path / "flat", f"image{k:05d}", seed=k, pt2d=np.full((2, 68), -1.0))
    have(tmp_path / "flat", model_path, tmp_path / "shards")
    (shard,) = (path for path in (tmp_path / "shards").glob("*00001.h5"))
    with h5py.File(shard, "r+") as file:  # image00002 and image00003
        file["pose"][1, 1] = np.nan
        file["landmarks"][0, 3] = np.inf
    result = write_report(tmp_path / "shards", tmp_path / "report")
    assert result.verified is not None and not result.verified.sound and result.pages == 5
    found = rows(tmp_path / "report")
    assert set(found["names"][:2]) == {"image00002", "image00003"}
    assert [bool(bits & BIT["problem"]) for bits in found["flags"]] == [True, True, False, False, False]


def test_report_of_files_from_strangers_is_the_same(shards: Path, report: Path, tmp_path: Path) -> None:
    write_report(shards, tmp_path / "report", options=ReportOptions(worst=4), untrusted=True)
    assert contents_below(tmp_path / "report") == contents_below(report)


def test_report_without_verify_says_so(shards: Path, tmp_path: Path) -> None:
    result = write_report(shards, tmp_path / "report", options=ReportOptions(worst=0, verify=False))
    assert result.verified is None and result.quality is not None and result.quality.n_annotated == 9
    assert "Not verified" in text_of(tmp_path / "report")


def test_report_with_the_model_compares_labels_with_parameters(shards: Path, model_path: Path, tmp_path: Path) -> None:
    write_report(shards, tmp_path / "report", options=ReportOptions(worst=0), model=model_path)
    assert "that labels agree with their parameters" in text_of(tmp_path / "report")


@pytest.mark.parametrize("change", [
    {"maps": "none", "image_codec": "jpeg"}, pytest.param({"image_codec": "jpeg"}, marks=pytest.mark.slow),
    pytest.param({"posmap_dtype": "float32"}, marks=pytest.mark.slow), {"uv_size": 128},
])  # fmt: skip
def test_report_of_any_storage_shows_pictures(model_path: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    have(write_tree(tmp_path / "300W_LP", 1), model_path, tmp_path / "shards", dataclasses.replace(SMALL, **change))
    result = write_report(
        tmp_path / "shards", tmp_path / "report", options=ReportOptions(worst=1, thumbnails=True), model=model_path
    )
    assert (result.pages, result.pictured) == (1, 3)
    _, content = script_arguments(tmp_path / "report" / sample_file(0))
    assert content["mesh"]["side"] <= 96 and len(content["panels"]) == 3


def test_report_without_annotations_orders_by_oddity(model_path: Path, tmp_path: Path) -> None:
    for k in range(12):
        write_sample(tmp_path / "flat", f"image{k:05d}", seed=k, pt2d=np.full((2, 68), -1.0))
    have(tmp_path / "flat", model_path, tmp_path / "shards", BIGGER)
    write_report(tmp_path / "shards", tmp_path / "report", options=ReportOptions(worst=1))
    found = rows(tmp_path / "report")
    assert np.isnan(found["nme"]).all() and (np.diff(found["oddity"]) <= 0).all()
    assert (found["flags"] & BIT["unannotated"]).all()
    assert "(no folder)" in text_of(tmp_path / "report")
    assert script_arguments(tmp_path / "report" / sample_file(0))[1]["annotated"] is None


@pytest.mark.slow
def test_report_of_augmented_copies_flags_mirrored_ones(shards: Path, model_path: Path, tmp_path: Path) -> None:
    augment_shards(shards, tmp_path / "copies", "prnet", copies=2, model=load_model(model_path))
    write_report(tmp_path / "copies", tmp_path / "report", options=ReportOptions(worst=2))
    reader, found = open_shards(tmp_path / "copies"), rows(tmp_path / "report")
    flipped = dict(zip(reader.names, reader.column("flipped"), strict=True))
    assert [bool(bits & BIT["flipped"]) for bits in found["flags"]] == [flipped[name] for name in found["names"]]
    assert script_arguments(tmp_path / "report/data/overview.js")[0]["copies"] is True
    numbers = dict(script_arguments(tmp_path / "report" / sample_file(0))[1]["numbers"])
    assert "rotated" in numbers["augmented"]


def test_report_of_weird_names_keeps_them_out_of_markup_and_paths(model_path: Path, tmp_path: Path) -> None:
    for k, name in enumerate(WEIRD):
        write_sample(tmp_path / "300W_LP/AFW", name.replace("/", "∕"), seed=k)
    have(tmp_path / "300W_LP", model_path, tmp_path / "shards")
    write_report(tmp_path / "shards", tmp_path / "report")
    found = rows(tmp_path / "report")
    assert set(found["names"]) == {f"AFW/{name.replace('/', '∕')}" for name in WEIRD}
    for path in (tmp_path / "report").rglob("*"):
        assert re.fullmatch(r"[\w.]+", path.name)
        if path.suffix == ".js" and path.parent.name != "assets":
            assert not re.search(rb"[<>&\x80-\xff]", path.read_bytes()), path


def test_report_holds_no_network_address(report: Path) -> None:
    for path in report.rglob("*"):
        if path.suffix in (".js", ".css", ".html"):
            found = re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}|\w+://", path.read_text(encoding="utf-8"))
            assert not found, path


def test_report_replaces_a_report_alone_and_only_when_asked(shards: Path, tmp_path: Path) -> None:
    write_report(shards, tmp_path / "report", options=ReportOptions(worst=1))
    before = contents_below(tmp_path / "report")
    with pytest.raises(SettingsError, match=r"report: holds a report already; .* or overwrite it"):
        write_report(shards, tmp_path / "report", options=ReportOptions(worst=2))
    assert contents_below(tmp_path / "report") == before
    write_report(shards, tmp_path / "report", options=ReportOptions(worst=2), overwrite=True)
    assert len([*(tmp_path / "report/data/samples").rglob("*.js")]) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_report(shards, tmp_path / "mine", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "report"]


def test_report_that_replaces_one_names_its_folder_when_the_disk_is_full(
    shards: Path, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(report, tmp_path / "report"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(write_module, "_write_rows", full)
    with pytest.raises(DatasetError, match=rf"^{tmp_path}/report: cannot be written \(No space left"):
        write_report(shards, out, options=ReportOptions(worst=1), overwrite=True)
    assert contents_below(out) == contents_below(report) and [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize("name", ["notes.txt", "data/notes.txt", "data/samples/000/notes.txt", "assets/mine/notes.txt"])
def test_report_does_not_replace_one_with_files_of_others_in_it(
    shards: Path, report: Path, tmp_path: Path, name
) -> None:
    out = Path(shutil.copytree(report, tmp_path / "report"))
    (out / name).parent.mkdir(exist_ok=True, parents=True)
    (out / name).write_text("mine")
    with pytest.raises(OutputError, match=f"report/{name.partition('/')[0]}.*no part of it; move it away"):
        write_report(shards, out, overwrite=True)
    assert (out / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "old"),
    [
        (OSError(28, os.strerror(28)), False),
        (KeyboardInterrupt(), True),
        pytest.param(OSError(28, os.strerror(28)), True, marks=pytest.mark.slow),
        pytest.param(KeyboardInterrupt(), False, marks=pytest.mark.slow),
        pytest.param(RuntimeError("a bug"), False, marks=pytest.mark.slow),
        pytest.param(RuntimeError("a bug"), True, marks=pytest.mark.slow),
    ],
)
def test_report_that_fails_leaves_what_was_there(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, old: bool
) -> None:
    if old:
        write_report(shards, tmp_path / "report", options=ReportOptions(worst=1))
    before = contents_below(tmp_path)

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(write_module, "_write_page", fail)
    with pytest.raises(DatasetError if isinstance(error, OSError) else type(error)):
        write_report(shards, tmp_path / "report", options=ReportOptions(worst=1), overwrite=old)
    assert contents_below(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["report"] * old


def test_report_of_a_set_that_is_made_again_meanwhile_fails_and_leaves_nothing(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_shards(shards, tmp_path / "shards", names=open_shards(shards).names[1:])

    def made_again(*arguments: Any) -> Any:
        shutil.rmtree(tmp_path / "shards")
        shutil.copytree(shards, tmp_path / "shards")
        return results(*arguments)

    monkeypatch.setattr(write_module, "results", made_again)
    with pytest.raises(DatasetError, match="shards: was made again or replaced while it was read; run the command"):
        write_report(tmp_path / "shards", tmp_path / "report", options=ReportOptions(verify=False))
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]


def test_report_begins_anew_where_a_killed_run_left_a_draft(shards: Path, tmp_path: Path) -> None:
    draft = draft_of(tmp_path / "report")
    (draft / "data").mkdir(parents=True)
    (draft / "data/left.js").write_text("left")
    write_report(shards, tmp_path / "report", options=ReportOptions(worst=1))
    assert not (tmp_path / "report/data/left.js").exists() and not draft.exists()


def test_report_whose_exchange_with_an_old_one_was_killed_is_put_in_place(report: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    shutil.copytree(report, beside(out))
    shutil.copytree(report, draft_of(out))
    with pytest.raises(SettingsError, match="report: holds a report already"):
        check_report_folder(out, overwrite=False)
    assert [*tmp_path.iterdir()] == [out] and contents_below(out) == contents_below(report)


def test_report_is_replaced_whatever_file_browsers_left_in_it(shards: Path, report: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(report, tmp_path / "report"))
    for name in (".DS_Store", "data/.DS_Store", "data/._overview.js", "assets/Thumbs.db", "data/samples/desktop.ini"):
        (out / name).write_text("left")
    write_report(shards, out, options=ReportOptions(worst=1), overwrite=True)
    assert not list(out.rglob(".DS_Store"))


def test_report_whose_folder_a_link_replaced_writes_nothing_to_where_it_leads(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    draft = draft_of(tmp_path / "report")

    def replace(_: int) -> None:
        if not draft.is_symlink():
            draft.rename(tmp_path / "away")
            draft.symlink_to(tmp_path / "others")

    with pytest.raises(DatasetError, match="was deleted, moved"):
        write_report(shards, tmp_path / "report", options=ReportOptions(verify=False), progress=replace)
    assert not list((tmp_path / "others").iterdir()) and not (tmp_path / "report").exists()


def test_report_with_something_else_in_its_folder_is_not_replaced(shards: Path, tmp_path: Path) -> None:
    write_report(shards, tmp_path / "report", options=ReportOptions(worst=1))
    (tmp_path / "report/bad.txt").write_text("marks")
    with pytest.raises(OutputError, match=r"bad\.txt: is in a report's folder and no part of it"):
        write_report(shards, tmp_path / "report", options=ReportOptions(worst=1), overwrite=True)
    assert (tmp_path / "report/bad.txt").read_text() == "marks"


def test_report_does_not_replace_marks_that_were_saved_in_the_old_one_meanwhile(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    write_report(shards, out, options=ReportOptions(worst=1))

    def save(_: int) -> None:
        (out / "bad.txt").write_text("marks")

    with pytest.raises(OutputError, match=r"bad\.txt: is in a report's folder .*; the new one is whole and stays in"):
        write_report(shards, out, options=ReportOptions(worst=1), overwrite=True, progress=save)
    assert (out / "bad.txt").read_text() == "marks"
    (out / "bad.txt").unlink()
    write_report(shards, out, options=ReportOptions(worst=1), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_report_that_another_process_makes_is_refused(shards: Path, tmp_path: Path) -> None:
    with exclusive(draft_of(tmp_path / "report")), pytest.raises(BusyError):
        write_report(shards, tmp_path / "report", options=ReportOptions(worst=1))
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"run": 8}, InputError, "run: 8, expected RunOptions"),
    ({"options": ReportOptions(names=["AFW/nobody"])}, InputError, "1 listed sample is not there, first AFW/nobody"),
    ({"options": ReportOptions(names=[])}, InputError, "names none"),
    ({"model": "builtin"}, ModelError, "not the model of"),
])  # fmt: skip
def test_report_with_bad_arguments_says_which(
    shards: Path, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        write_report(shards, tmp_path / "report", **arguments)
    assert not [*tmp_path.iterdir()]


def test_report_of_a_set_without_maps_asks_for_the_model(model_path: Path, tmp_path: Path) -> None:
    have(write_tree(tmp_path / "300W_LP", 1), model_path, tmp_path / "shards", dataclasses.replace(SMALL, maps="none"))
    with pytest.raises(DatasetError, match="stores no maps"):
        write_report(tmp_path / "shards", tmp_path / "report")
