"""Finding samples in a folder."""

import errno
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.toy import HEIGHT, WIDTH, picture, write_sample

from uvgen.datasets.plan import ShardTask
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.samples import image_folders
from uvgen.samples.files import files_sha256
from uvgen.samples.find import Sample, find_samples, unread_folders
from uvgen.samples.read import read_annotation, read_image
from uvgen.samples.selection import SampleSelection, exclude_samples, like_names, select_samples


def names(samples: list[Sample]) -> list[str]:
    return [sample.name for sample in samples]


def test_find_samples_in_tree_takes_every_subset_sorted(tree: Path) -> None:
    samples = find_samples(tree)
    assert names(samples) == sorted(names(samples))
    assert [s.subset for s in samples] == ["AFW"] * 3 + ["IBUG"] * 3 + ["IBUG_Flip"] * 3
    first = samples[0]
    assert (first.name, first.image, first.parameters) == (
        "AFW/AFW_000_1_0", tree / "AFW/AFW_000_1_0.jpg", tree / "AFW/AFW_000_1_0.mat"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("subsets", "flip", "expected"),
    [
        ((), False, ["AFW", "IBUG"]),
        (("IBUG",), True, ["IBUG", "IBUG_Flip"]),
        (("IBUG",), False, ["IBUG"]),
        (("IBUG_Flip",), True, ["IBUG_Flip"]),
        (("IBUG_Flip", "AFW"), True, ["AFW", "IBUG_Flip"]),
    ],
)
def test_find_samples_with_subsets_takes_those_alone(
    tree: Path, subsets: tuple[str, ...], flip: bool, expected: list[str]
) -> None:
    found = find_samples(tree, subsets, flip=flip)
    assert sorted({sample.subset for sample in found}) == expected
    assert len(found) == 3 * len(expected)
    assert all(sample.flipped == sample.subset.endswith("_Flip") for sample in found)


def test_find_samples_in_flat_folder_names_them_without_a_subset(tmp_path: Path) -> None:
    for stem in ("image00050", "image00002"):
        write_sample(tmp_path / "AFLW2000", stem)
    samples = find_samples(tmp_path / "AFLW2000")
    assert names(samples) == ["image00002", "image00050"]
    assert {sample.subset for sample in samples} == {"AFLW2000"}


def test_find_samples_with_missing_halves_keeps_both(tree: Path) -> None:
    (tree / "AFW/AFW_000_1_0.mat").unlink()
    (tree / "AFW/AFW_001_1_0.jpg").unlink()
    no_mat, no_image, whole = find_samples(tree, ["AFW"])
    assert no_mat.parameters is None and no_mat.image is not None
    assert no_image.image is None and no_image.parameters is not None
    assert None not in (whole.image, whole.parameters)
    with pytest.raises(SampleError, match=r"AFW_000_1_0\.jpg: no \.mat beside it, expected"):
        read_annotation(no_mat)
    with pytest.raises(SampleError, match=r"AFW_001_1_0\.mat: no image beside it; add"):
        read_image(no_image)


def test_find_samples_takes_png_and_capital_suffixes_but_no_hidden_files(tree: Path) -> None:
    folder = tree / "AFW"
    Image.fromarray(picture()).save(folder / "AFW_000_1_0.png")
    (folder / "AFW_000_1_0.jpg").unlink()
    (folder / "AFW_001_1_0.jpg").rename(folder / "AFW_001_1_0.JPG")
    (folder / "._AFW_000_1_0.jpg").write_bytes(b"what macOS leaves on foreign disks")
    (folder / "._AFW_000_1_0.mat").write_bytes(b"what macOS leaves on foreign disks")
    found = find_samples(tree, ["AFW"])
    assert [s.image and s.image.suffix for s in found] == [".png", ".JPG", ".jpg"]
    assert read_image(found[0]).shape == (HEIGHT, WIDTH, 3)


def test_find_samples_does_not_depend_on_the_order_of_the_file_system(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = find_samples(tree)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: Any) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert find_samples(tree) == expected


@pytest.mark.parametrize("subset", ["HELEN", "Code"])
def test_find_samples_unknown_or_empty_subset_lists_those_there_are(tree: Path, subset: str) -> None:
    with pytest.raises(DatasetError, match=f"{subset}.*AFW, IBUG, IBUG_Flip"):
        find_samples(tree, [subset])


