"""Results as JSON: one object on stdout, all that is documented in it, messages on stderr."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Uvgen
from support.onnx_models import write_mean_face_network
from support.photographs import write_photographs
from support.scans import write_scans
from support.toy import write_tree

from uvgen import load_model
from uvgen.cli.main import main

ROOT = Path(__file__).parents[2]


def documented() -> dict[str, set[str]]:
    """Fields of each command's object, by the page."""
    found: dict[str, set[str]] = {}
    page = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    for names, fields in re.findall(r"^\| (`uvgen .*?) \| (.*) \|$", page, re.MULTILINE):
        outer = re.sub(r"\([^()]*\)", "", fields)  # without the fields of fields
        outer = re.sub(r"\([^()]*\)", "", outer)
        commands = [name.removeprefix("uvgen ") for name in re.findall(r"`([^`]+)`", names)]
        found |= {command: set(re.findall(r"`(\w+)`", outer)) for command in commands}
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> dict[str, dict[str, Any]]:
    """What every command prints; made once, so tests change none of the files."""
    tmp_path, uvgen = tmp_path_factory.mktemp("results"), Uvgen()
    tree = write_tree(tmp_path / "300W_LP")
    (tree / "AFW/AFW_001_1_0.jpg").write_bytes(b"none")
    out = tmp_path / "shards"
    lines = {
        "build": ["--data", tree, "--model", model_path, "--out", out, "--size", 32, "--workers", 1],
        "build --dry-run": ["--data", tree, "--model", model_path, "--out", tmp_path / "planned", "--size", 32],
        "augment": [out, "--out", tmp_path / "copies", "--workers", 1],
        "merge": [out, "--out", tmp_path / "merged", "--workers", 1],
        "synth": ["--count", 1, "--size", 64, "--out", tmp_path / "faces", "--workers", 1],
        "fit": [write_photographs(tmp_path / "photos", 1), "--out", tmp_path / "fitted", "--workers", 1],
        "register": [
            write_scans(tmp_path / "scans", load_model(model_path), 1),
            "--model",
            model_path,
            "--out",
            tmp_path / "meshes",
            "--workers",
            1,
        ],
        "fit --video": [tmp_path / "photos", "--out", tmp_path / "fitted_video", "--workers", 1],
        "verify": [out, "--model", model_path],
        "model info": [model_path],
        "info": [out],
        "split": [out, "--fractions", "train=0.5,val=0.5"],
        "select": [out, "--max-yaw", 180, "--as", "all"],
        "drop": [out, "--min-nme", 99, "--out", tmp_path / "names.txt"],
        "preview": [out, "--out", tmp_path / "sheet.png", "--samples", 1],
        "report": [out, "--out", tmp_path / "report", "--worst", 1, "--workers", 1],
        "export": [out, "--to", "croissant", "--out", tmp_path / "card", "--workers", 1],
        "prepare deep3d": [
            *("--images", tmp_path / "photos", "--detections", tmp_path / "photos"),
            *("--out", tmp_path / "deep3d", "--workers", 1),
        ],
        "doctor": [out],
        "doctor --explain": ["UV203"],
        "evaluate": ["--pred", out, "--truth", out],
    }
    if find_spec("onnxruntime"):
        network = write_mean_face_network(tmp_path / "network.onnx")
        lines["predict"] = [network, tmp_path / "photos", "--scale", "size", "--out", tmp_path / "predicted", "-j", 1]
    found = {}
    for name, arguments in lines.items():
        result = uvgen(*name.split(), *arguments, "--json")
        assert result.exit_code == (3 if name == "build" else 0), result.output
        found[name] = json.loads(result.stdout)
    return found


def test_every_command_prints_one_object_with_the_documented_fields(results) -> None:
    pages = documented()
    assert results.keys() == pages.keys() - ({"predict"} - results.keys())
    for name, content in results.items():
        assert content.keys() == pages[name], name


def test_build_and_verify_say_what_became_of_samples(results) -> None:
    built, verified = results["build"], results["verify"]
    assert built["samples"] == built["new_samples"] == 8 == verified["samples"] and verified["sound"] is True
    (skipped,) = built["skipped"]
    assert skipped["name"] == "AFW/AFW_001_1_0" and "AFW_001_1_0.jpg" in skipped["reason"]
    assert built["files"] == verified["files"] and Path(built["out"]).name == "shards"
    assert all(Path(file).parent == Path(built["out"]) for file in built["files"])
    assert built["size_bytes"] == sum(Path(file).stat().st_size for file in built["files"])
    assert results["synth"]["samples"] == 2


