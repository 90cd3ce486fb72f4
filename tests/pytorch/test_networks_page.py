"""Every command that docs/networks.md shows, in one folder, on small sets and for two steps."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from support.photographs import write_photographs
from support.programs import ROOT, Runner
from support.toy import annotation, parameters, toy_model, write_sample, write_tree

from uvgen import save_model

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

PAGE = ROOT / "docs/networks.md"
FEW = {
    "position_maps/train.py": "--steps 2 --batch 2 --threads 1 --device cpu --workers 0",
    "coefficients/train.py": "--steps 2 --batch 2 --threads 1 --device cpu",
    "stn/train.py": "--steps 2 --batch 2 --threads 1 --device cpu",
    "benchmarks/try_recipes.py": "--steps 2 --batch 2 --device cpu --networks lprnet",
    "benchmarks/networks.py": "--networks lprnet --size 32 --threads 1 --device cpu",
}
"""What is appended to a program's command: the last of an option counts."""
SMALLER = {"count": 10, "persons": 2, "photographs": 2, "faces": 20, "minutes": 0.01}
ONNX = ("onnx", "onnxscript", "onnxruntime")


def shown_commands() -> list[tuple[int, str]]:
    """(section, command) of the page's blocks, and of those in its tables that name files; lines that end with \\ go
    on."""
    found = []
    for section, text in enumerate(PAGE.read_text(encoding="utf-8").split("\n## ")):
        blocks = "".join(re.findall(r"^```(?:sh|text)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
        lines = blocks.replace("\\\n", " ").splitlines()
        inline = [command for command in re.findall(r"`((?:uvgen|examples/\S+\.py) [^`]*)`", text) if "/" in command]
        lines += [f"python {command}" if command.startswith("examples") else command for command in inline]
        found += [(section, line) for line in lines if line.startswith(("uvgen ", "python ")) and "…" not in line]
    return found


def smaller(command: str, number: int) -> list[str]:
    """The command's words, for little work; those in tables, which build and train as blocks did, get folders of their
    own."""
    words = shlex.split(command, comments=True)
    for k, word in enumerate(words[:-1]):
        if word.removeprefix("--") in SMALLER:
            words[k + 1] = str(SMALLER[word.removeprefix("--")])
        elif word == "--size":
            words[k + 1] = str(min(64 if "--uv-size" in words or "build" not in words else 32, int(words[k + 1])))
        elif word == "--epochs":
            words[k : k + 2] = ["--steps", "2"]
    words = ["../0/shards/" if word == "SHARDS" else word for word in words]
    if "SHARDS" in command or "300W_LP/" in command:
        words = [
            f"{number}/" if word == "shards/" and words[k - 1] == "--out" else word for k, word in enumerate(words)
        ]
        words += ["--out", f"{number}/"] if "SHARDS" in command else []
    for program, options in FEW.items():
        if any(word.endswith(program) for word in words):
            words += options.split()
    return words


@pytest.mark.long
@pytest.mark.slow
def test_commands_of_the_page_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, uvgen
) -> None:
    """Each section in a folder of its own, which has a user's files and the shards that the first one made."""
    files = tmp_path / "files"
    write_tree(files / "300W_LP", 1)
    save_model(toy_model(), files / "bfm.h5")
    write_photographs(files / "photos", 2)
    (files / "photos/IBUG_image_0001_0.jpg").rename(files / "photo.jpg")
    for seed in (3, 10):
        content = parameters(seed, yaw=0.0)
        points = np.vstack([annotation(content), np.zeros(68)])
        write_sample(files / "AFLW2000", f"image{seed:05d}", seed, **content, pt3d_68=points)
    run, ran = Runner(capsys), set()
    commands = shown_commands()
    for number, (section, command) in enumerate(commands):
        folder = tmp_path / str(section)
        if not folder.is_dir():
            folder.mkdir()
            for file in files.iterdir():
                (folder / file.name).symlink_to(file)
            if section and not any(k == section and "--out shards/" in line for k, line in commands):
                (folder / "shards").symlink_to(tmp_path / "0/shards")
        monkeypatch.chdir(folder)
        words = smaller(command, number)
        words = [
            str(name) for word in words for name in (sorted(Path().glob(word)) if word.endswith("*.jpg") else [word])
        ]
        if ("export.py" in command or ".onnx" in command) and not all(find_spec(package) for package in ONNX):
            continue
        if words[0] == "uvgen":
            done = uvgen(*words[1:])
            assert done.exit_code == 0, f"{command}\n{done.output}{done.stderr}"
        else:
            run(ROOT / words[1], *words[2:])
        ran.add(Path(words[1]).name)
    assert {"build", "synth", "evaluate", "train.py", "predict.py", "networks.py"} <= ran
