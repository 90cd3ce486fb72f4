"""What data cards say of a data set: what it holds, how it was made, and what is known of its license."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from uvgen._version import __version__
from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.naming import subset_of_shard
from uvgen.maps.target_layouts import TARGETS, target_layouts
from uvgen.models.load import BUILTIN
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import in_markdown
from uvgen.wording import count

IMAGES = (
    "The crops are pieces of the images that the set was built from, whose license uvgen does not know. 300W-LP, "
    "AFLW2000-3D and the photographs in them are for research and may not be redistributed: a set with their crops "
    "must not be published."
)
"""What is known of the images' license."""

_PLAIN = re.compile(r"\w+", re.ASCII)  # names that need no escapes in Markdown's code

CONTENT = {
    "name": "sample name; versions of one photograph share its beginning",
    "image": "crop, RGB",
    "posmap": "UV position map: x, y, z of each texel in px of the crop",
    "landmarks": "the 68 iBUG points in px of the crop, from the same parameters as the map",
    "shape": "shape parameters of the model; they multiply its basis directly",
    "expression": "expression parameters, likewise",
    "pose": "pitch, yaw, roll (rad), tx, ty, tz (px), f (px/um) in the source image",
    "crop_pose": "the same as the crop shows it",
    "camera": "takes the mesh's points to the source image: x and y over row 3, z from row 2, px",
    "image_to_crop": "similarity from the source image to the crop, before mirroring",
    "image_height": "height of the source image, px",
    "flipped": "whether image, map and landmarks are mirrored after `image_to_crop`",
    "annotated_landmarks": "landmarks of the source's file in px of the crop, NaN where there are none",
    "label_nme": "distance of landmarks 17 to 67 from the annotated ones, NaN without",
    "label_nme_jaw": "distance of landmarks 0 to 16 from the annotated ones, NaN without",
    "source": "path of the source image, below the folder of samples",
    "augmentation": "what was done to the sample, JSON",
    "unseen": "texels of the map that the photograph did not show before its face was turned",
    **{
        name: f"labels from 0: {layout.content}" if name == "parts" else layout.content
        for name, layout in target_layouts(TARGETS, 1, 1).items()
    },
}
"""What fields hold, for those that uvgen writes."""


def model_license(config: DatasetConfig) -> str:
    """What is known of the license of labels, which are made with the face model."""
    if config.model == BUILTIN:
        return (
            "Labels were made with uvgen's built-in face model. Nobody's scan or photograph is in it, and what is made "
            "from it may be used for any purpose."
        )
    return (
        f"Labels were made with the face model {in_markdown(config.model)}, and fall under its license. That of the "
        "Basel Face Model allows only research, and neither the model nor data made from it may be redistributed."
    )


def size_category(n: int) -> str:
    """The Hugging Face Hub's word for a number of samples."""
    bounds = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6))
    return next((word for word, bound in bounds if n < bound), "1M<n<10M")


def field_table(layouts: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    """Fields with their shapes, dtypes and content, as a table in Markdown."""
    rows = ["| field | shape | type | content |", "| --- | --- | --- | --- |"]
    for name, (shape, dtype) in layouts.items():
        kind = "text" if dtype.kind == "S" else dtype.name
        shown = f"`{name}`" if _PLAIN.fullmatch(name) else in_markdown(name)  # another program may have added it
        rows.append(f"| {shown} | {tuple(shape) if shape else ''} | {kind} | {CONTENT.get(name, '')} |")
    return "\n".join(rows) + "\n"


def card_text(reader: ShardReader) -> str:
    """The sections that every card has, in Markdown."""
    config = reader.config
    subsets = Counter[str]()
    for file, n in zip(reader.files, reader.shard_samples, strict=True):
        subsets[in_markdown(subset_of_shard(file))] += n
    counts = ", ".join(f"{name} {n}" for name, n in sorted(subsets.items()))
    build = config.build
    how = "made from each face's parameters of a 3D morphable model" if build.has_parameters else "another program's"
    how = "made from registered meshes and their cameras" if build.meshes else how
    lines = [
        f"{count(len(reader), 'face')}: crops of {build.size} x {build.size} px with UV position maps of "
        f"{build.uv_size} x "
        f"{build.uv_size} texels, 68 landmarks and the pose, for training networks that regress them. "
        f"Labels are {how}. Subsets: {counts}.",
        "",
        f"Made by uvgen {__version__} with the model {in_markdown(config.model)} (content "
        f"{config.model_sha256[:12]}), pixel convention `{build.convention}`: pixel centers at integers, the first "
        "pixel at (0, 0), x right, y down, z toward the viewer.",
    ]
    if config.augmentation is not None:
        lines += ["", "Samples are augmented copies; labels moved with their images."]
    lines += ["", "## License", "", IMAGES, "", model_license(config)]
    lines += [
        "",
        "## Use and limits",
        "",
        "Labels of photographs are fits of a model, not measurements: on turned faces, hidden parts are the model's "
        "guess. Neither identity nor origin, age or sex is recorded, and nobody checked whether they are "
        "balanced. Train and validate on different photographs: versions of one photograph share the beginning of "
        "their names (`uvgen split` keeps them together).",
    ]
    return "\n".join(lines) + "\n"
