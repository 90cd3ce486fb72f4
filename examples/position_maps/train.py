"""Train one of four networks that regress position maps, from the shards that `uvgen build` made.

    python examples/position_maps/train.py shards/ --network prnet --out run/
    python examples/position_maps/train.py shards/ --network lprnet --recipe paper --augment prnet --out run/
    torchrun --nproc-per-node 2 examples/position_maps/train.py shards/ --network resnet18 --precision bfloat16

The size comes from the shards. A run's folder holds network.pt (the network of the best validation, for predict.py and
export.py), checkpoint.pt, which `--resume` goes on from, in the middle of an epoch too, to the same weights;
epochs.jsonl, alignment/ and tensorboard/. The last line is the mean weighted loss over the training samples in
evaluation mode, in crop widths squared, before the first and after the last step. Networks are in networks.py, recipes
in recipes.py, what feeds them in feed.py.
"""

import argparse
import json
import os
import signal
import sys
import time
from typing import Any

try:
    import torch
except ModuleNotFoundError:
    sys.exit(
        'PyTorch is missing: pip install "torch>=2.3" (CPU alone: --index-url https://download.pytorch.org/whl/cpu)'
    )
import torch.distributed as dist
from checkpoint import brief, keep_lines_to, load, read, save, settings_of, take_up
from feed import Feed
from networks import PositionMapNetwork, load_encoder
from options import options_of
from pictures import Pictures
from recipes import RECIPES
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from validation import shown, validate

import uvgen
from uvgen.losses import ssim, weighted_mse


class Training:
    """A network, its optimizer and its place in the recipe, on this process's device."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rank, self.n_ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        device = torch.device(options.device)
        if self.n_ranks > 1:
            if device.type == "cuda":
                device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
                torch.cuda.set_device(device)
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            self.hosts = dist.new_group(backend="gloo")  # for what processes agree on without waiting for a GPU
        self.device, self.main = device, self.rank == 0
        self.recipe = RECIPES[options.recipe, options.network]
        options.batch = options.batch or self.recipe.batch
        torch.manual_seed(options.seed)
        torch.set_num_threads(options.threads)
        self.feed = Feed(options, device, self.rank, self.n_ranks)
        self.steps = options.steps or (options.epochs or self.recipe.epochs) * self.feed.steps_an_epoch
        # to try out algorithms takes a quarter of a minute at the start: no gain in short runs
        torch.backends.cudnn.benchmark = self.steps > 2000
        self.net = PositionMapNetwork(
            options.network, options.tail, self.feed.uv_size, imagenet=options.pretrained is not None
        )
        if options.pretrained is not None:
            load_encoder(self.net.encoder, read(options.pretrained, "torchvision's state dict"))
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.net = self.net.to(device, memory_format=layout)
        self.optimizer = torch.optim.Adam(self.net.parameters(), options.rate or self.recipe.rate)
        self.step, self.best, self.first = 0, float("inf"), float("nan")
        self.runner: Any = torch.compile(self.net) if options.compile else self.net
        if self.n_ranks > 1:
            self.runner = DistributedDataParallel(self.runner, device_ids=[device] if device.type == "cuda" else None)
        mask = self.feed.train.weight_mask
        weights = torch.ones(self.feed.uv_size, self.feed.uv_size) if mask is None or options.loss == "plain" else mask
        self.loss_weights = weights.to(device)
        self.weights = (weights if mask is None else mask).to(device)

    def predict(self, image: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bfloat16"):
            return self.runner(image)

    def train_step(self, batch: dict[str, Any]) -> torch.Tensor:
        """One step on a batch that lies on the device; its loss, for which nothing waits."""
        epoch = self.step // self.feed.steps_an_epoch
        for group in self.optimizer.param_groups:
            group["lr"] = (self.options.rate or self.recipe.rate) * self.recipe.factor(self.step, self.steps, epoch)
        predicted = self.predict(batch["image"])
        loss = weighted_mse(predicted, batch["posmap"], self.loss_weights)
        if self.options.ssim:
            loss = loss + self.options.ssim * (1 - ssim(predicted, batch["posmap"], weights=self.weights))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.options.clip)
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    @torch.no_grad()
    def mean_loss(self) -> float:
        """Weighted loss over the training samples, not augmented, in evaluation mode."""
        self.net.eval()
        total = torch.zeros(2, dtype=torch.float64, device=self.device)
        for batch in self.feed.in_order(self.feed.plain, self.rank, self.n_ranks):
            loss = weighted_mse(self.net(batch["image"]), batch["posmap"], self.weights)
            n = len(batch["image"])
            total += torch.stack([loss.double() * n, torch.full_like(loss, n).double()])  # without waiting for a GPU
        if self.n_ranks > 1:
            dist.all_reduce(total)
        return float(total[0] / total[1])

    def place(self) -> tuple[int, int]:
        """Epoch, and steps that were made in it."""
        return divmod(self.step, self.feed.steps_an_epoch)

    def save(self) -> None:
        """Everything that the run needs to go on."""
        if not self.main:
            return
        epoch, done = self.place()
        self.feed.sampler.set_epoch(epoch)
        content = {
            "network": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step,
            "best": self.best, "first": self.first, "settings": settings_of(self.options), "n_ranks": self.n_ranks,
            "sampler": self.feed.sampler.state_dict(n_used=done * self.feed.batch),
        }  # fmt: skip
        save(content, self.options.out / "checkpoint.pt")

    def resume(self) -> dict[str, Any]:
        """Take up a checkpoint; the sampler's state."""
        content = load(self.options.out / "checkpoint.pt", self.options)
        if content["n_ranks"] != self.n_ranks:
            raise uvgen.UvgenError(
                f"{self.n_ranks} processes, the run was made with {brief(content['n_ranks'])}; start as many"
            )
        path = self.options.out / "checkpoint.pt"
        take_up(self.net, content["network"], path)
        take_up(self.optimizer, content["optimizer"], path)
        self.step, self.best, self.first = content["step"], content["best"], content["first"]
        if self.step > self.steps:
            raise uvgen.UvgenError(f"{path}: step is {brief(self.step)}, expected {self.steps} at most")
        return content["sampler"]

    def any_rank(self, flag: bool) -> bool:
        """Whether one of the processes says so: signals reach them at different steps, and all must stop at one."""
        if self.n_ranks == 1:
            return flag
        flags = torch.tensor([flag], dtype=torch.uint8)
        dist.all_reduce(flags, dist.ReduceOp.MAX, group=self.hosts)
        return bool(flags.item())

    def say(self, text: str) -> None:
        if self.main:
            print(text, flush=True)


