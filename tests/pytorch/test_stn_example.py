"""`examples/stn/train.py`: two steps of either recipe; a training that is long enough to show what it learns."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.builds import make
from support.toy import write_tree

from uvgen import build_shards
from uvgen.datasets.config import BuildConfig

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

EXAMPLE = Path(__file__).parents[2] / "examples/stn/train.py"


def test_stn_example_takes_two_steps_of_either_recipe(
    tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = tmp_path / "shards"
    make(write_tree(tmp_path / "300W_LP"), model_path, shards, BuildConfig(size=32, uv_size=16, shard_size=9))
    encoder = tmp_path / "mine.py"
    encoder.write_text(
        "from torch import nn\ndef flat():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 8))\n"
    )
    n_threads = torch.get_num_threads()
    for recipe, own in (("quick", "small"), ("paper", f"{encoder}:flat")):
        out = tmp_path / recipe
        options = f"--steps 2 --batch 4 --texels 20 --threads {n_threads} --device cpu --recipe {recipe}".split()
        arguments = [EXAMPLE, shards, "--model", model_path, "--encoder", own, "--out", out, *options]
        monkeypatch.setattr(sys, "argv", [*map(str, arguments)])
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        printed = capsys.readouterr().out
        assert re.search(r"^landmark error \d+\.\d{4} -> \d+\.\d{4}$", printed.splitlines()[-1])
        assert Image.open(out / "mean_flattened.png").width == 3 * 224
        state = torch.load(out / "network.pt", weights_only=True)
        assert state["head.weight"].shape[0] == 16 and all(torch.isfinite(t.float()).all() for t in state.values())
    monkeypatch.setattr(
        sys, "argv", [str(EXAMPLE), str(shards), "--model", str(model_path), "--encoder", "none.py:net"]
    )
    with pytest.raises(SystemExit):
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert "encoder: none.py:net, expected small or FILE.py:FUNCTION" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.long
def test_stn_example_lowers_the_landmark_error_tenfold_and_sharpens_mean_faces(tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLE.with_name("persons.py")))["write"](tmp_path / "faces", 8, 6, size=160)
    config = BuildConfig(size=64, uv_size=48)
    build_shards(tmp_path / "faces", tmp_path / "shards", model="builtin", config=config)
    options = ["--texels", "56", "--steps", "400", "--batch", "16", "--threads", "1", "--person", r"image_(\d+)"]
    command = [sys.executable, EXAMPLE, tmp_path / "shards", *options, "--device", "cpu", "--out", tmp_path / "run"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    pairs = dict(re.findall(r"^(landmark error|mean gradient).*?(\S+ -> \S+)$", done.stdout, flags=re.MULTILINE))
    before, after = map(float, pairs["landmark error"].split(" -> "))
    assert before > 10 * after
    blurred, sharp = map(float, pairs["mean gradient"].split(" -> "))
    assert sharp > 1.2 * blurred
    picture = np.asarray(Image.open(tmp_path / "run/mean_flattened.png"))
    assert picture.shape == (6 * 224, 3 * 224, 3)
