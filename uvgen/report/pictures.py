"""What a page shows of one sample: a thumbnail, and the crop with its labels, panels and mesh. One process's share."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from uvgen.datasets.open import check_same_set, open_shards
from uvgen.errors import DatasetError
from uvgen.geometry import wrapped_deg
from uvgen.images.jpeg import encode_jpeg
from uvgen.maps.landmarks import LandmarkWeights
from uvgen.meshes.grid import mesh_from_map
from uvgen.models.load import check_model_file
from uvgen.models.morphable import MorphableModel
from uvgen.preview.captions import landmarks_of, what_was_done
from uvgen.preview.panels import dense_panel, map_panel, texture_panel
from uvgen.preview.problems import label_problems
from uvgen.preview.sample_view import SampleView
from uvgen.progress import advance
from uvgen.report.javascript import numbers, packed, write_script
from uvgen.shards.reader import ShardReader, naming

THUMB = 128
"""Pixels along each side of a thumbnail."""

PER_FILE = 16
"""Thumbnails in a script: few enough that a page of any order loads quickly, and a large set is not 100,000 files."""

_MOST_TEXELS = 96  # along each side of a mesh
_QUALITY, _CROP_QUALITY = 80, 90
_RANGE = (-1.0, 2.0)  # crop widths: where a landmark may lie, on a thumbnail
_ANGLES = ("pitch", "yaw", "roll")
_PREDICTED = (255, 0, 190)
_SAME_DEG = 0.05  # rounding of the crop's pose
_PLACE = ("tx (px)", "ty (px)", "tz (px)", "f (px/µm)")


class Pictured(NamedTuple):
    """Samples whose thumbnails share a file: the file's number, their numbers in the set, how many have pages, and the
    name of the first."""

    number: int
    samples: tuple[int, ...]
    n_pages: int
    first: str

    @property
    def name(self) -> str:
        """For messages."""
        return self.first + (f" and {len(self.samples) - 1} more" if self.samples[1:] else "")


class Drawn(NamedTuple):
    """What came of a `Pictured`: which of its samples with a page have labels that cannot be right."""

    pictured: Pictured
    wrong: tuple[bool, ...]


class Prediction(NamedTuple):
    """What a network says of a sample: its 68 points in the crop, (68, 2 or 3) px, and their NME."""

    points: NDArray[np.floating[Any]]
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class PictureJob:
    """What every process of a report needs: the set, its model, and the folder to fill."""

    shards: Path
    state: str
    """`uvgen.shards.reader.state_of` the set as the command opened it."""
    model: MorphableModel | None
    made: bool
    """Whether the model makes the maps."""
    untrusted: bool
    out: Path
    predictions: Mapping[str, Prediction] | None = None
    """By name, if predictions are shown."""

    def open(self) -> Callable[[Pictured], Drawn]:
        """The function that draws some samples and writes their scripts."""
        stored = open_shards(self.shards, untrusted=self.untrusted)
        reader = open_shards(self.shards, self.model, untrusted=self.untrusted) if self.made else stored
        for opened in (stored, reader):
            check_same_set(opened, self.state)
        constants = reader.constants
        texels, read, _ = landmarks_of(constants, self.model, reader.config.build.convention)
        picture = _Picture(reader, constants["coverage"], constants["weight_mask"], texels, read, self.predictions)

        def draw(pictured: Pictured) -> Drawn:
            thumbs, wrong = [], []
            for place, k in enumerate(pictured.samples):
                sample = reader[k] if place < pictured.n_pages else stored[k]
                thumbs.append(picture.thumbnail(sample))
                if place < pictured.n_pages:
                    with naming(reader.folder):
                        content = picture.page(sample)
                    number = pictured.number * PER_FILE + place
                    write_script(self.out / sample_file(number), "sample", number, content)
                    wrong.append(bool(content["problems"]))
                advance(1)
            write_script(self.out / thumbs_file(pictured.number), "thumbs", pictured.number, thumbs)
            check_model_file(self.model)
            return Drawn(pictured, tuple(wrong))

        return draw


def thumbs_file(number: int) -> str:
    """Of the thumbnails with these numbers, below the report's folder; names of samples are in no file's name."""
    return f"data/thumbs/{number // 256:03d}/{number:06d}.js"


def sample_file(number: int) -> str:
    """Of the sample with this number, below the report's folder."""
    return f"data/samples/{number // 1024:03d}/{number:06d}.js"


