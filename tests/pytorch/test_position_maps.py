"""`examples/position_maps/`: four networks of the published sizes, a trainer that goes on where it was stopped."""

import argparse
import copy
import importlib.util
import json
import os
import pickle
import re
import resource
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.builds import have
from support.programs import Done, Runner
from support.toy import write_tree

from uvgen import UvgenError
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.split_files import read_splits
from uvgen.datasets.splits import group_samples

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = EXAMPLES / "position_maps"
LAST_LINE = re.compile(r"weighted loss (\d\.\d{6}) -> (\d\.\d{6})")


def module(name: str) -> Any:
    """A file of the example, under a name of its own: other examples have files of the same names."""
    spec = importlib.util.spec_from_file_location(f"position_maps_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # dataclasses look there
    spec.loader.exec_module(found)
    return found


networks, recipes, checkpoint = module("networks"), module("recipes"), module("checkpoint")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    """Nine toy faces, whose maps are larger than the crops."""
    folder = tmp_path_factory.mktemp("position_maps")
    have(write_tree(folder / "300W_LP"), model_path, folder / "shards", BuildConfig(size=32, uv_size=48, shard_size=2))
    return folder / "shards"


FEW = ("--network", "lprnet", "--batch", "2", "--threads", "1", "--device", "cpu", "--workers", "0")


class Trainer(Runner):
    """The programs of the example; `train` makes small runs."""

    def train(self, shards: Path, *arguments: object, status: int = 0) -> Done:
        return self(FOLDER / "train.py", shards, *FEW, *arguments, status=status)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Trainer:
    return Trainer(capsys)


def n_parameters(net: Any) -> int:
    return sum(p.numel() for p in net.parameters())


def test_networks_have_the_published_numbers_of_parameters() -> None:
    for tail in networks.TAILS:
        assert round(n_parameters(networks.PositionMapNetwork("prnet", tail)) / 1e6, 2) == 13.35
        assert round(n_parameters(networks.PositionMapNetwork("lprnet", tail)) / 1e6, 2) == 4.48
    assert n_parameters(networks.MobileNetV2Encoder()) == 3_504_872 - 1280 * 1000 - 1000  # less torchvision's head
    assert n_parameters(networks.ResNet18Encoder()) == 11_689_512 - 512 * 1000 - 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tail"), [*zip(networks.NETWORKS, ("sigmoid", "linear", "linear", "sigmoid"), strict=True)]
)
def test_network_gives_maps_of_each_size_and_every_parameter_learns(name: str, tail: str) -> None:
    torch.manual_seed(0)
    net = networks.PositionMapNetwork(name, tail, 48)
    maps = net(torch.rand(2, 3, 64, 64))
    assert maps.shape == (2, 3, 48, 48) and maps.dtype == torch.float32
    (maps - torch.rand(2, 3, 48, 48)).square().mean().backward()
    before = [p.detach().clone() for p in net.parameters()]
    torch.optim.Adam(net.parameters(), 1e-3).step()
    assert all(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    with torch.no_grad():
        features = net.eval().encoder(torch.rand(1, 3, 64, 64))
    assert features.shape == (1, net.encoder.n_out, 2, 2)


def test_stride_1_convolutions_of_4_keep_the_size_and_are_each_others_transposes() -> None:
    """As TensorFlow's SAME: <A x, y> = <x, Aᵀ y> for a convolution and the transposed one of the same kernel."""
    torch.manual_seed(0)
    forward = torch.nn.Sequential(*networks._convolution4(2, 3, 1)).double()
    back = networks.Transposed4(3, 2, 1).double()
    back.weight.data = forward[1].weight.data
    x, y = torch.rand(1, 2, 5, 7, dtype=torch.float64), torch.rand(1, 3, 5, 7, dtype=torch.float64)
    assert torch.isclose((forward(x) * y).sum(), (x * back(y)).sum())


@pytest.mark.parametrize(("encoder", "key"), [("MobileNetV2Encoder", "features.18.1.running_var"),
                                              ("ResNet18Encoder", "layer4.0.downsample.0.weight")])  # fmt: skip
def test_state_dict_with_torchvision_keys_loads_and_another_is_refused(encoder: str, key: str) -> None:
    source, target = getattr(networks, encoder)(), getattr(networks, encoder)()
    head = "fc." if encoder.startswith("ResNet") else "classifier.1."
    state = source.state_dict() | {f"{head}weight": torch.zeros(1000, 1280), f"{head}bias": torch.zeros(1000)}
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}  # as older files
    networks.load_encoder(target, state)
    assert torch.equal(target.state_dict()[key], source.state_dict()[key])
    with pytest.raises(ValueError, match=f"lacks {key} and 0 more; expected torchvision's state dict"):
        networks.load_encoder(target, {k: v for k, v in state.items() if k != key})
    with pytest.raises(ValueError, match="has, and the encoder has not, zzz and 0 more"):
        networks.load_encoder(target, state | {"zzz": torch.zeros(1)})
    with pytest.raises(ValueError, match=rf"{key}: \(1,\), expected \("):
        networks.load_encoder(target, state | {key: torch.zeros(1)})


