"""`examples/train_minimal.py` learns, validates on other photographs, keeps its network and draws what it predicts."""

import io
import os
import re
import resource
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.builds import have
from support.programs import Runner
from support.toy import write_tree

import uvgen
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.split_files import read_splits
from uvgen.datasets.splits import group_samples, split_shards

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

EXAMPLE = Path(__file__).parents[2] / "examples/train_minimal.py"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("example")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", BuildConfig(size=32, uv_size=48, shard_size=2))
    return folder / "shards"


@pytest.fixture
def shards(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "shards"))


@pytest.fixture
def without_maps(tmp_path: Path, model_path: Path) -> Path:
    config = BuildConfig(size=32, uv_size=48, shard_size=2, maps="none")
    have(write_tree(tmp_path / "300W_LP"), model_path, tmp_path / "lean", config)
    return tmp_path / "lean"


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(capsys)


def run(*arguments: object) -> Any:
    """The example in a process of its own, on one thread: more only wait for each other on a busy machine."""
    command = [sys.executable, *map(str, (EXAMPLE, *arguments))]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "workers"), [("maps", 2), pytest.param("no maps", 0, marks=pytest.mark.long)])
@pytest.mark.vital
def test_example_learns_and_leaves_network_and_picture(
    shards: Path, without_maps: Path, tmp_path: Path, model_path: Path, kind: str, workers: int
) -> None:
    model = []
    if kind == "no maps":
        shards, model = without_maps, ["--model", model_path]
    before = sorted(path.name for path in shards.iterdir())
    out = tmp_path / "run"
    done = run(
        shards, "--steps", "60", "--no-augmentation", "--workers", workers, "--out", out, "--device", "cpu", *model
    )
    assert done.returncode == 0, done.stderr
    fold = float(done.stdout.split("weighted loss fell ")[1].split()[0])
    assert fold > 5  # a few smooth faces: learned by heart at once
    parts = read_splits(out / "splits.json")  # made, as the set has none; the set is as it was
    assert sorted(path.name for path in shards.iterdir()) == before
    train, val = (parts[name].samples for name in ("train", "val"))
    assert f"{len(train)} samples to train, {len(val)} to validate" in done.stdout
    assert len(train) + len(val) == 9 and not group_samples(train).keys() & group_samples(val).keys()
    assert sorted(path.name for path in out.iterdir()) == ["network.pt", "splits.json", "validation.png"]
    state = torch.load(out / "network.pt", weights_only=True)
    assert all(torch.isfinite(tensor.float()).all() for tensor in state.values())
    assert state["crop_size"] == uvgen.describe_shards(shards).config.build.size
    picture = np.asarray(Image.open(out / "validation.png"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000

    sys.path.insert(0, str(EXAMPLE.parent))
    try:
        import train_minimal
    finally:
        sys.path.pop(0)
    net = train_minimal.network()
    net.load_state_dict(state)  # it is the network whose error was printed
    dataset = uvgen.open_shards(shards, model_path if model else None, names=val)
    weights = uvgen.LandmarkWeights.of_constants(dataset.constants)
    with torch.no_grad():
        images = torch.from_numpy(np.stack([sample["image"] for sample in dataset])).movedim(-1, 1) / 255
        maps = torch.nn.functional.interpolate(net.eval()(images), (48, 48), mode="bilinear") * 32
    truth = np.stack([sample["landmarks"] for sample in dataset])
    error = uvgen.metrics.nme_2d(uvgen.read_landmarks(maps, weights).numpy(), truth).mean()
    assert f"best validation NME {error:.2%}" in done.stdout


class Pipe(io.StringIO):
    """Knows how much of what was written had been flushed before the next line was begun."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[str] = []
        self.n_flushed = 0

    def write(self, text: str) -> int:
        before = self.getvalue()
        if before.endswith("\n") and self.n_flushed < len(before):
            self.late.append(before.splitlines()[-1])
        return super().write(text)

    def flush(self) -> None:
        self.n_flushed = len(self.getvalue())


@pytest.mark.slow
def test_example_takes_the_parts_that_a_set_has_and_prints_as_it_goes(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split_shards(shards, {"train": 0.5, "val": 0.5})
    n_train = len(uvgen.open_shards(shards, split="train"))
    out, pipe = tmp_path / "run", Pipe()
    arguments = [str(EXAMPLE), str(shards), "--steps", "40", "--out", str(out), "--workers", "0", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "stdout", pipe)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    finally:
        torch.set_num_threads(n_threads)
        monkeypatch.undo()
    lines = pipe.getvalue().splitlines()
    assert lines[0].startswith(f"{n_train} samples to train, {9 - n_train} to validate")
    steps = [line for line in lines if "weighted loss" in line and line.startswith(("step   20", "step   40"))]
    assert len(steps) == 2 and all(re.search(r"\d ms a step, \d+ s, \d+ s left$", line) for line in steps)
    assert any(line.startswith("step   40  validation NME") for line in lines)
    assert pipe.late == []
    assert not (out / "splits.json").exists()


@pytest.mark.slow
def test_example_says_what_is_missing_in_one_line(
    run_here: Runner, shards: Path, without_maps: Path, tmp_path: Path
) -> None:
    done = run_here(EXAMPLE, shards, "--split", "frontal", "--out", tmp_path / "run", status=1)
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("train_minimal.py: ") and "splits.json" in done.stderr
    done = run_here(EXAMPLE, without_maps, "--out", tmp_path / "run", status=1)
    assert "stores no maps: give the --model" in done.stderr


@pytest.mark.slow
def test_example_without_pytorch_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    for command in ([str(EXAMPLE)], ["-c", "import uvgen.torch"]):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)
        assert done.returncode == 1 and "https://download.pytorch.org/whl/cpu" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_example_on_a_full_disk_ends_with_a_message_and_without_half_a_network(shards: Path, tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLE, shards, "--out", tmp_path / "run", "--steps", 1, "--workers", 0]
    done = subprocess.run(
        [*map(str, command), "--device", "cpu"], capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr and done.stderr.splitlines()[-1].startswith("train_minimal.py: ")
    assert "File too large" in done.stderr and not (tmp_path / "run/network.pt").exists()


@pytest.mark.slow
def test_example_help_explains_every_option_and_says_its_default(run_here: Runner) -> None:
    text = run_here(EXAMPLE, "--help").stdout.split("options:")[1]
    options = re.split(r"\n  (?=--|-h)", text)[1:]
    assert len(options) == 11
    for one in options:
        assert len(one.split()) > 4, one
    assert "(default: 200)" in text


def test_example_is_short_enough_to_read() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 180


def test_export_without_the_exporter_says_what_to_install(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    program = runpy.run_path(str(EXAMPLE.with_name("export_onnx.py")))
    monkeypatch.setitem(program["main"].__globals__, "find_spec", lambda package: None)
    monkeypatch.setattr(sys, "argv", ["export_onnx.py", str(tmp_path / "network.pt")])
    with pytest.raises(SystemExit, match="2"):
        program["main"]()
    assert capsys.readouterr().err.endswith("not installed: onnx, onnxscript; pip install onnx onnxscript\n")


@pytest.mark.slow
def test_exported_network_predicts_as_the_trained_one(run_here: Runner, tmp_path: Path, monkeypatch) -> None:
    """A network with the example's layers, not trained: `uvgen predict` opens its file, and gives what PyTorch does."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install onnx onnxscript onnxruntime")
    from uvgen.evaluation.network import Network

    monkeypatch.syspath_prepend(EXAMPLE.parent)
    net = runpy.run_path(str(EXAMPLE))["network"]()
    net.crop_size.fill_(64)  # as training does
    torch.save(net.state_dict(), tmp_path / "network.pt")
    program = EXAMPLE.with_name("export_onnx.py")
    done = run_here(program, tmp_path / "network.pt", "--out", tmp_path / "n.onnx")
    assert "maps in crop sizes (--scale size)" in done.stdout
    assert (done.stdout.count("\n"), done.stderr) == (1, "")  # nothing of what PyTorch says to its developers
    network = Network(tmp_path / "n.onnx", uvgen.NetworkOptions(scale=1e3))  # before training, its maps are small
    assert (network.size, network.uv_size, network.layout) == (64, 64, "NCHW")
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        small = net.eval()(torch.from_numpy(crop).permute(2, 0, 1)[None] / 255)
        expected = torch.nn.functional.interpolate(small, (64, 64), mode="bilinear")[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(network(crop), 1e3 * expected, atol=0.05, rtol=1e-3)