def test_find_samples_names_a_few_of_very_many_subsets(tmp_path: Path) -> None:
    for k in range(100):
        (tmp_path / f"S{k:03d}").mkdir()
        (tmp_path / f"S{k:03d}/a.jpg").touch()
    with pytest.raises(DatasetError, match=r"no subset HELEN with images; there are S000, .*, S019 and 80 more$"):
        find_samples(tmp_path, ["HELEN"])


def test_find_samples_missing_folder_or_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: no such folder, expected a folder like 300W-LP"):
        find_samples(tmp_path / "nowhere")
    (tmp_path / "AFW").mkdir()
    with pytest.raises(DatasetError, match=r"no images .* expected images, or folders of them such as 300W-LP"):
        find_samples(tmp_path)


def test_select_samples_takes_names_with_or_without_suffix_in_sorted_order(tree: Path) -> None:
    wanted = ["# mine", "", "IBUG/IBUG_001_1_0.jpg", "AFW/AFW_002_1_0", "  AFW/AFW_000_1_0.mat  "]
    chosen = select_samples(find_samples(tree), wanted)
    assert names(chosen) == ["AFW/AFW_000_1_0", "AFW/AFW_002_1_0", "IBUG/IBUG_001_1_0"]


def test_exclude_samples_leaves_what_select_samples_does_not_take(tree: Path) -> None:
    samples = find_samples(tree)
    for wanted in (["IBUG/IBUG_001_1_0.jpg", "# no name", "", "AFW/AFW_000_1_0"], [samples[4].name]):
        kept = exclude_samples(samples, wanted)
        assert sorted([*names(kept), *names(select_samples(samples, wanted))]) == names(samples)
        assert names(kept) == [name for name in names(samples) if name in names(kept)]
    assert exclude_samples(samples, ["# nothing"]) == samples
    with pytest.raises(InputError, match=r"1 listed sample is not there, first AFW/nobody"):
        exclude_samples(samples, ["AFW/nobody", "AFW/AFW_000_1_0"])
    with pytest.raises(InputError, match="all 9 samples are excluded"):
        exclude_samples(samples, names(samples))


def test_names_to_exclude_may_be_of_samples_that_the_list_leaves_out(tree: Path, tmp_path: Path) -> None:
    samples = find_samples(tree)
    listed, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    listed.write_text("AFW/AFW_000_1_0\nIBUG/IBUG_001_1_0\n")
    bad.write_text("AFW/AFW_000_1_0\nAFW/AFW_002_1_0\n")
    assert names(SampleSelection(names=listed, exclude=bad).of(iter(samples))) == ["IBUG/IBUG_001_1_0"]
    assert names(SampleSelection(names=listed, exclude=["AFW/AFW_002_1_0"], limit=1).of(samples)) == ["AFW/AFW_000_1_0"]
    with pytest.raises(InputError, match=r"1 listed sample is not there, first AFW/nobody"):
        SampleSelection(names=listed, exclude=["AFW/nobody"]).of(samples)
    with pytest.raises(InputError, match="all 2 samples are excluded"):
        SampleSelection(names=listed, exclude=listed).of(samples)


def test_names_to_exclude_may_be_of_subsets_that_are_not_taken(tree: Path) -> None:
    taken = find_samples(tree, ["AFW"], flip=False)
    marks = ["IBUG/IBUG_001_1_0", "AFW_Flip/AFW_000_1_0", "AFW/AFW_000_1_0"]
    kept = SampleSelection(flip=False, exclude=marks).of(taken, all_subsets=False)
    assert names(kept) == [name for name in names(taken) if name != "AFW/AFW_000_1_0"] != names(taken)
    with pytest.raises(InputError, match=r"1 listed sample is not there, first AFW/nobody"):
        SampleSelection(exclude=["AFW/nobody", *marks]).of(taken, all_subsets=False)
    with pytest.raises(InputError, match=r"2 listed samples are not there, first AFW_Flip/AFW_000_1_0"):
        SampleSelection(exclude=marks).of(taken)


