"""How good a network is: the field's scores on the validation samples, and where on the face it errs."""

import math
from typing import Any

import numpy as np
import torch
from feed import Feed
from torch import nn

import uvgen
from uvgen import LandmarkWeights, read_landmarks
from uvgen.evaluation import Evaluation, Faces
from uvgen.losses import weighted_mse

SCORES = ("nme_68_2d", "nme_68_3d", "nme_dense_2d", "nme_dense_3d", "ssim")
REGIONS = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "eyes": (36, 48), "mouth": (48, 68)}


@torch.no_grad()
def validate(net: nn.Module, feed: Feed, weights: torch.Tensor) -> dict[str, Any]:
    """Weighted loss and scores as plain numbers; NME by yaw, and of the parts of the 68 points (`REGIONS`)."""
    net.eval()
    constants, size = feed.val.reader.constants, feed.crop_size
    reading = LandmarkWeights.of_constants(constants)
    evaluation = Evaluation(mask=constants["weight_mask"] > 0, crop_size=size, landmark_weights=reading, scores=SCORES)
    losses, distances = [], []
    for batch in feed.in_order(feed.val):
        predicted, true = net(batch["image"]), batch["posmap"]
        losses.append(weighted_mse(predicted, true, weights).item() * len(true))
        if not math.isfinite(losses[-1]):
            raise uvgen.UvgenError(
                f"the network's maps of {batch['name'][0]} are not finite: training diverged; give a "
                "smaller --rate, or --clip"
            )
        points = read_landmarks(predicted * size, reading)
        yaw_deg = torch.rad2deg(batch["pose"][:, 1])
        truth = Faces(batch["landmarks"], true * size)
        evaluation.add(Faces(points, predicted * size), truth, names=batch["name"], yaw_deg=yaw_deg)
        span = batch["landmarks"][..., :2].amax(1) - batch["landmarks"][..., :2].amin(1)
        distance = (points - batch["landmarks"])[..., :2].norm(dim=-1) / span.prod(1).sqrt()[:, None]
        distances.append(distance.float().cpu().numpy())
    summaries = evaluation.result().summaries
    found: dict[str, Any] = {"weighted_loss": sum(losses) / len(feed.val)}
    found |= {key: one.mean for key, one in summaries.items()}
    found["nme_68_2d_by_yaw"] = [one.mean for one in summaries["nme_68_2d"].bins]
    each = np.concatenate(distances)
    found["regions"] = {name: float(each[:, a:b].mean()) for name, (a, b) in REGIONS.items()}
    return found


def shown(found: dict[str, Any]) -> str:
    """The scores in one readable line."""
    yaws = "/".join("–" if value is None else f"{value:.2%}" for value in found["nme_68_2d_by_yaw"])
    dense = f"dense {found['nme_dense_2d']:.2%} 2D {found['nme_dense_3d']:.2%} 3D"
    points = f"NME {found['nme_68_2d']:.2%} 2D (by yaw {yaws}), {found['nme_68_3d']:.2%} 3D"
    return f"validation: loss {found['weighted_loss']:.6f}, SSIM {found['ssim']:.3f}, {points}, {dense}"