def test_build_dry_run_says_what_a_build_would_write(uvgen, results, model_path) -> None:
    assert results["build --dry-run"]["samples"] == 9 and results["build --dry-run"]["finished"] == 0
    out = Path(results["build"]["out"])
    again = uvgen(
        *("build", "--data", out.parent / "300W_LP", "--model", model_path, "--out", out, "--size", 32),
        *("--dry-run", "--json"),
    )
    content = json.loads(again.stdout)
    assert content["finished"] == content["shards"] == results["build --dry-run"]["shards"]
    assert Path(content["out"]) == out


def test_verify_of_a_damaged_set_prints_its_problems_and_fails(uvgen, results, tmp_path) -> None:
    shutil.copytree(results["build"]["out"], tmp_path / "shards")
    (tmp_path / "shards/AFW-00000.h5").unlink()
    result = uvgen("verify", tmp_path / "shards", "--json")
    content = json.loads(result.stdout)
    assert result.exit_code == 1 and content["sound"] is False
    assert content["problems"] == [f"{tmp_path / 'shards/AFW-00000.h5'}: missing"]
    assert content["damaged"] == [str(tmp_path / "shards/AFW-00000.h5")]


def test_command_that_fails_prints_nothing_on_stdout(uvgen, tmp_path) -> None:
    for name in ("info", "verify", "doctor"):
        result = uvgen(name, tmp_path / "nothing", "--json")
        assert result.exit_code == 1 and result.stdout == "" and result.stderr.startswith("uvgen: "), name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell) -> None:
    if shell == "bash" and subprocess.run(["bash", "--version"], capture_output=True).returncode:
        pytest.skip("no bash")
    words = {"COMP_WORDS": "uvgen sp", "COMP_CWORD": "1" if shell != "fish" else "sp"}
    environment = {**os.environ, **words, "_UVGEN_COMPLETE": f"{shell}_complete"}
    program = "import sys; sys.argv[0] = 'uvgen'; from uvgen.cli.main import main; main(prog_name='uvgen')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert "split" in done.stdout, done.stderr


def test_completion_leaves_files_to_the_shell_and_knows_the_codes_of_doctor() -> None:
    def completed(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_UVGEN_COMPLETE": "bash_complete"}
        return CliRunner().invoke(main, prog_name="uvgen", env=words).stdout.split()

    assert completed("uvgen build --model bf") == ["file,bf"]
    assert completed("uvgen report --scale p") == ["plain,px", "plain,prnet"]
    assert completed("uvgen build --targets posm") == ["plain,posmap"]
    assert completed("uvgen build --targets uv,p") == ["plain,uv,posmap", "plain,uv,parts", "plain,uv,pncc"]
    assert completed("uvgen predict --write mesh,m") == ["plain,mesh,map"]
    assert completed("uvgen build --keep ") == ["plain,tex", "plain,illum", "plain,color"]
    assert completed("uvgen doctor --explain uv10")[:2] == ["plain,UV101", "plain,UV102"]


def test_completion_in_fish_keeps_what_follows_a_comma(tmp_path: Path) -> None:
    """As click's script does it, a word is cut at its first comma, and with it the names that a list begins with."""
    program = "import sys; sys.argv[0] = 'uvgen'; from uvgen.cli.main import main; main(prog_name='uvgen')"
    environment = {**os.environ, "_UVGEN_COMPLETE": "fish_source"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and 'string split --max 1 "," $completion' in done.stdout, done.stderr
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    (tmp_path / "uvgen").write_text(f"#!{sys.executable}\n{program}\n", encoding="utf-8")
    (tmp_path / "uvgen").chmod(0o755)
    line = "uvgen predict --write mesh,m"
    asked = f"set -x PATH {tmp_path} $PATH; _UVGEN_COMPLETE=fish_source uvgen | source; complete -C '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", asked], capture_output=True, text=True)
    assert done.stdout.split() == ["mesh,map"], done.stderr