def test_recipes_warm_up_and_fall_as_they_say() -> None:
    default, prnet, resnet = (
        recipes.RECIPES[k] for k in (("default", "prnet"), ("paper", "prnet"), ("paper", "resnet18"))
    )
    factors = [default.factor(k, 100, 0) for k in range(100)]
    assert factors[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert factors[10:] == sorted(factors[10:], reverse=True) and 0.01 <= factors[-1] < 0.012
    assert default.factor(0, 1, 0) == 1
    assert [prnet.factor(0, 1, epoch) for epoch in (0, 4, 5, 10)] == [1, 1, 0.5, 0.25]
    assert resnet.factor(0, 1, 3) == pytest.approx(0.99**3)
    assert {network for _, network in recipes.RECIPES} == set(networks.NETWORKS) and len(recipes.RECIPES) == 8


def test_trainer_is_short_enough_to_read() -> None:
    for path in FOLDER.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 300, path


def test_trainer_starts_on_systems_without_affinities(run: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # macOS
    assert "--threads" in run(FOLDER / "train.py", "--help").stdout


class Command:
    """Unpickled, it would run a command."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


def test_checkpoints_that_are_damaged_or_lack_a_field_are_refused_and_nothing_in_them_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, state = tmp_path / "checkpoint.pt", {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
    torch.save({"step": 1, "network": state}, path)
    whole = path.read_bytes()
    assert checkpoint.read(path, "a run's", step=int, network=dict)["step"] == 1
    torch.save(Command(), path)
    damaged = [b"", b"text", whole[: len(whole) // 2], path.read_bytes(), pickle.dumps(Command())]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(UvgenError, match=r"checkpoint\.pt: cannot be read \(\w+\), expected a run's"):
            checkpoint.read(path, "a run's")
    assert not Path("ran").exists()
    for content, found in (([1], "holds a list"), ({"step": "x"}, "step is 'x'"), ({}, "step is None")):
        torch.save(content, path)
        with pytest.raises(UvgenError, match=rf"{found}, expected a run's"):
            checkpoint.read(path, "a run's", step=int)
    checkpoint.take_up(torch.nn.Linear(3, 2), state, path)
    for other in ({}, {**state, "bias": torch.zeros(5)}, {**state, "bias": "x"}):
        with pytest.raises(UvgenError, match="does not fit Linear"):
            checkpoint.take_up(torch.nn.Linear(3, 2), other, path)


def test_checkpoint_on_a_full_disk_is_an_oserror_and_the_one_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save({"step": 1}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(
            OSError, match=r"checkpoint\.pt: cannot be written; is the disk full"
        ):  # PyTorch: RuntimeError
            checkpoint.save({"step": 2, "network": torch.zeros(200_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert checkpoint.read(path, "a run's", step=int)["step"] == 1


def test_checkpoint_whose_name_a_folder_has_says_so(tmp_path: Path) -> None:
    (tmp_path / "network.pt").mkdir()
    with pytest.raises(OSError, match=r"network\.pt: is a folder, expected a file to write"):
        checkpoint.save({"step": 1}, tmp_path / "network.pt")
    assert [file.name for file in tmp_path.iterdir()] == ["network.pt"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1j], ids=str)
def test_checkpoint_whose_weights_are_no_numbers_is_refused(tmp_path: Path, value: complex) -> None:
    state = {"weight": torch.full((2, 3), value), "bias": torch.zeros(2)}
    with pytest.raises(UvgenError, match=r"does not fit Linear \(weight: "):
        checkpoint.take_up(torch.nn.Linear(3, 2), state, tmp_path / "network.pt")


ADAM: dict[str, Callable[[dict[str, Any]], object]] = {
    "betas of text": lambda state: state["param_groups"][0].update(betas="ab"),
    "betas of NaN": lambda state: state["param_groups"][0].update(betas=(float("nan"), 0.9)),
    "no betas": lambda state: state["param_groups"][0].pop("betas"),
    "amsgrad": lambda state: state["param_groups"][0].update(amsgrad=True),
    "a parameter twice": lambda state: state["param_groups"][0].update(params=[0, 0]),
    "another shape": lambda state: state["state"][0].update(exp_avg=torch.zeros(3)),
    "a text": lambda state: state["state"][0].update(exp_avg="x"),
    "NaN": lambda state: state["state"][0]["exp_avg"].fill_(float("nan")),
    "negative squares": lambda state: state["state"][0]["exp_avg_sq"].fill_(-1.0),
    "a negative step": lambda state: state["state"][0]["step"].fill_(-1.0),
    "no step": lambda state: state["state"][0].pop("step"),
    "a list": lambda state: state.update(state=[1]),
    "an unknown parameter": lambda state: state["state"].update({7: state["state"].pop(1)}),
}


@pytest.mark.parametrize("change", ADAM)
def test_checkpoint_whose_optimizer_would_fail_at_the_next_step_is_refused(tmp_path: Path, change: str) -> None:
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    checkpoint.take_up(torch.optim.Adam(net.parameters(), 2e-3), state, tmp_path / "checkpoint.pt")
    ADAM[change](state)
    with pytest.raises(UvgenError, match=r"checkpoint\.pt: does not fit Adam"):
        checkpoint.take_up(optimizer, state, tmp_path / "checkpoint.pt")


@pytest.mark.parametrize(("name", "value"), [("step", -5), ("best", float("nan")), ("first", float("-inf"))])
def test_checkpoint_of_a_run_that_cannot_be_is_refused(tmp_path: Path, name: str, value: float) -> None:
    options = argparse.Namespace(seed=0)
    content = {"network": {}, "optimizer": {}, "settings": {"seed": 0}, "sampler": {}, "step": 2, "n_ranks": 1}
    content |= {"best": float("inf"), "first": 0.5}
    torch.save(content, tmp_path / "checkpoint.pt")
    assert checkpoint.load(tmp_path / "checkpoint.pt", options)["step"] == 2
    torch.save({**content, name: value}, tmp_path / "checkpoint.pt")
    with pytest.raises(UvgenError, match=f"{name} is {value}, expected 0 or more"):
        checkpoint.load(tmp_path / "checkpoint.pt", options)


DEEP = b"]" * 3001 + b"a" * 3000
"""A pickled list in a list, 3,000 times: deeper than Python shows it."""


def write_pickle(path: Path, pickled: bytes) -> None:
    """A file as `torch.save` writes it, of this pickle."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", "3\n")
        file.writestr("archive/byteorder", "little")


@pytest.mark.parametrize("after", ["", '{"step": 6}\n', '{"step": 6}\n{"ste', "[]\n7\n"])
def test_lines_written_after_the_checkpoint_of_a_killed_run_are_dropped(tmp_path: Path, after: str) -> None:
    path = tmp_path / "epochs.jsonl"
    checkpoint.keep_lines_to(path, 4)
    assert not path.exists()
    path.write_text('{"step": 2}\n{"step": 4}\n' + after)
    checkpoint.keep_lines_to(path, 4)
    assert path.read_text() == '{"step": 2}\n{"step": 4}\n' and [*tmp_path.iterdir()] == [path]


def test_frame_that_is_damaged_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    path = tmp_path / "epoch_0001.npy"
    for content in (b"x", b""):
        path.write_bytes(content)
        with pytest.raises(UvgenError, match=r"epoch_0001\.npy: not a readable frame; delete it"):
            module("pictures")._frame(path)


def test_checkpoints_that_are_compressed_or_no_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"step": 1}, path)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as small:
        for name in whole.namelist():
            small.writestr(name, whole.read(name))
    os.mkfifo(tmp_path / "pipe.pt")
    for other in (tmp_path / "small.pt", tmp_path / "pipe.pt", Path("/dev/zero"), tmp_path):
        with pytest.raises(UvgenError, match=r"cannot be read \(.+\), expected a run's"):
            checkpoint.read(other, "a run's")
    with path.open("ab") as file:
        file.truncate(1 << 40)  # a terabyte of holes
    with pytest.raises(UvgenError, match=r"cannot be read \(.+\), expected a run's"):
        checkpoint.read(path, "a run's")


