"""`examples/stn/train.py`: two steps of either recipe; a training that is long enough to show what it learns."""

import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.builds import have
from support.programs import beside
from support.toy import write_tree

import uvgen
from uvgen import build_shards
from uvgen.datasets.config import BuildConfig
from uvgen.models.morphable import MorphableModel

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from uvgen.torch import ShardDataset, to_float, visible_by_depth  # noqa: E402

EXAMPLE = Path(__file__).parents[2] / "examples/stn/train.py"


with beside(EXAMPLE):
    EXAMPLE_NAMES = runpy.run_path(str(EXAMPLE), run_name="stn")
    EXAMPLE_NAMES |= vars(sys.modules["model"])


def run_example() -> None:
    with beside(EXAMPLE):
        runpy.run_path(str(EXAMPLE), run_name="__main__")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("stn_example")
    config = BuildConfig(size=32, uv_size=24, shard_size=9)
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", config)
    have(folder / "300W_LP", model_path, folder / "without_maps", replace(config, maps="none"))
    return folder / "shards"


def batch_of(shards: Path, n: int = 4) -> Any:
    return to_float(ShardDataset(shards, normalize=None).batch(range(n)), normalize=None)


@pytest.mark.parametrize("kind", ["68", "21"])
def test_landmarks_of_the_example_are_the_map_s_and_those_seen_count(
    shards: Path, model: MorphableModel, kind: str
) -> None:
    landmarks = EXAMPLE_NAMES["Landmarks"](ShardDataset(shards), model, kind, 20)
    batch = batch_of(shards, 9)
    points, seen = landmarks.of(batch)
    texels = {"68": uvgen.landmark_texels, "21": uvgen.aflw_texels}[kind](model, 24)
    rows, columns = texels.T
    at = batch["posmap"][:, :2, rows, columns].mT
    np.testing.assert_allclose(points, batch["landmarks"][..., :2] if kind == "68" else at)
    expected = visible_by_depth(batch["posmap"], (32, 32))[:, 0, rows, columns]
    assert torch.equal(seen, expected) and 0 < expected.float().mean() < 1
    grid = uvgen.resample_model(model, 20)
    np.testing.assert_array_equal(landmarks.vertices, grid.landmarks if kind == "68" else aflw_vertices(model, 20))


def aflw_vertices(model: MorphableModel, size: int) -> Any:
    return [row * size + column for row, column in uvgen.aflw_texels(model, size)]


def test_landmarks_of_a_set_without_maps_all_count_and_21_are_refused(shards: Path, model: MorphableModel) -> None:
    dataset = ShardDataset(shards.with_name("without_maps"), normalize=None)
    landmarks = EXAMPLE_NAMES["Landmarks"](dataset, model, "68", 20)
    assert landmarks.of(dataset.batch(range(3)))[1].all()
    with pytest.raises(uvgen.UvgenError, match="landmarks: 21, read from maps, and the set stores none"):
        EXAMPLE_NAMES["Landmarks"](dataset, model, "21", 20)


@pytest.mark.parametrize("kind", ["68", "21"])
@pytest.mark.parametrize("pairs", ["flips", "persons"])
def test_doubled_batch_has_mirror_images_with_their_landmarks(
    shards: Path, model: MorphableModel, pairs: str, kind: str
) -> None:
    """Mirrored twice is as before; siamese pairs are an image and its flip, or neighbors of the batch."""
    landmarks, batch = EXAMPLE_NAMES["Landmarks"](ShardDataset(shards), model, kind, 20), batch_of(shards)
    images, points, seen = EXAMPLE_NAMES["doubled"](batch, landmarks, pairs)
    first = [0, 2, 4, 6] if pairs == "flips" else [0, 1, 2, 3]
    other = [k for k in range(8) if k not in first]
    assert torch.equal(images[first], batch["image"]) and torch.equal(images[other], batch["image"].flip(-1))
    true, true_seen = landmarks.of(batch)
    np.testing.assert_allclose(points[first], true * torch.tensor([1, -1]) + torch.tensor([1, 32]), atol=1e-4)
    assert torch.equal(seen[first], true_seen)
    mirror = (uvgen.LANDMARK_MIRROR if kind == "68" else uvgen.AFLW_MIRROR).tolist()
    np.testing.assert_allclose(points[other][:, mirror, 0] + points[first][..., 0], 33, atol=1e-4)  # 1 to 32
    np.testing.assert_allclose(points[other][:, mirror, 1], points[first][..., 1], atol=1e-4)
    assert torch.equal(seen[other][:, mirror], seen[first])


