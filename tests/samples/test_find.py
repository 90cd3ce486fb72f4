"""Finding samples in a folder."""

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.toy import HEIGHT, WIDTH, picture, write_sample

from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.samples.find import Sample, find_samples, select_samples
from uvgen.samples.read import read_annotation, read_image


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
    with pytest.raises(SampleError, match=r"AFW_000_1_0\.jpg: no \.mat beside it; add"):
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


def test_find_samples_missing_folder_or_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: cannot be read"):
        find_samples(tmp_path / "nowhere")
    (tmp_path / "AFW").mkdir()
    with pytest.raises(DatasetError, match=r"no images .* expected 300W-LP"):
        find_samples(tmp_path)


def test_select_samples_takes_names_with_or_without_suffix_in_sorted_order(tree: Path) -> None:
    wanted = ["# mine", "", "IBUG/IBUG_001_1_0.jpg", "AFW/AFW_002_1_0", "  AFW/AFW_000_1_0.mat  "]
    chosen = select_samples(find_samples(tree), wanted)
    assert names(chosen) == ["AFW/AFW_000_1_0", "AFW/AFW_002_1_0", "IBUG/IBUG_001_1_0"]


def test_select_samples_unknown_name_is_refused_with_an_example(tree: Path) -> None:
    with pytest.raises(InputError, match=r"1 listed .*AFW/nobody.*AFW/AFW_000_1_0"):
        select_samples(find_samples(tree), ["AFW/nobody", "AFW/AFW_000_1_0"])