def test_checkpoint_with_a_value_that_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    path, options = tmp_path / "checkpoint.pt", argparse.Namespace(seed=0)
    write_pickle(path, b"\x80\x02}X\x04\x00\x00\x00step" + DEEP + b"s.")
    with pytest.raises(UvgenError, match=r"step is a list, expected a run's"):
        checkpoint.read(path, "a run's", step=int)
    content = {"network": {}, "optimizer": {}, "sampler": {}, "step": 2, "n_ranks": 1, "best": 1.0, "first": 0.5}
    for seed, found in (
        (torch.zeros(3), "a Tensor"), (torch.zeros(()), "a Tensor"), ([[]], "a list"),
        (1 << 900, "a number of 901 bits"),
        ("\x1b[31m\n", r"'\\x1b\[31m\\n'"), ("\ud800", r"'\\ud800'"),
    ):  # fmt: skip
        torch.save({**content, "settings": {"seed": seed}}, path)
        with pytest.raises(UvgenError, match=rf"--seed: 0, the run in .* has {found}; give the same"):
            checkpoint.load(path, options)


def test_messages_about_weights_have_no_control_characters_of_the_file(tmp_path: Path) -> None:
    state = torch.nn.Linear(3, 2).state_dict() | {"\x1b[31m\n": torch.zeros(1)}
    with pytest.raises(UvgenError, match="does not fit Linear") as caught:
        checkpoint.take_up(torch.nn.Linear(3, 2), state, tmp_path / "network.pt")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", [7, None, (1, 2), "\x1b[31m"], ids=repr)
def test_pretrained_weights_under_keys_that_are_no_names_are_refused(key: object) -> None:
    encoder = networks.ResNet18Encoder()
    with pytest.raises(ValueError, match="has 1 keys that are no names; expected torchvision's state dict"):
        networks.load_encoder(encoder, encoder.state_dict() | {key: torch.zeros(1)})


@pytest.mark.slow
def test_run_that_was_stopped_in_mid_epoch_goes_on_to_the_same_weights(
    run: Trainer, shards: Path, tmp_path: Path
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    steps = ("--steps", "6")
    done = run.train(shards, *steps, "--out", whole, "--gif", "--profile")
    *others, last = done.stdout.splitlines()
    assert LAST_LINE.fullmatch(last)
    assert any(re.match(r"profile: \d+\.\d% of the time spent waiting .* on a cached batch$", line) for line in others)
    parts = read_splits(whole / "splits.json")
    names = [parts[name].samples for name in ("train", "val")]
    assert not group_samples(names[0]).keys() & group_samples(names[1]).keys()  # by photographs
    epochs = [json.loads(line) for line in (whole / "epochs.jsonl").read_text().splitlines()]
    assert {"nme_68_2d", "nme_68_3d", "nme_dense_3d", "ssim", "nme_68_2d_by_yaw", "regions"} <= epochs[-1].keys()
    assert len(list((whole / "alignment").iterdir())) == len(epochs)
    assert Image.open(whole / "face1_sparse.gif").n_frames == len(epochs)

    stopped = run.train(shards, *steps, "--out", halves, "--stop-after", "2", status=130)
    assert stopped.stdout.splitlines()[-1] == "stopped at step 2; --resume continues"
    content = torch.load(halves / "checkpoint.pt", weights_only=True)
    assert content["sampler"]["position"] == 4 and content["sampler"]["epoch"] == 0  # within an epoch
    assert "holds a run; continue it with --resume" in run.train(shards, *steps, "--out", halves, status=1).stderr
    wrong = run.train(shards, "--steps", "9", "--out", halves, "--resume", status=1).stderr
    assert "--steps: 9, the run in" in wrong and "has 6; give the same" in wrong
    resumed = run.train(shards, *steps, "--out", halves, "--resume")
    assert resumed.stdout.splitlines()[-1] == last
    a, b = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (whole, halves))
    assert a["step"] == b["step"] == 6
    assert all(torch.equal(a["network"][key], b["network"][key]) for key in a["network"])
    for k, state in a["optimizer"]["state"].items():
        assert torch.equal(state["exp_avg_sq"], b["optimizer"]["state"][k]["exp_avg_sq"])

    for k in range(2):  # predicted from files, as crops
        Image.fromarray(np.full((32, 32, 3), 60 * k, np.uint8)).save(tmp_path / f"{k}.png")
    images = tmp_path / "0.png", tmp_path / "1.png"
    run(FOLDER / "predict.py", whole / "network.pt", *images, "--out", tmp_path / "predicted")
    assert np.load(tmp_path / "predicted/maps/1.npy").shape == (48, 48, 3)
    assert np.load(tmp_path / "predicted/points/0.npy").shape == (68, 3)


@pytest.mark.slow
def test_all_ways_of_feeding_and_calculating_train_together(
    run: Trainer, shards: Path, model_path: Path, tmp_path: Path
) -> None:
    done = run.train(
        shards, "--steps", "2", "--out", tmp_path / "run", "--model", model_path, "--maps", "layer",
        "--augment", "prnet", "--feed", "float", "--precision", "bfloat16", "--channels-last", "--clip", "1",
        "--ssim", "0.1",
        "--recipe", "paper", "--tail", "sigmoid", "--loss", "plain",
    )  # fmt: skip
    assert LAST_LINE.fullmatch(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_exported_files_predict_as_the_network(run: Trainer, tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install onnx onnxscript onnxruntime")
    from uvgen import NetworkOptions
    from uvgen.evaluation.network import Network

    net = networks.PositionMapNetwork("lprnet", "linear", 64)
    about = {"name": "lprnet", "tail": "linear", "uv_size": 64, "crop_size": 64, "state": net.state_dict()}
    torch.save(about, tmp_path / "network.pt")
    done = run(FOLDER / "export.py", tmp_path / "network.pt")
    assert done.stdout.count("differs from the network by") == 2
    opened = Network(tmp_path / "network.onnx", NetworkOptions(scale=1e3))  # before training, its maps are small
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(crop).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(opened(crop), 1e3 * expected, atol=0.05, rtol=1e-3)  # onnxruntime sums in another order


@pytest.mark.slow
def test_coefficients_are_learned_through_the_layer(
    run: Trainer, shards: Path, model_path: Path, tmp_path: Path
) -> None:
    few = ("--steps", "12", "--batch", "4", "--threads", "1", "--device", "cpu")
    done = run(EXAMPLES / "coefficients/train.py", shards, "--model", model_path, *few, "--out", tmp_path)
    found = LAST_LINE.fullmatch(done.stdout.splitlines()[-1])
    assert found and float(found[2]) < 0.7 * float(found[1])
    scores = re.findall(r"^(\w+): weighted loss \S+ -> \S+, landmark loss (\S+) -> (\S+), NME (\S+)% -> (\S+)% 2D$",
                        done.stdout, flags=re.MULTILINE)  # fmt: skip
    assert [name for name, *_ in scores] == ["validation", "training"]
    assert all(float(values[k + 1]) < float(values[k]) for _, *values in scores[1:] for k in (0, 2))
    state = torch.load(tmp_path / "network.pt", weights_only=True)
    assert all(torch.isfinite(tensor.float()).all() for tensor in state.values())


@pytest.mark.slow
def test_processes_stop_at_the_same_step_though_one_alone_got_the_signal(shards: Path, tmp_path: Path) -> None:
    """Without agreement, one would wait for the gradients of the other for ever."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, FOLDER / "train.py", shards, *FEW, "--steps", 1_000_000, "--out", tmp_path / "run"]
    command += ["--checkpoint-every", 1_000_000]
    ranks = []
    for rank in range(2):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        ranks.append(subprocess.Popen([*map(str, command)], env=os.environ | place, **pipes))
    try:
        first = ranks[0].stdout
        assert first is not None
        said = []
        while not said or "step 1/" not in said[-1]:
            said.append(first.readline())
            assert said[-1], said  # it has ended
        ranks[1].send_signal(signal.SIGTERM)
        printed = [rank.communicate(timeout=600)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [130, 130], printed
    stopped = re.search(r"^stopped at step (\d+); --resume continues$", printed[0], flags=re.MULTILINE)
    assert stopped and "stopped" not in printed[1]
    content = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    assert content["step"] == int(stopped[1]) and content["n_ranks"] == 2


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("network", networks.NETWORKS)
@pytest.mark.parametrize(("steps", "share"), [(80, 1 / 4), (300, 1 / 10)])
def test_network_learns_the_built_in_set(
    run: Trainer, uvgen: Any, network: str, steps: int, share: float, tmp_path: Path
) -> None:
    assert uvgen("build", "--subset", "IBUG", "--size", 64, "--out", tmp_path / "shards").exit_code == 0
    few = ("--network", network, "--steps", steps, "--threads", "1", "--device", "cpu")
    done = run(FOLDER / "train.py", tmp_path / "shards", *few, "--out", tmp_path / "run")
    found = LAST_LINE.fullmatch(done.stdout.splitlines()[-1])
    assert found and float(found[2]) < share * float(found[1])


def test_a_file_of_augmentations_starts_from_the_preset_that_the_commands_start_from(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"rotation_deg": [-5, 5]}')
    found = module("feed").augmentation_of(str(tmp_path / "a.json"))
    assert found.rotation_deg == (-5, 5) and found.occlusion == 0.5
    assert module("feed").augmentation_of("none") is None


def test_predict_names_photographs_that_it_cannot_take_and_takes_the_others(run: Trainer, tmp_path: Path) -> None:
    net = networks.PositionMapNetwork("lprnet", "sigmoid", 32)
    about = {"name": "lprnet", "tail": "sigmoid", "uv_size": 32, "crop_size": 32, "state": net.state_dict()}
    torch.save(about, tmp_path / "network.pt")
    for name in ("good.png", "a/same.png", "b/same.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), 60, np.uint8)).save(tmp_path / name)
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "deep.png")
    bomb = bytearray((tmp_path / "good.png").read_bytes())
    bomb[16:29] = (60_000).to_bytes(4, "big") * 2 + bomb[24:29]
    (tmp_path / "bomb.png").write_bytes(bomb)
    (tmp_path / "page.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")  # Ghostscript's
    names = ("good.png", "a/same.png", "b/same.png", "deep.png", "bomb.png", "page.jpg", "none.png")
    images = [tmp_path / name for name in names]
    done = run(FOLDER / "predict.py", tmp_path / "network.pt", *images, "--out", tmp_path / "out", status=3)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 6 and all(f"{path}: " in line for path, line in zip(images[1:], lines, strict=True))
    assert "another photograph is called same too" in lines[0] and "16 bits" in lines[2] and "PostScript" in lines[4]
    assert [path.name for path in (tmp_path / "out/maps").iterdir()] == ["good.npy"]