def test_select_samples_unknown_name_is_refused_with_an_example(tree: Path) -> None:
    with pytest.raises(InputError, match=r"1 listed .*AFW/nobody.*AFW/AFW_000_1_0"):
        select_samples(find_samples(tree), ["AFW/nobody", "AFW/AFW_000_1_0"])
    with pytest.raises(InputError, match=r"1 listed .*afw/afw_000_1_0; did you mean AFW/AFW_000_1_0\?"):
        select_samples(find_samples(tree), ["afw/afw_000_1_0"])


# Names and folders as they come


@pytest.mark.parametrize(
    "stem", ["人脸", "e\u0301t\u00e9", "été", "a b", "ünïcode ☺", "-x", "#1", "a.b.c", "quote'\"", "😀"]
)
def test_find_samples_takes_any_name(tmp_path: Path, stem: str) -> None:
    write_sample(tmp_path / "AFW", stem)
    (sample,) = find_samples(tmp_path)
    assert sample.name == f"AFW/{stem}" and not sample.problem
    assert read_image(sample).shape == (HEIGHT, WIDTH, 3)
    assert read_annotation(sample).pose.shape == (7,)


@pytest.mark.parametrize(
    ("raw", "shown"), [(b"caf\xe9", r"AFW/caf\xe9"), (b"two\nlines", r"AFW/two\nlines"), (b"bell\x07", r"AFW/bell\x07")]
)
def test_find_samples_escapes_what_no_text_file_or_terminal_can_hold(tmp_path: Path, raw: bytes, shown: str) -> None:
    write_sample(tmp_path / "AFW", "a")
    folder = os.fsencode(tmp_path / "AFW")
    for suffix in (b".jpg", b".mat"):
        os.rename(folder + b"/a" + suffix, folder + b"/" + raw + suffix)  # noqa: PTH104 (bytes)
    (sample,) = find_samples(tmp_path)
    assert sample.name == shown
    sample.name.encode("utf-8")
    assert read_image(sample).shape == (HEIGHT, WIDTH, 3)
    assert select_samples([sample], [shown]) == [sample]


def test_find_samples_pairs_and_selects_names_however_accents_are_composed(tmp_path: Path) -> None:
    """Linux keeps the bytes, macOS decomposes accents: an archive that went through both has one file of each."""
    write_sample(tmp_path / "AFW", "\u00e9")
    (tmp_path / "AFW/\u00e9.mat").rename(tmp_path / "AFW/e\u0301.mat")
    (sample,) = find_samples(tmp_path)
    assert sample.image is not None and sample.parameters is not None
    for line in ("AFW/\u00e9", "AFW/e\u0301.jpg"):
        assert select_samples([sample], [line]) == [sample]


@pytest.mark.parametrize(("first", "second"), [("a.jpg", "a.png"), ("a.jpg", "a.JPG"), ("a.mat", "a.MAT")])
def test_find_samples_with_two_files_of_one_name_refuses_to_choose(tmp_path: Path, first: str, second: str) -> None:
    write_sample(tmp_path / "AFW", "a")
    write_sample(tmp_path / "AFW", "b")
    (tmp_path / "AFW" / second).write_bytes((tmp_path / "AFW" / first).read_bytes())
    bad, good = find_samples(tmp_path)
    for read in (read_image, read_annotation):
        with pytest.raises(
            SampleError,
            match=r"a\.\w+ has the same name, expected one (image|parameter file); remove the wrong one",
        ):
            read(bad)
        read(good)