def end_of_epoch(training: Training, pictures: Pictures | None, epoch: int) -> None:
    """Validate, draw, keep the best network: the main process does, the others wait."""
    if training.main and pictures is not None:
        began = time.perf_counter()
        found = validate(training.net, training.feed, training.weights)
        training.say(f"epoch {epoch}, step {training.step}: {shown(found)}")
        pictures.add(training.net, epoch, training.step, found)
        line = {"epoch": epoch, "step": training.step, "seconds": time.perf_counter() - began, **found}
        with (training.options.out / "epochs.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if found["nme_68_2d"] < training.best:
            training.best = found["nme_68_2d"]
            net = training.net
            about = {"name": training.options.network, "tail": net.tail, "uv_size": net.uv_size}
            state = {key: value.cpu() for key, value in net.state_dict().items()}
            save({**about, "crop_size": training.feed.crop_size, "state": state}, training.options.out / "network.pt")
    if training.n_ranks > 1:
        dist.barrier()
    training.net.train()


def train(options: argparse.Namespace) -> int:
    """Exit status: 0 finished, 130 stopped by a signal or `--stop-after`, with a checkpoint."""
    options.out.mkdir(parents=True, exist_ok=True)
    if (options.out / "checkpoint.pt").exists() and not options.resume:
        raise uvgen.UvgenError(f"{options.out}: holds a run; continue it with --resume, or give another --out")
    training = Training(options)
    feed, signals = training.feed, list[int]()
    position = training.resume() if options.resume else None
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _: signals.append(number))
    n = sum(p.numel() for p in training.net.parameters())
    training.say(
        f"{options.network}: {n / 1e6:.2f} M parameters; {len(feed.train)} samples to train, "
        f"{len(feed.val)} to validate, "
        f"{feed.crop_size} px, {training.steps} steps of {feed.batch} on {training.n_ranks} × {training.device}"
    )
    pictures = Pictures(feed, options.out, options.model) if training.main else None
    if training.main:
        keep_lines_to(options.out / "epochs.jsonl", training.step)
    if position is None:
        training.first = training.mean_loss()
    first_step, began, said, waited = training.step, time.perf_counter(), 0.0, 0.0
    training.net.train()
    batch = None
    while training.step < training.steps:
        epoch = training.place()[0]
        batches = iter(feed.batches(epoch, position))
        position = None
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            loss = training.train_step(feed.on_device(batch))
            if (now := time.perf_counter()) - said > 5 or training.step == training.steps:
                said, rate = now, training.optimizer.param_groups[0]["lr"]
                left = (now - began) / (training.step - first_step) * (training.steps - training.step)
                training.say(
                    f"step {training.step}/{training.steps}  loss {loss.item():.6f}  rate {rate:.2g}  {left:.0f} s left"
                )
                if pictures is not None:
                    pictures.add_loss(loss.item(), rate, training.step)
            if training.step == training.steps:
                break
            stop_now = options.stop_after is not None and training.step - first_step >= options.stop_after
            if training.any_rank(bool(signals) or stop_now):
                training.save()
                training.say(f"stopped at step {training.step}; --resume continues")
                return 130
            if training.step % options.checkpoint_every == 0:
                training.save()
        end_of_epoch(training, pictures, epoch + 1)
        training.save()
    last = training.mean_loss()  # before profiling, which makes more steps
    if options.profile:
        seconds = time.perf_counter() - began
        training.say(
            profile(
                training, batch or next(iter(feed.loader)), (training.step - first_step) * feed.batch, seconds, waited
            )
        )
    if options.gif and pictures is not None:
        for path in pictures.write_gifs():
            print(path)
    training.say(f"weighted loss {training.first:.6f} -> {last:.6f}")
    return 0


def profile(training: Training, batch: dict[str, Any], n_samples: int, seconds: float, waited: float) -> str:
    """The run's rate beside that of the same step on one batch that stays on the device; it changes the network."""
    cached, n = training.feed.on_device(batch), max(5, min(50, training.steps))
    for k in range(n + 3):
        if k == 3:
            began = time.perf_counter()
        training.train_step(cached).item()
    alone = n * training.feed.batch / (time.perf_counter() - began)
    share = f"{waited / max(seconds, 1e-9):.1%} of the time spent waiting for data"
    return f"profile: {share}; {n_samples / seconds:.0f} samples/s with validation, {alone:.0f} on a cached batch"


def main() -> int:
    options = options_of(__doc__)
    try:
        return train(options)
    except (uvgen.UvgenError, ValueError, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