def test_landmarks_that_are_not_seen_change_nothing(shards: Path, model: MorphableModel) -> None:
    torch.manual_seed(0)
    landmarks = EXAMPLE_NAMES["Landmarks"](ShardDataset(shards), model, "68", 20)
    net = EXAMPLE_NAMES["SpatialTransformer"](
        EXAMPLE_NAMES["small_encoder"](), model, 20, 32, landmarks.vertices, published=False
    )  # fmt: skip
    images, points, counts = EXAMPLE_NAMES["doubled"](batch_of(shards), landmarks, "flips")
    moved = torch.where(counts[..., None], points, points + 100)
    with torch.no_grad():
        net.eval()
        expected, found = (EXAMPLE_NAMES["objective"](net, images, where, counts) for where in (points, moved))
    assert not counts.all() and torch.equal(expected[0], found[0]) and expected[1] == found[1]


@pytest.mark.slow
def test_stn_example_takes_two_steps_of_either_recipe(
    shards: Path, tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = tmp_path / "mine.py"
    encoder.write_text(
        "from torch import nn\ndef flat():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 8))\n"
    )
    n_threads = torch.get_num_threads()
    for recipe, own, more in (
        ("quick", "small", "--pairs persons --person photograph"), ("paper", f"{encoder}:flat", "--landmarks 21"),
    ):  # fmt: skip
        out = tmp_path / recipe
        options = f"--steps 2 --batch 4 --texels 20 --threads {n_threads} --device cpu --recipe {recipe} {more}".split()
        arguments = [EXAMPLE, shards, "--model", model_path, "--encoder", own, "--out", out, *options]
        monkeypatch.setattr(sys, "argv", [*map(str, arguments)])
        run_example()
        printed = capsys.readouterr().out
        assert re.search(r"^landmark error, % of the crop: \d+\.\d{4} -> \d+\.\d{4}$", printed.splitlines()[-1])
        assert Image.open(out / "mean_flattened.png").width == 3 * 224
        state = torch.load(out / "network.pt", weights_only=True)
        assert state["head.weight"].shape[0] == 16 and all(torch.isfinite(t.float()).all() for t in state.values())
    for wrong, words in (
        (["--encoder", "none.py:net"], "encoder: none.py:net, expected small or FILE.py:FUNCTION"),
        (["--pairs", "persons", "--person", "sample"], "person: sample, expected what two photographs of a person"),
    ):
        monkeypatch.setattr(sys, "argv", [*map(str, (EXAMPLE, shards, "--model", model_path, *wrong))])
        with pytest.raises(SystemExit):
            run_example()
        assert words in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.long
def test_stn_example_lowers_the_landmark_error_tenfold_and_sharpens_mean_faces(tmp_path: Path) -> None:
    uvgen.render_faces(
        tmp_path / "faces", 8, options=uvgen.SynthOptions(photographs=6, subsets=["IBUG"], flip=False, size=160)
    )
    config = BuildConfig(size=64, uv_size=48)
    build_shards(tmp_path / "faces", tmp_path / "shards", model="builtin", config=config)
    options = ["--texels", "56", "--steps", "600", "--batch", "16", "--threads", "1", "--person", r"image_(\d+)"]
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