def test_find_samples_takes_no_folder_for_another_file_of_a_name(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_sample(tmp_path / "AFW", name)
    (tmp_path / "AFW/a.PNG").mkdir()  # before a.jpg in their order
    (tmp_path / "AFW/b.png").mkdir()
    (tmp_path / "AFW/c.MAT").mkdir()
    samples = find_samples(tmp_path)
    for sample in samples:
        assert not sample.problem and sample.image is not None and sample.parameters is not None
        read_image(sample)
        read_annotation(sample)
    assert names(samples) == ["AFW/a", "AFW/b", "AFW/c"]


def test_find_samples_takes_no_folder_for_an_image(tmp_path: Path) -> None:
    write_sample(tmp_path / "AFW", "a")
    write_sample(tmp_path / "album.jpg", "b")
    (tmp_path / "AFW/c.jpg").mkdir()
    assert [(sample.name, sample.problem) for sample in find_samples(tmp_path)] == [("AFW/a", ""), ("album.jpg/b", "")]


def test_find_samples_in_a_folder_that_holds_one_of_its_own_name_takes_both(tmp_path: Path) -> None:
    write_sample(tmp_path / "AFLW2000", "outer")
    write_sample(tmp_path / "AFLW2000/AFLW2000", "inner")
    samples = find_samples(tmp_path / "AFLW2000")
    assert names(samples) == ["outer", "AFLW2000/inner"]
    assert len({sample.image for sample in samples}) == 2


def test_find_samples_in_an_archive_unpacked_into_itself_is_refused(tmp_path: Path) -> None:
    for folder in ("AFLW2000", "AFLW2000/AFLW2000"):
        write_sample(tmp_path / folder, "a")
    with pytest.raises(DatasetError, match=r"holds 1 image of the same names as .*unpacked into itself"):
        find_samples(tmp_path / "AFLW2000")


@pytest.mark.parametrize("target", ["nowhere", "notes.txt/below", "x" * 300, "broken"])
def test_find_samples_passes_over_a_link_that_leads_nowhere(tmp_path: Path, target: str) -> None:
    write_sample(tmp_path / "data" / "IBUG", "IBUG_1")
    (tmp_path / "data" / "notes.txt").touch()
    (tmp_path / "data" / "broken").symlink_to(target)
    assert names(find_samples(tmp_path / "data")) == ["IBUG/IBUG_1"]


def test_find_samples_names_a_link_to_a_folder_whose_disk_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for subset in ("AFW", "IBUG"):
        write_sample(tmp_path / "data" / subset, f"{subset}_1")

    def is_folder(entry: Any) -> bool:
        if entry.name == "AFW":
            raise OSError(number, os.strerror(number), entry.path)
        return bool(entry.is_dir())

    class Entry:
        def __init__(self, entry: Any) -> None:
            self.name, self.path, self.is_dir = entry.name, entry.path, lambda: is_folder(entry)

    scanned = image_folders._scanned

    @contextmanager
    def scan(folder: Path) -> Any:
        with scanned(folder) as entries:
            yield [Entry(entry) for entry in entries]

    monkeypatch.setattr(image_folders, "_scanned", scan)
    number = errno.ESTALE
    with pytest.raises(DatasetError, match=rf"AFW: cannot be read \({os.strerror(errno.ESTALE)}\)"):
        find_samples(tmp_path / "data")
    number = errno.ELOOP  # a link to itself is no folder
    assert names(find_samples(tmp_path / "data")) == ["IBUG/IBUG_1"]


@pytest.mark.parametrize("root", ["set", "link to the set"])
def test_find_samples_takes_a_folder_once_however_many_links_lead_to_it(tmp_path: Path, root: str) -> None:
    for folder in ("set", "set/AFW", "set/IBUG", "elsewhere/LFPW"):
        write_sample(tmp_path / folder, "a")
    for link, target in (
        ("AFW_again", "AFW"), ("0_before_AFW", "AFW"), ("self", "."), ("set", "."), ("AFW/self", "."),
        ("IBUG/up", ".."), ("LFPW", "../elsewhere/LFPW"), ("LFPW_again", "../elsewhere/LFPW"),
    ):  # fmt: skip
        (tmp_path / "set" / link).symlink_to(target)
    (tmp_path / "link to the set").symlink_to("set")
    assert sorted(names(find_samples(tmp_path / root))) == ["AFW/a", "IBUG/a", "LFPW/a", "a"]
    assert unread_folders(tmp_path / root).deeper == []
    assert names(find_samples(tmp_path / root, ["AFW_again"])) == ["AFW_again/a"]


def test_find_samples_one_level_too_high_says_where_the_images_are(tmp_path: Path) -> None:
    write_sample(tmp_path / "300W_LP/300W_LP/AFW", "a")
    with pytest.raises(
        DatasetError, match=rf"no images in it .*; there are some in .*AFW: give {tmp_path}/300W_LP/300W_LP"
    ):
        find_samples(tmp_path / "300W_LP")


def test_find_samples_of_mirrored_images_alone_without_flips_is_refused(tmp_path: Path) -> None:
    write_sample(tmp_path / "AFW_Flip", "a")
    with pytest.raises(DatasetError, match=r"holds only mirrored images \(AFW_Flip\)"):
        find_samples(tmp_path / "AFW_Flip", flip=False)


@pytest.mark.parametrize("subset", ["IBUG_flip", "IBUG_FLIP", "IBUG_Flip"])
def test_find_samples_knows_mirrored_subsets_in_any_case(tmp_path: Path, subset: str) -> None:
    for folder in ("IBUG", subset):
        write_sample(tmp_path / folder, "a")
    assert [sample.flipped for sample in find_samples(tmp_path)] == [
        sample.subset != "IBUG" for sample in find_samples(tmp_path)
    ]
    assert names(find_samples(tmp_path, flip=False)) == ["IBUG/a"]
    assert {sample.subset for sample in find_samples(tmp_path, ["IBUG"])} == {"IBUG", subset}


@pytest.mark.parametrize(
    ("stem", "line"),
    [
        ("#hash", "AFW/#hash"), (" lead", "AFW/ lead"), ("trail ", "AFW/trail "), ("a.jpg", "AFW/a.jpg"),
        ("a", "./AFW/a"),
        ("a", "AFW\\a.mat"), ("a", "  AFW/a.png\n"), ("a.b", "AFW/a.b"),
    ],
)  # fmt: skip
def test_select_samples_takes_names_as_they_are_printed_or_typed(tmp_path: Path, stem: str, line: str) -> None:
    write_sample(tmp_path / "AFW", stem)
    write_sample(tmp_path / "AFW", "other")
    assert names(select_samples(find_samples(tmp_path), [line, "# a remark", ""])) == [f"AFW/{stem}"]


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".PNG"])
def test_find_samples_takes_every_kind_of_image_that_is_read(tmp_path: Path, suffix: str) -> None:
    write_sample(tmp_path / "AFW", "a")
    Image.fromarray(picture()).save(tmp_path / f"AFW/a{suffix}")
    (tmp_path / "AFW/a.jpg").unlink()
    (sample,) = find_samples(tmp_path)
    assert read_image(sample).shape == (HEIGHT, WIDTH, 3)


