"""Every command that docs/networks.md shows, in one folder, on small sets and for two steps."""

import os
import re
import shlex
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
    "benchmarks/networks.py": "--networks lprnet --size 32 --threads 1 --device cpu",
}
"""What is appended to a program's command: the last of an option counts."""
SMALLER = {"count": 2, "persons": 2, "photographs": 2, "faces": 8, "minutes": 0.01}
ONNX = ("onnx", "onnxscript", "onnxruntime")


def shown_commands() -> list[str]:
    """Those of the page's blocks, and those in its tables that name files; lines that end with \\ go on."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```(?:sh|text)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    lines = blocks.replace("\\\n", " ").splitlines()
    inline = [command for command in re.findall(r"`((?:uvgen|examples/\S+\.py) [^`]*)`", text) if "/" in command]
    inline = [f"python {command}" if command.startswith("examples") else command for command in inline]
    return [command for command in [*lines, *inline] if command.startswith(("uvgen ", "python ")) and "…" not in command]


def smaller(command: str, number: int) -> list[str]:
    """The command's words, for little work; those in tables, which build and train as blocks did, get folders of their
    own."""
    words = shlex.split(command, comments=True)
    for k, word in enumerate(words[:-1]):
        if word.removeprefix("--") in SMALLER:
            words[k + 1] = str(SMALLER[word.removeprefix("--")])
        elif word == "--size":
            words[k + 1] = str(min(64 if "--uv-size" in words or "persons.py" in command else 32, int(words[k + 1])))
        elif word == "--epochs":
            words[k : k + 2] = ["--steps", "2"]
    words = ["shards/" if word == "SHARDS" else word for word in words]
    if "SHARDS" in command or "300W_LP/" in command:
        words = [f"{number}/" if word == "shards/" and words[k - 1] == "--out" else word for k, word in enumerate(words)]
        words += ["--out", f"{number}/"] if "SHARDS" in command else []
    for program, options in FEW.items():
        if any(word.endswith(program) for word in words):
            words += options.split()
    return words


@pytest.mark.long
@pytest.mark.slow
def test_commands_of_the_page_run_from_its_start_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, uvgen
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "300W_LP", 1)
    save_model(toy_model(), tmp_path / "bfm.h5")
    write_photographs(tmp_path / "photos", 2)
    (tmp_path / "photos/IBUG_image_0001_0.jpg").rename(tmp_path / "photo.jpg")
    for seed in (3, 10):
        content = parameters(seed, yaw=0.0)
        points = np.vstack([annotation(content), np.zeros(68)])
        write_sample(tmp_path / "AFLW2000", f"image{seed:05d}", seed, **content, pt3d_68=points)
    run, ran = Runner(capsys), set()
    for number, command in enumerate(shown_commands()):
        words = smaller(command, number)
        words = [str(file) for word in words for file in (sorted(tmp_path.glob(word)) if "*" in word and
                 "image_" not in word else [word])]  # fmt: skip
        if not all(_is_installed(package) for package in ONNX) and ("export.py" in command or ".onnx" in command):
            continue
        if words[0] == "uvgen":
            done = uvgen(*words[1:])
            assert done.exit_code == 0, f"{command}\n{done.output}{done.stderr}"
        else:
            run(ROOT / words[1], *words[2:])
        ran.add(os.path.basename(words[1]))
    assert {"build", "synth", "evaluate", "train.py", "predict.py", "persons.py", "networks.py"} <= ran


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None
