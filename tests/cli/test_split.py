"""The commands `uvgen split`, `select`, `drop`, `merge` and `info`."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import scipy.io as sio
from support.builds import have
from support.toy import parameters, write_sample, write_tree

from uvgen import describe_shards, open_shards
from uvgen.cli.info import _lines
from uvgen.datasets.info import by_reason
from uvgen.samples.photographs import source_photograph


@pytest.fixture(scope="module")
def built(model_path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards")
    return folder / "shards"


@pytest.fixture
def shards(built, tmp_path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "shards"))


def test_split_writes_parts_that_readers_and_merge_take(uvgen, shards, tmp_path) -> None:
    result = uvgen("split", shards, "--fractions", "train=0.7,val=0.3")
    assert result.exit_code == 0, result.output
    assert "train: " in result.stdout and f"{shards / 'splits.json'}: written" in result.stdout
    parts = {name: set(open_shards(shards, split=name).names) for name in ("train", "val")}
    assert {source_photograph(n) for n in parts["train"]}.isdisjoint({source_photograph(n) for n in parts["val"]})
    result = uvgen("merge", shards, "--split", "val", "--out", tmp_path / "val", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert set(open_shards(tmp_path / "val").names) == parts["val"]


def test_split_json_is_one_object_on_stdout(uvgen, shards) -> None:
    content = json.loads(uvgen("split", shards, "--fractions", "train=0.7,val=0.2", "--json").stdout)
    assert content["splits"]["train"]["fraction"] == 0.7 and content["splits"]["train"]["groups"] == 4
    assert content["path"] == str(shards / "splits.json")
    assert content["left_out"] == 9 - sum(part["samples"] for part in content["splits"].values())


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--fractions", "train"], 2, "--fractions: train, expected NAME=FRACTION"),
        (["--fractions", "a=0.5,a=0.5"], 2, "a is given twice"),
        (["--fractions", "a=1.5"], 2, "--fractions: a=1.5, expected a share above 0, up to 1"),
        (["--fractions", "a=0.8,b=0.4"], 2, "a=0.8,b=0.4, which sum to 1.2, expected 1, or less"),
        (["--fractions", "a=0.5", "--by", "("], 2, "uvgen: --by: '('"),
        ([], 2, "missing --fractions"),
    ],
)
def test_split_with_wrong_options_says_what_is_expected(uvgen, shards, arguments, status, message) -> None:
    result = uvgen("split", shards, *arguments)
    assert result.exit_code == status and message in result.stderr, result.output


def test_split_again_otherwise_names_the_option_that_replaces(uvgen, shards) -> None:
    uvgen("split", shards, "--fractions", "a=0.5,b=0.5")
    result = uvgen("split", shards, "--fractions", "a=0.7,b=0.3")
    expected = "choose another name or file, or overwrite it (--out, --overwrite)"
    assert result.exit_code == 1 and expected in result.stderr
    assert uvgen("split", shards, "--fractions", "a=0.7,b=0.3", "--overwrite").exit_code == 0


def test_select_and_drop_divide_a_set_in_all_three_forms(uvgen, shards, tmp_path) -> None:
    names = open_shards(shards).names
    listed = uvgen("select", shards, "--subset", "AFW", "--out", "-")
    assert listed.exit_code == 0 and listed.stdout.split() == [name for name in names if name.startswith("AFW/")]
    (tmp_path / "bad.txt").write_text(listed.stdout)
    result = uvgen("drop", shards, "--list", tmp_path / "bad.txt", "--as", "clean")
    assert result.exit_code == 0 and "clean, 6 samples" in result.stdout
    assert open_shards(shards, split="clean").names == names[3:]
    result = uvgen("select", shards, "--split", "clean", "--copy", tmp_path / "clean", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert open_shards(tmp_path / "clean").names == names[3:]
    made = json.loads((shards / "splits.json").read_text())["splits"]["clean"]
    assert made["drop"] == {"names": "bad.txt"}


def test_select_writes_a_list_that_build_takes(uvgen, tree, model_path, shards, tmp_path) -> None:
    result = uvgen("select", shards, "--min-yaw", 30, "--out", tmp_path / "turned.txt")
    assert result.exit_code == 0, result.output
    chosen = (tmp_path / "turned.txt").read_text().split()
    assert 0 < len(chosen) < 9
    arguments = ["--data", tree, "--model", model_path, "--size", 32, "--list", tmp_path / "turned.txt"]
    assert uvgen("build", *arguments, "--out", tmp_path / "some", "--workers", 1).exit_code == 0
    assert open_shards(tmp_path / "some").names == chosen
    result = uvgen("select", shards, "--min-yaw", 30, "--out", tmp_path / "turned.txt")
    assert result.exit_code == 1 and "turned.txt: exists, expected a new file" in result.stderr
    assert "(--out, --overwrite)" in result.stderr


@pytest.mark.parametrize("command", ["select", "drop"])
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--subset", "AFW"], 2, "expected one of --as NAME, --out FILE and --copy FOLDER"),
        (["--subset", "AFW", "--as", "a", "--out", "-"], 2, "expected one of --as"),
        (["--as", "a"], 2, "no criterion"),
        (["--as", "a/b", "--subset", "AFW"], 2, "split 'a/b': expected a name"),
        (["--as", "a", "--subset", "HELEN"], 1, "subset 'HELEN': not in the set"),
    ],
)
def test_select_and_drop_with_wrong_options_say_what_is_expected(
    uvgen, shards, command, arguments, status, message
) -> None:
    result = uvgen(command, shards, *arguments)
    assert result.exit_code == status and message in result.stderr, result.output
    assert not (shards / "splits.json").exists()


def test_select_of_nothing_fails_and_writes_nothing(uvgen, shards) -> None:
    result = uvgen("select", shards, "--min-yaw", 179, "--as", "none")
    assert result.exit_code == 1 and "no sample meets the criteria" in result.stderr
    result = uvgen("drop", shards, "--min-yaw", 0, "--as", "none")
    assert result.exit_code == 1 and "no sample is left" in result.stderr
    assert not (shards / "splits.json").exists()


def test_merge_puts_sets_together(uvgen, tmp_path, model_path) -> None:
    tree = write_tree(tmp_path / "tree")
    for subset in ("AFW", "IBUG"):
        arguments = ["--data", tree, "--model", model_path, "--size", 32, "--subset", subset, "--workers", 1]
        assert uvgen("build", *arguments, "--out", tmp_path / subset).exit_code == 0
    result = uvgen("merge", tmp_path / "AFW", tmp_path / "IBUG", "--out", tmp_path / "both", "--workers", 1)
    assert result.exit_code == 0 and "9 samples, 0 skipped" in result.stdout, result.output
    result = uvgen("merge", tmp_path / "AFW", tmp_path / "AFW", "--out", tmp_path / "twice")
    assert result.exit_code == 1 and "in two of the data sets" in result.stderr
    result = uvgen("merge", tmp_path / "AFW", "--shard-size", 0, "--out", tmp_path / "none")
    assert result.exit_code == 2 and "--shard-size: 0, expected a whole number from 1 to 1048576;" in result.stderr
    result = uvgen("merge", "--out", tmp_path / "none")
    assert result.exit_code == 2 and "missing SHARDS; see" in result.stderr


def test_info_says_what_a_set_holds(uvgen, shards) -> None:
    uvgen("split", shards, "--fractions", "train=0.7,val=0.3")
    result = uvgen("info", shards)
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    info = describe_shards(shards)
    config = replace(info.config, build=replace(info.config.build, targets=("uv", "depth")))
    assert ("targets", "uv, depth") in _lines(replace(info, config=config)) and "targets" not in text
    for part in ("9 of 6 photographs", "AFW 3, IBUG 3, IBUG_Flip 3", "6 shards", "32 x 32 px, raw",
                 "48 x 48 texels, uint16", "model toy", "augmented no", "label NME median", "skipped none",
                 "train ", "posmap (48, 48, 3)"):  # fmt: skip
        assert part in text, part


def test_info_json_holds_the_same_and_counts_yaws_and_reasons(uvgen, tree, model_path, tmp_path) -> None:
    (tree / "AFW" / "AFW_001_1_0.jpg").write_bytes(b"no image")
    (tree / "IBUG" / "IBUG_002_1_0.jpg").write_bytes(b"no image either")
    have(tree, model_path, tmp_path / "shards")
    content = json.loads(uvgen("info", tmp_path / "shards", "--json").stdout)
    assert content["samples"] == 7 == sum(content["subsets"].values()) == sum(content["yaw_deg"].values())
    assert list(content["skipped"].values()) == [2], content["skipped"]
    assert not re.search(r"\bN\b", "".join(content["skipped"]))
    assert content["fields"]["posmap"] == {"shape": [48, 48, 3], "dtype": "uint16"}
    assert content["fields"]["name"]["dtype"] == "text"
    assert content["label_nme"]["annotated"] == 7 and content["label_nme"]["median"] > 0
    assert content["config"]["size"] == 32 and content["missing"] == 0


def test_info_of_another_folder_says_what_is_expected(uvgen, tmp_path) -> None:
    result = uvgen("info", tmp_path)
    assert result.exit_code == 1 and "expected a folder that `uvgen build` made" in result.stderr


def test_select_by_label_nme_of_a_set_without_annotations_says_why_none_is_chosen(uvgen, tmp_path, model_path) -> None:
    for k in range(3):
        content = {key: value for key, value in parameters(k).items() if key.endswith("_Para")}
        write_sample(tmp_path / "data", f"a{k}", k)
        sio.savemat(tmp_path / f"data/a{k}.mat", content)
    have(tmp_path / "data", model_path, tmp_path / "out")
    result = uvgen("select", tmp_path / "out", "--max-nme", 5, "--out", "-")
    assert (
        result.exit_code == 1
        and "no sample has a label NME, since the samples' files hold no landmarks" in result.stderr
    )
    result = uvgen("select", tmp_path / "out", "--out", "-")
    assert result.exit_code == 2 and "no criterion, expected one or more of --list, --split" in result.stderr


def test_list_is_named_with_the_sample_that_was_meant(uvgen, shards, tmp_path) -> None:
    path = tmp_path / "bad.txt"
    for text, message in (
        (
            "IBUG_001_1_0\n",
            "1 listed sample is not there, first IBUG_001_1_0; did you mean IBUG/IBUG_001_1_0 or IBUG_Fli",
        ),
        ("AFW/AFW_001_1_9\nnobody\n", "2 listed samples are not there, first AFW/AFW_001_1_9; names look like AFW/"),
        ("# none\n", "names none, expected one or more"),
    ):
        path.write_text(text)
        for arguments in (
            ("merge", shards, "--list", path, "--out", tmp_path / "out"),
            ("select", shards, "--list", path, "--out", "-"),
            ("export", shards, "--list", path, "--to", "npy", "--out", tmp_path / "out"),
            ("report", shards, "--list", path, "--out", tmp_path / "out"),
        ):
            result = uvgen(*arguments)
            assert result.exit_code == 1 and f"{path}: {message}" in result.stderr, result.stderr


def test_info_shows_empty_yaw_bins_and_says_what_has_no_shape(uvgen, tmp_path, model_path) -> None:
    for k, yaw in enumerate((-0.7, -0.7, 0.7)):
        write_sample(tmp_path / "data", f"a{k}", k, **parameters(k, yaw=yaw))
    have(tmp_path / "data", model_path, tmp_path / "out")
    text = uvgen("info", tmp_path / "out").stdout
    assert (
        re.search(r"-15 to    0 0\n +0 to  \+15 0\n", text) and "label_nme (number)" in text and " name (text)" in text
    )
    assert text.count("label NME") == 1


def test_info_counts_skipped_samples_by_reason_and_keeps_the_numbers_that_all_have() -> None:
    reasons = [
        "/data/a.mat: no MATLAB 5 header",
        "/data/AFW/b.mat: no MATLAB 5 header",
        "/data/c.mat: 32 shape parameters, BFM 2009 has 199 components",
        "/data/d.mat: 32 shape parameters, BFM 2009 has 80 components",
        "/data/e.mat: no MATLAB 5 header",
    ]
    assert list(by_reason(reasons).items()) == [
        ("no MATLAB 5 header", 3),
        ("32 shape parameters, BFM 2009 has N components", 2),
    ]
    assert by_reason([]) == {}


@pytest.mark.parametrize("command", ["select", "drop"])
@pytest.mark.parametrize("what", ["nme", "yaw"])
def test_ranges_whose_ends_are_exchanged_are_wrong_usage(uvgen, shards, command, what) -> None:
    result = uvgen(command, shards, f"--min-{what}", "30", f"--max-{what}", "20", "--as", "part")
    assert result.exit_code == 2
    assert f"--min-{what} 30" in result.stderr and f"above --max-{what} 20" in result.stderr


def test_splits_json_states_criteria_as_the_library_takes_them() -> None:
    from uvgen.datasets.selection import Criteria

    chosen = Criteria(names=Path("lists/names.txt"), subsets=("AFW",), max_nme=0.05, min_yaw_deg=30.0, flipped=False)
    assert chosen.to_plain() == {
        "names": "names.txt", "subsets": ["AFW"], "max_nme": 0.05, "min_yaw_deg": 30.0, "flipped": False,
    }  # fmt: skip
    assert Criteria().to_plain() == {}
    assert Criteria(names=["a", "b"]).to_plain() == {"names": ["a", "b"]}
