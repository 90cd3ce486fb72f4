"""The network that train.py trained as ONNX and torch.export files, compared with the network itself.

    python examples/position_maps/export.py run/network.pt
    uvgen predict run/network.onnx photos/ --scale size --out predicted/

Writes network.onnx and network.pt2 beside it. Needs PyTorch's exporter, and onnxruntime to compare: pip install onnx
onnxscript onnxruntime. Images are (1, 3, R, R) of 0 to 1, maps (1, 3, U, U) in crop widths.
"""

import argparse
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checkpoint import brief, read, take_up
from networks import NETWORKS, TAILS, PositionMapNetwork

import uvgen

SIZES = range(16, 4097)
"""Pixels and texels that uvgen makes."""

CLOSE = 1e-3
"""Crop widths: what the files may differ by from the network; a quarter of a pixel at 256."""


def open_network(path: Path) -> tuple[PositionMapNetwork, int]:
    """The network of a run, in evaluation mode, and the side of its crops."""
    what = "the network.pt of a run of train.py"
    content = read(path, what, name=str, tail=str, uv_size=int, crop_size=int, state=dict)
    for name, values in {"name": NETWORKS, "tail": TAILS, "uv_size": SIZES, "crop_size": SIZES}.items():
        if content[name] not in values:
            raise uvgen.UvgenError(f"{path}: {name} is {brief(content[name])}, expected {what}")
    net = PositionMapNetwork(content["name"], content["tail"], content["uv_size"])
    take_up(net, content["state"], path)
    return net.eval(), content["crop_size"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="run/network.pt")
    path = parser.parse_args().network
    try:
        net, size = open_network(path)
    except uvgen.UvgenError as error:
        print(f"export.py: {error}", file=sys.stderr)
        return 1
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision, which is not used, is missing
    warnings.simplefilter("ignore", FutureWarning)  # of PyTorch to itself
    images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = net(images).numpy()
        program = torch.export.export(net, (images,))
        torch.export.save(program, path.with_suffix(".pt2"))
        found = {path.with_suffix(".pt2"): torch.export.load(path.with_suffix(".pt2")).module()(images).numpy()}
    onnx = path.with_suffix(".onnx")
    try:
        names: dict[str, Any] = {"input_names": ["image"], "output_names": ["position_map"]}
        torch.onnx.export(net, (images,), onnx, dynamo=True, external_data=False, verbose=False, **names)
        import onnxruntime

        session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        found[onnx] = session.run(None, {"image": images.numpy()})[0]
    except ModuleNotFoundError as error:
        print(f"export.py: {error.name} is missing: pip install onnx onnxscript onnxruntime", file=sys.stderr)
    for name, maps in found.items():
        difference = float(np.abs(maps - expected).max())
        print(f"{name}: differs from the network by {difference:.1e} crop widths at most")
        if not difference < CLOSE:
            return 1
    return 0 if onnx in found else 1


if __name__ == "__main__":
    sys.exit(main())
