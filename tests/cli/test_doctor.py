"""The command `uvgen doctor`."""

import json

import pytest
from support.builds import edit_index, have

from uvgen import SynthOptions, render_faces, split_shards


def test_doctor_of_the_machine_prints_facts_and_a_verdict(uvgen) -> None:
    result = uvgen("doctor")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("uvgen ") and "HDF5" in lines[0] and lines[-1].startswith("this machine: sound")
    assert "numpy" in lines[1]


def test_doctor_status_and_json_say_whether_there_are_errors(uvgen, tree, model_path, tmp_path) -> None:
    have(tree, model_path, tmp_path / "shards")
    sound = uvgen("doctor", tmp_path / "shards")
    checked, verdict = sound.stdout.splitlines()
    assert checked.startswith("checked: 9 samples in 6 shards, ") and checked.endswith("--deep reads all")
    assert "model toy, label NME 1." in checked
    assert (sound.exit_code, verdict) == (0, f"{tmp_path / 'shards'}: sound")
    assert uvgen("doctor", tmp_path / "shards", "--quiet").stdout == ""
    (tmp_path / "shards/IBUG-00000.h5").unlink()
    result = uvgen("doctor", tmp_path / "shards")
    assert result.exit_code == 1
    assert "UV203 error: a shard is missing" in result.stdout
    assert result.stdout.splitlines()[-1] == f"{tmp_path / 'shards'}: not sound, 1 error"
    result = uvgen("doctor", tmp_path / "shards", "--json")
    content = json.loads(result.stdout)
    assert result.exit_code == 1 and content["sound"] is False and content["kind"] == "data set"
    assert [finding["code"] for finding in content["findings"]] == ["UV203"]
    assert content["facts"]["packages"]["h5py"] and content["checked"]["shards"] == 6


def test_doctor_prints_what_a_set_says_as_text(uvgen, tree, model_path, tmp_path) -> None:
    have(tree, model_path, tmp_path / "shards")
    edit_index(tmp_path / "shards", lambda content: content["config"].update(model="\x1b[31mtoy\nsound"))
    result = uvgen("doctor", tmp_path / "shards")
    assert r"model \x1b[31mtoy\nsound, " in result.stdout and "\x1b" not in result.output


def test_doctor_takes_the_model_that_a_folder_of_samples_names(uvgen, tmp_path) -> None:
    faces = tmp_path / "faces"
    render_faces(faces, 1, options=SynthOptions(size=64, subsets=["IBUG"], flip=False))
    tried = uvgen("doctor", faces)
    assert tried.exit_code == 0 and "with model builtin, label NME 0.0" in tried.stdout, tried.output
    stated = json.loads((faces / "synth.json").read_text())
    (faces / "synth.json").write_text(json.dumps(stated | {"model_file": str(tmp_path / "gone.h5")}))
    result = uvgen("doctor", faces)
    assert result.exit_code == 1 and "UV401 error: the model cannot be read" in result.stdout
    assert "gone.h5, which cannot be read" in result.stdout and "give the model" in result.stdout


def test_doctor_explains_a_code(uvgen) -> None:
    result = uvgen("doctor", "--explain", "uv203")
    assert result.exit_code == 0 and result.stdout.startswith("UV203 (error): a shard is missing")
    assert uvgen("doctor", "--explain", "203").stdout == result.stdout
    for code in ("UV999", "999", "none"):
        result = uvgen("doctor", "--explain", code)
        assert result.exit_code == 2 and f"{code}: no such code; codes go from UV101 to" in result.stderr
        assert len(result.stderr) < 200
    assert "did you mean UV2" in uvgen("doctor", "--explain", "UV2011").stderr


def test_doctor_gives_advice_that_findings_share_once(uvgen, tree, model_path, tmp_path) -> None:
    """The errors say what to do as well, where other commands print them."""
    (tree / "AFW/AFW_000_1_0.png").write_bytes((tree / "AFW/AFW_000_1_0.jpg").read_bytes())
    said = uvgen("doctor", tree).stdout
    assert "UV304" in said and "Remove or rename the wrong one." in said
    assert said.count("rename") == 1 and "; " not in said[said.index("UV304") : said.index("Remove or rename")]
    have(tree, model_path, tmp_path / "shards")
    split_shards(tmp_path / "shards", {"train": 1.0})
    path = tmp_path / "shards/splits.json"
    path.write_text(path.read_text().replace('"samples": [', '"samples": [ "gone",'))
    said = uvgen("doctor", tmp_path / "shards").stdout
    assert (
        "UV207" in said and said.count("uvgen split") == 1 and "anew with --overwrite; those of `uvgen split`" in said
    )


def test_doctor_says_what_to_do_once_for_findings_of_one_kind(uvgen, tree) -> None:
    for k in range(2):
        (tree / f"AFW/AFW_00{k}_1_0.jpg").write_bytes(b"none")
    lines = uvgen("doctor", tree).stdout.splitlines()
    assert (
        sum(line.startswith("UV306") for line in lines) == 1
        and sum("skips such samples" in line for line in lines) == 1
    )
    assert sum("AFW_00" in line for line in lines) == 2
    assert lines[-2] == "checked: 9 samples; --model also tries what `uvgen build` refuses"


@pytest.mark.parametrize("path", ["missing", "missing/file.h5"])
def test_doctor_of_nothing_says_so(uvgen, tmp_path, path) -> None:
    result = uvgen("doctor", tmp_path / path)
    assert result.exit_code == 1 and "no such file or folder" in result.stderr
