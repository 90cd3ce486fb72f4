"""The network that `train_minimal.py` trained, as an ONNX file for `uvgen predict`.

    python examples/train_minimal.py shards/ --out run/
    python examples/export_onnx.py run/network.pt --out run/network.onnx
    uvgen predict run/network.onnx photos/ --scale size --out predicted/

Needs PyTorch and its exporter: pip install torch onnx onnxscript. Your own network: export what takes images
(1, 3, R, R) and returns maps (1, 3, U, U), and tell `uvgen predict` what its images and maps are divided by.
"""

import argparse
import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from train_minimal import network


class WholeMaps(nn.Module):
    """A network, and what follows it in training: maps as large as the images."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(self.net(image), image.shape[2:], mode="bilinear")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="run/network.pt of train_minimal.py")
    parser.add_argument("--out", type=Path, default=Path("network.onnx"), help="file to write")
    parser.add_argument("--size", type=int, help="px of the crops; by default of those that it was trained on")
    options = parser.parse_args()
    if missing := [package for package in ("onnx", "onnxscript") if find_spec(package) is None]:
        parser.error(f"not installed: {', '.join(missing)}; pip install onnx onnxscript")
    net = network()
    try:
        net.load_state_dict(torch.load(options.network, map_location="cpu", weights_only=True))
    except Exception as error:  # of damaged files: of any type; PyTorch advises to run what is in the file
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        parser.error(f"{options.network}: cannot be read ({why}), expected the network.pt of train_minimal.py")
    size = options.size or int(net.crop_size)
    if not size:
        parser.error("the network was not trained with train_minimal.py: give the --size of its crops")
    images = torch.zeros(1, 3, size, size)
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["position_map"]}
    names |= {"dynamo": True, "external_data": False, "verbose": False}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision, which is not used, is missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch to itself
        torch.onnx.export(WholeMaps(net).eval(), (images,), options.out, **names)
    print(f"{options.out}: images (1, 3, {size}, {size}) of 0 to 1, maps in crop sizes (--scale size)")


if __name__ == "__main__":
    main()