class _Picture:
    """Draws samples of a set."""

    def __init__(
        self,
        reader: ShardReader,
        coverage: NDArray[np.bool_],
        weights: NDArray[np.floating[Any]],
        texels: NDArray[np.int32],
        read: LandmarkWeights,
        predictions: Mapping[str, Prediction] | None = None,
    ) -> None:
        self._predictions = predictions
        self._size = reader.config.build.size
        self._coverage, self._weights, self._texels, self._read = coverage, weights, texels, read
        self._triangles = mesh_from_map(np.zeros((*coverage.shape, 3), np.float32), coverage)[1]
        self._every = max(1, round(len(weights) / 42))

    def thumbnail(self, sample: dict[str, Any]) -> dict[str, str]:
        """A small crop, and its landmarks in units of its width."""
        small = Image.fromarray(sample["image"]).resize((THUMB, THUMB), Image.Resampling.BOX, reducing_gap=2.0)
        self._draw_prediction(sample["name"], small)
        found = {"i": _jpeg(small, 75), "l": self._small(sample["landmarks"])}
        if np.isfinite(sample.get("annotated_landmarks", np.nan)).any():
            found["a"] = self._small(sample["annotated_landmarks"])
        return found

    def _draw_prediction(self, name: str, picture: Image.Image) -> None:
        """Dots at the predicted points, on a thumbnail."""
        prediction = (self._predictions or {}).get(name)
        if prediction is None:
            return
        scale, draw = picture.width / self._size, ImageDraw.Draw(picture)
        radius = max(1.0, picture.width / 170)
        edge = "black" if radius >= 2 else _PREDICTED  # which would be all that is seen of smaller dots
        for x, y in (prediction.points[:, :2].astype(np.float64) + 0.5) * scale - 0.5:
            if abs(x) < 1e5 and abs(y) < 1e5:
                draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=_PREDICTED, outline=edge)

    def _small(self, points: NDArray[np.floating[Any]]) -> str:
        """Points as 16-bit codes, 65535 for what is missing."""
        low, high = _RANGE
        shares = (points[:, :2].astype(np.float64) + 0.5) / self._size
        codes = np.clip((shares - low) / (high - low), 0, 1) * 65534
        return packed(np.where(np.isfinite(codes), np.rint(codes), 65535).astype(np.uint16))

    def page(self, sample: dict[str, Any]) -> dict[str, Any]:
        """All that a sample's own view shows."""
        annotated = sample.get("annotated_landmarks")
        if annotated is not None:
            annotated = numbers(annotated[:, :2], 2) if np.isfinite(annotated).any() else None
        predicted = (self._predictions or {}).get(sample["name"])
        content = {
            "name": sample["name"],
            "source": sample.get("source", ""),
            "size": self._size,
            "crop": _jpeg(Image.fromarray(sample["image"]), _CROP_QUALITY),
            "landmarks": numbers(sample["landmarks"][:, :2], 2),
            "annotated": annotated,
            "predicted": None if predicted is None else numbers(predicted.points[:, :2], 2),
            "numbers": self._numbers(sample),
            "problems": [],
            "panels": {},
            "mesh": None,
            "visible": None,
        }
        try:
            face = SampleView.of(sample, self._coverage, self._weights, self._triangles)
        except DatasetError as error:
            return {**content, "problems": [str(error).removeprefix(f"{sample['name']}: ")]}
        content["problems"] = label_problems(face, sample["landmarks"], self._read)
        content["visible"] = face.seen[self._texels[:, 0], self._texels[:, 1]].astype(int).tolist()
        content["numbers"].append(["hidden part of the face", f"{1 - face.seen[face.face].mean():.0%}"])
        content["panels"] = {
            "dense": _jpeg(dense_panel(face, self._every), _QUALITY),
            "map": _jpeg(map_panel(face), _QUALITY),
            "texture": _jpeg(texture_panel(face, self._texels), _QUALITY),
        }
        content["mesh"] = self._mesh(face)
        return content

    def _numbers(self, sample: dict[str, Any]) -> list[list[str]]:
        found = []  # angles in the crop and both NMEs are among the gallery's columns
        image, crop = (np.rad2deg(np.asarray(sample[field][:3], np.float64)) for field in ("pose", "crop_pose"))
        for name, value, shown in zip(_ANGLES, image, crop, strict=True):
            if not abs(wrapped_deg(value - shown)) < _SAME_DEG:
                found.append([f"{name} in the image", f"{value:.1f}°"])
        found += [[name, f"{value:.6g}"] for name, value in zip(_PLACE, sample["pose"][3:].tolist(), strict=True)]
        if np.isfinite(value := float(sample.get("label_nme_jaw", np.nan))):
            found.append(["label NME of the jaw", f"{value:.2%}"])
        found.append(["image height (px)", f"{int(sample['image_height'])}"])
        if "augmentation" in sample:
            found.append(["augmented", what_was_done(sample["augmentation"])])
        return found

    def _mesh(self, face: SampleView) -> dict[str, Any]:
        """Every k-th covered texel: its point as 16-bit codes, whether it is seen, and where it lies in the grid."""
        step = -(-len(face.coverage) // _MOST_TEXELS)
        covered, seen = face.coverage[::step, ::step], face.seen[::step, ::step]
        points = face.position_map[::step, ::step][covered].astype(np.float64)
        low, high = points.min(axis=0), points.max(axis=0)
        shown = face.position_map[face.face].astype(np.float64)  # without head and neck: what is to be looked at
        near, far = shown.min(axis=0), shown.max(axis=0)
        codes = np.rint((points - low) / np.maximum(high - low, 1e-6) * 65535).astype(np.uint16)
        return {
            "side": len(covered),
            "covered": packed(np.packbits(covered.ravel())),
            "seen": packed(np.packbits(seen[covered])),
            "points": packed(codes),
            "low": numbers(low, 3),
            "high": numbers(high, 3),
            "middle": numbers((near + far) / 2, 3),
            "reach": round(float((far - near).max()) / 2, 3),
            "turn": 1 if face.angles_rad[1] >= 0 else -1,
        }


def _jpeg(picture: Image.Image, quality: int) -> str:
    data = encode_jpeg(np.asarray(picture), quality, subsampling="420")
    return base64.b64encode(data).decode("ascii")
