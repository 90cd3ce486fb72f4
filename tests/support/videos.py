"""Videos to fit: a synthetic head that moves, as a folder of frames or encoded, with its landmarks."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from support.models import builtin_model

from uvgen.geometry import pose_to_image
from uvgen.randomness import keyed_generator
from uvgen.synth.faces import FaceSource
from uvgen.synth.portrait import Painter

SIZE = 96


@cache
def head(count: int, person: str = "a", turn_deg: float = 20.0, size: int = SIZE) -> tuple[NDArray, NDArray]:
    """(count, size, size, 3) pictures of a head that turns to `turn_deg` and opens its mouth; (count, 68, 2)."""
    model = builtin_model()
    source, painter = FaceSource(model, 0, size), Painter(model, size)
    first = source.draw(f"head_{person}")
    pose = first.pose.copy()
    pose[1] = 0
    images, points = [], []
    for k in range(count):
        along = k / max(count - 1, 1)
        turned = pose.copy()
        turned[1] += np.deg2rad(turn_deg) * along
        expression = (first.expression * np.cos(2 * along)).astype(np.float32)
        face = replace(first, pose=turned, expression=expression)
        surfaces, albedo = painter.surfaces([face])
        own = None if albedo is None else albedo[0]
        images.append(painter.paint(face, surfaces[0], own, keyed_generator(0, person, "scene")))
        affine = pose_to_image(turned[None], size)[0]
        points.append((surfaces[0][model.landmarks] @ affine[:, :3].T + affine[:, 3])[:, :2])
    return np.stack(images), np.stack(points)


def write_frames(folder: Path, images: NDArray, points: NDArray, numbers: Sequence[int] = ()) -> Path:
    """Frames as PNG files with a text file of landmarks each; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image, marks in zip(numbers or range(len(images)), images, points, strict=True):
        Image.fromarray(image).save(folder / f"frame_{number:06d}.png", compress_level=1)
        np.savetxt(folder / f"frame_{number:06d}.txt", marks, fmt="%.4f")
    return folder


def write_marks(folder: Path, points: NDArray) -> Path:
    """The landmarks of a video file's frames."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, marks in enumerate(points):
        np.savetxt(folder / f"frame_{number:06d}.txt", marks, fmt="%.4f")
    return folder


def encode(
    path: Path, images: Sequence[NDArray], rate: int = 25, at: Sequence[int] = (), *, codec: str = "mpeg4",
    options: dict[str, str] | None = None, aspect: tuple[int, int] = (1, 1),
) -> Path:  # fmt: skip
    """A video file of some pictures, by PyAV; `at` says when each is shown, in units of 1 / `rate` s.

    `options` are the container's; pixels are `aspect` wide and high.
    """
    import av

    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        height, width = images[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 4_000_000
        stream.codec_context.time_base = Fraction(1, rate)
        stream.codec_context.sample_aspect_ratio = Fraction(*aspect)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = (at[number] if at else number), Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
