"""The network that train.py trained, on photographs.

    python examples/position_maps/predict.py run/network.pt photo.jpg more/*.jpg --out predicted/

A photograph with landmarks beside it (`.txt`, `.pts`, `.npy` or `.mat` of its name, as `uvgen fit` reads them, 68
points) is cropped around them as the training sets are; one without is taken for a crop. Writes maps/NAME.npy, the
position map in px of the photograph, points/NAME.npy, the 68 landmarks, NAME_sparse.png and NAME_dense.png.
`uvgen evaluate --pred predicted/points` compares them with the truth; `uvgen predict` does more, from an ONNX file.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from export import open_network
from numpy.typing import NDArray
from PIL import Image

import uvgen


def crop_of(path: Path, image: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    """Image → crop."""
    if not uvgen.has_landmarks(path):
        side = max(image.shape[:2])
        scale = (size - 1) / max(1, side - 1)
        return np.diag([scale, scale, 1.0])
    found = uvgen.find_landmarks([path])[path]
    if isinstance(found, str):
        raise uvgen.UvgenError(found)
    points, scores = found[0].as_68()
    if not (scores > 0).all():
        raise uvgen.UvgenError(f"{path}: {found[0].scheme} landmarks beside it, expected all of the 68 points")
    return uvgen.crop_from_landmarks(points, size)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="run/network.pt")
    parser.add_argument("images", type=Path, nargs="+", help="photographs or crops")
    parser.add_argument("--out", type=Path, default=Path("predicted"), help="folder for the results")
    parser.add_argument("--model", default="builtin", help="the model of the training set: file or the word builtin")
    options = parser.parse_args()
    try:
        net, size = open_network(options.network)
        model = uvgen.load_model(options.model)
        for folder in ("maps", "points"):
            (options.out / folder).mkdir(parents=True, exist_ok=True)
    except (OSError, uvgen.UvgenError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 1
    status = 0
    names = [path.stem for path in options.images]
    for path in options.images:
        try:
            if names.count(path.stem) > 1:
                raise uvgen.UvgenError(f"{path}: another photograph is called {path.stem} too, expected other names")
            image = uvgen.read_image(uvgen.Sample(path.stem, "", path, None))  # as those of data sets are read
            similarity = crop_of(path, image, size)
        except (OSError, uvgen.UvgenError) as error:
            print(f"predict.py: {error}", file=sys.stderr)
            status = 3
            continue
        crop = uvgen.warp_image(image, similarity, size)
        with torch.no_grad():
            maps = net(torch.from_numpy(crop).permute(2, 0, 1)[None] / 255) * size
        position_map = uvgen.crop_to_image(maps[0].permute(1, 2, 0).numpy(), similarity).astype(np.float32)
        np.save(options.out / "maps" / f"{path.stem}.npy", position_map)
        np.save(options.out / "points" / f"{path.stem}.npy", uvgen.map_to_landmarks(position_map, model))
        for kind in ("sparse", "dense"):
            picture = uvgen.draw_alignment(image, position_map, kind, model=model)
            Image.fromarray(picture).save(options.out / f"{path.stem}_{kind}.png")
        print(options.out / "maps" / f"{path.stem}.npy")
    return status


if __name__ == "__main__":
    sys.exit(main())
