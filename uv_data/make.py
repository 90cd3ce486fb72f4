"""Makes the files in this folder from the built-in model: `python -m uvgen.uv_data.make`."""

from pathlib import Path

import numpy as np

from uvgen.images.codecs import encode_png
from uvgen.maps.landmarks import landmark_texels, landmark_weights
from uvgen.maps.mask_files import weights_to_gray
from uvgen.maps.masks import face_mask, weight_mask
from uvgen.models.builtin import builtin_model
from uvgen.storage.files import sha256_file
from uvgen.uv_data import SIZES

SUMS = "SHA256SUMS.txt"


def make(folder: Path) -> None:
    """Write every file, and last their hashes.

    Parameters
    ----------
    folder : Path
        Exists; files of the same names are replaced.
    """
    model = builtin_model()
    names = ["uv_coordinates.npy"]
    np.save(folder / names[0], np.round(model.uv, 9))  # beyond that, processors may differ
    for size in SIZES:
        names += [f"landmark_weights_{size}.txt"]
        weights = landmark_weights(model, size)
        with open(folder / names[-1], "wb") as file:
            table, form = np.concatenate([weights.indices, weights.weights], axis=1), ["%d"] * 4 + ["%.7f"] * 4
            np.savetxt(file, table, fmt=form, newline="\n", header="texels (row * size + column) and their weights")
        names += [f"face_mask_{size}.png", f"landmark_texels_{size}.txt", f"weight_mask_{size}.png"]
        face = face_mask(model, size).astype(np.uint8) * 255
        (folder / names[-3]).write_bytes(encode_png(face))
        with open(folder / names[-2], "wb") as file:
            np.savetxt(file, landmark_texels(model, size), fmt="%d", newline="\n", header="row column")
        (folder / names[-1]).write_bytes(encode_png(weights_to_gray(weight_mask(model, size))))
    sums = "".join(f"{sha256_file(folder / name)}  {name}\n" for name in sorted(names))
    (folder / SUMS).write_bytes(sums.encode())


if __name__ == "__main__":
    make(Path(__file__).parent)