def test_name_of_another_number_is_not_suggested() -> None:
    there = ["IBUG/IBUG_image_0063_0", "IBUG/IBUG_image_0064_0"]
    assert like_names("IBUG/IBUG_image_0013_0", there) == "names look like IBUG/IBUG_image_0063_0"
    assert like_names("IBUG/IBUG_imag_0064_0", there) == "did you mean IBUG/IBUG_image_0064_0?"
    assert like_names("IBUG/IBUG_image_64_0", there) == "did you mean IBUG/IBUG_image_0064_0?"


def test_find_samples_whose_names_become_one_are_told_apart_and_refused(tmp_path: Path) -> None:
    for stem in ("a\x01", "a\\x01", "b"):
        write_sample(tmp_path / "AFW", stem)
    found = find_samples(tmp_path)
    assert sorted(names(found)) == ["AFW/a\\x01", "AFW/a\\x01 (2)", "AFW/b"]
    assert ["another file has this name too" in sample.problem for sample in found] == [True, True, False]


def test_hash_of_files_tells_what_was_wrong_when_a_sample_was_found_but_not_where(tmp_path: Path) -> None:
    write_sample(tmp_path / "AFW", "a")
    (sample,) = find_samples(tmp_path)
    plain = files_sha256(sample)
    bad = [replace(sample, problem=f"/{folder}/a.jpg: a.png has the same name") for folder in "xy"]
    assert files_sha256(bad[0]) == files_sha256(bad[1]) != plain
    assert files_sha256(replace(bad[0], problem="/x/a.jpg: a.bmp has the same name")) != files_sha256(bad[0])
    died = ShardTask("AFW-00000.h5", (sample,)).without({0: "its process was killed"}).samples[0]
    assert died.problem.endswith("its process was killed") and files_sha256(died) == plain


def test_find_samples_of_a_whole_disk_passes_over_the_folder_of_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the administrator may read it: its refusal would end every build."""
    write_sample(tmp_path / "AFW", "a")
    (tmp_path / "lost+found").mkdir()
    scandir = os.scandir

    def refused(path: Any) -> Any:
        if os.fspath(path).endswith("lost+found"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert names(find_samples(tmp_path)) == ["AFW/a"]
    assert unread_folders(tmp_path).deeper == []
