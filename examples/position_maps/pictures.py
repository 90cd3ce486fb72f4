"""What a network predicts, drawn: a sheet an epoch, TensorBoard, and GIFs over the epochs."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from feed import Feed
from PIL import Image
from torch import nn

import uvgen
from uvgen.preview import prediction_sheet

SHOWN, LEAST_PX = 6, 256


class Pictures:
    """Draws a few validation samples, spread over the set; frames for GIFs are kept in the run's folder."""

    def __init__(self, feed: Feed, out: Path, model: str | None) -> None:
        self.feed, self.out = feed, out
        self.chosen = np.linspace(0, len(feed.val) - 1, min(SHOWN, len(feed.val))).astype(int).tolist()
        config = feed.val.reader.config
        builtin = uvgen.load_model("builtin")
        # It says which texels are the face: sets of another model than the built-in one need --model for dense GIFs.
        self.model = uvgen.load_model(model) if model else builtin
        self.dense = self.model.content_sha256 == config.model_sha256
        self.writer = _tensorboard(out)

    @torch.no_grad()
    def add(self, net: nn.Module, epoch: int, step: int, scores: dict[str, Any]) -> None:
        """A sheet of sparse and dense alignment, the scores, and a frame."""
        batch = self.feed.on_device(self.feed.val.batch(self.chosen))
        size = self.feed.crop_size
        maps = [(m * size).movedim(1, -1).float().cpu().numpy() for m in (net.eval()(batch["image"]), batch["posmap"])]
        sheet = prediction_sheet(
            self.feed.val.reader, self.chosen, *maps, title=f"Validation, epoch {epoch}, step {step}"
        )
        for folder in ("alignment", "frames"):
            (self.out / folder).mkdir(exist_ok=True)
        Image.fromarray(sheet).save(self.out / "alignment" / f"epoch_{epoch:04d}.png")
        np.save(self.out / "frames" / f"epoch_{epoch:04d}.npy", maps[0][:2].astype(np.float32))
        if self.writer is not None:
            for key, value in scores.items():
                if isinstance(value, float):
                    self.writer.add_scalar(f"validation/{key}", value, step)
            for name, value in scores["regions"].items():
                self.writer.add_scalar(f"regions/{name}", value, step)
            self.writer.add_image("alignment", sheet, step, dataformats="HWC")
            self.writer.flush()

    def add_loss(self, loss: float, rate: float, step: int) -> None:
        if self.writer is not None:
            self.writer.add_scalar("train/weighted_loss", loss, step)
            self.writer.add_scalar("train/rate", rate, step)

    def write_gifs(self) -> list[Path]:
        """How the first two samples were learned, sparse and dense, a frame an epoch."""
        frames = sorted((self.out / "frames").glob("epoch_[0-9][0-9][0-9][0-9]*.npy"))
        maps, captions = [_frame(path) for path in frames], [f"epoch {int(path.stem[6:])}" for path in frames]
        written = []
        for k, index in enumerate(self.chosen[:2]):
            crop = self.feed.val.reader[index]["image"]
            times = -(-LEAST_PX // len(crop))
            large = np.asarray(Image.fromarray(crop).resize((times * len(crop),) * 2, Image.Resampling.BICUBIC))
            shift = np.float32([(times - 1) / 2, (times - 1) / 2, 0])
            faces = [m[k] * times + shift for m in maps]
            for kind in ("sparse", "dense") if self.dense else ("sparse",):
                drawn = faces
                if not self.dense:  # landmarks alone, which the set says how to read
                    reading = uvgen.LandmarkWeights.of_constants(self.feed.val.reader.constants)
                    drawn = [uvgen.read_landmarks(face, reading) for face in faces]
                path = self.out / f"face{k + 1}_{kind}.gif"
                written.append(uvgen.alignment_gif(path, large, drawn, kind, captions=captions, model=self.model))
        return written


def _frame(path: Path) -> Any:
    try:
        return np.load(path)
    except (ValueError, EOFError) as error:  # NumPy advises to run what is in the file
        raise uvgen.UvgenError(f"{path}: not a readable frame; delete it") from error


def _tensorboard(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print(
            "TensorBoard is not installed (pip install tensorboard): scores are in epochs.jsonl, pictures in alignment/"
        )
        return None
    return SummaryWriter(str(out / "tensorboard"))
