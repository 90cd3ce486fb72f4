"""The four networks: images (B, 3, R, R) of 0 to 1 in, position maps (B, 3, U, U) in crop widths out.

| name | encoder | decoder |
| --- | --- | --- |
| `prnet` | PRNet's ten residual blocks (Feng et al., ECCV 2018, section 3.3) | its 17 transposed convolutions |
| `mobilenetv2` | MobileNetV2 (Sandler et al., CVPR 2018) up to 1280 channels | the same |
| `resnet18` | ResNet18 (He et al., CVPR 2016) up to 512 channels | the same |
| `lprnet` | L-PRNet's depthwise separable blocks | its six transposed convolutions |

All encoders end at 1/32 of the crop, so crops have sides that are multiples of 32. The layers of the MobileNetV2 and
ResNet18 encoders have torchvision's names: files of its state dicts load into them (`load_encoder`), and torchvision is
not needed.

What the last layer gives goes through the tail, `sigmoid` (published) or `linear`; both divide it by 4, since a batch
norm gives numbers of deviation 1 and texels lie 0.25 crop widths from the middle. The sigmoid opens onto -1.5 to 2.5
crop widths, all that shards can hold (`normalize="unit"`), so that every texel can be represented.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

NETWORKS = ("prnet", "mobilenetv2", "resnet18", "lprnet")
TAILS = ("sigmoid", "linear")


def _normal(n: int, relu: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    return [nn.BatchNorm2d(n), relu(inplace=True)]


def _convolution4(n_in: int, n_out: int, stride: int) -> list[nn.Module]:
    """4×4, to the input's size divided by the stride: with stride 1, one more is padded after than before."""
    padding = nn.ZeroPad2d((1, 2, 1, 2) if stride == 1 else 1)
    return [padding, nn.Conv2d(n_in, n_out, 4, stride, bias=False)]


class ResidualBlock(nn.Module):
    """PRNet's: 1×1 to half the width, 4×4 with the stride, 1×1; batch norm and ReLU after the sum."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        half = n_out // 2
        fits = (n_in, stride) == (n_out, 1)
        self.shortcut = nn.Identity() if fits else nn.Conv2d(n_in, n_out, 1, stride, bias=False)
        squeeze, widen = nn.Conv2d(n_in, half, 1, bias=False), nn.Conv2d(half, n_out, 1, bias=False)
        self.body = nn.Sequential(squeeze, *_normal(half), *_convolution4(half, half, stride), *_normal(half), widen)
        self.end = nn.Sequential(*_normal(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.shortcut(x) + self.body(x))


class PRNetEncoder(nn.Sequential):
    """To 512 channels."""

    n_out = 512

    def __init__(self) -> None:
        widths = [16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 512]
        blocks = [ResidualBlock(a, b, 1 + (a != b)) for a, b in pairwise(widths)]
        super().__init__(*_convolution4(3, 16, 1), *_normal(16), *blocks)


class Transposed4(nn.ConvTranspose2d):
    """4×4, to the input's size times the stride: with stride 1, an even kernel gives a row and a column too many."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__(n_in, n_out, 4, stride, padding=1, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        grown = super().forward(x, output_size)
        return grown if self.stride[0] == 2 else grown[..., :-1, :-1]


class PRNetDecoder(nn.Sequential):
    """17 transposed convolutions, up 32 times: batch norm follows each, and ReLU all but the last.

    With the linear tail, the three of three channels follow each other directly: a ReLU there can only lose one of the
    three numbers that a texel is, and a batch norm takes away where a batch's faces lie on average.
    """

    def __init__(self, n_in: int, tail: str) -> None:
        steps = [(512, 1), (256, 2), (256, 1), (256, 1), (128, 2), (128, 1), (128, 1), (64, 2), (64, 1), (64, 1)]
        steps += [(32, 2), (32, 1), (16, 2), (16, 1), (3, 1), (3, 1), (3, 1)]
        layers: list[nn.Module] = []
        for n_out, stride in steps:
            layers += [Transposed4(n_in, n_out, stride), *(() if n_out == 3 and tail == "linear" else _normal(n_out))]
            n_in = n_out
        super().__init__(*(layers if tail == "linear" else layers[:-1]))


class InvertedResidual(nn.Module):
    """MobileNetV2's block, with torchvision's names."""

    def __init__(self, n_in: int, n_out: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = n_in * expand
        layers = [self.unit(n_in, wide, 1)] if expand != 1 else []
        layers += [self.unit(wide, wide, 3, stride, groups=wide), nn.Conv2d(wide, n_out, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(n_out))
        self.adds = stride == 1 and n_in == n_out

    @staticmethod
    def unit(n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        convolution = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(convolution, *_normal(n_out, nn.ReLU6))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2Encoder(nn.Module):
    """torchvision's `mobilenet_v2` without its classifier: 1280 channels."""

    n_out = 1280

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [InvertedResidual.unit(3, 32, 3, 2)]
        n_in = 32
        settings = [
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ]
        for expand, n_out, n_blocks, stride in settings:
            for k in range(n_blocks):
                layers.append(InvertedResidual(n_in, n_out, stride if k == 0 else 1, expand))
                n_in = n_out
        self.features = nn.Sequential(*layers, InvertedResidual.unit(n_in, self.n_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class BasicBlock(nn.Module):
    """ResNet18's block, with torchvision's names."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2, self.downsample = nn.BatchNorm2d(n_out), None
        if (n_in, stride) != (n_out, 1):
            self.downsample = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + shortcut)


class ResNet18Encoder(nn.Module):
    """torchvision's `resnet18` without pooling and classifier: 512 channels."""

    n_out = 512

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1, self.relu, self.maxpool = nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        for k, (n_in, n_out) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], start=1):
            blocks = BasicBlock(n_in, n_out, 1 if k == 1 else 2), BasicBlock(n_out, n_out, 1)
            self.add_module(f"layer{k}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


class LPRNetEncoder(nn.Sequential):
    """A convolution to 32, then eight separable ones: depthwise 3×3 with the stride, and 1×1; to 512 channels."""

    n_out = 512

    def __init__(self) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1), *_normal(32)]
        for n_in, n_out in pairwise([32, 64, 64, 128, 128, 256, 256, 512, 512]):
            layers += [nn.Conv2d(n_in, n_in, 3, 1 + (n_in != n_out), 1, groups=n_in), *_normal(n_in)]
            layers += [nn.Conv2d(n_in, n_out, 1), *_normal(n_out)]
        super().__init__(*layers)


class LPRNetDecoder(nn.Sequential):
    """Five transposed 3×3 convolutions with stride 2, up 32 times, and one with stride 1 to three channels."""

    def __init__(self, n_in: int) -> None:
        layers: list[nn.Module] = []
        for n_out in (512, 256, 128, 64, 32):
            layers += [nn.ConvTranspose2d(n_in, n_out, 3, 2, 1, output_padding=1), *_normal(n_out)]
            n_in = n_out
        super().__init__(*layers, nn.ConvTranspose2d(n_in, 3, 3, 1, 1))


class PositionMapNetwork(nn.Module):
    """An encoder, a decoder and a tail.

    Parameters
    ----------
    name : str
        Of `NETWORKS`.
    tail : {"sigmoid", "linear"}
        See above.
    uv_size : int, optional
        Texels of the maps, if they are not as many as the crop has pixels: they are interpolated.
    imagenet : bool
        Whether images are normalized by ImageNet's mean and deviation first, as pretrained encoders expect.
    """

    def __init__(self, name: str, tail: str = "sigmoid", uv_size: int | None = None, *, imagenet: bool = False) -> None:
        super().__init__()
        encoders = {"prnet": PRNetEncoder, "mobilenetv2": MobileNetV2Encoder, "resnet18": ResNet18Encoder}
        self.encoder = encoders.get(name, LPRNetEncoder)()
        self.decoder = LPRNetDecoder(self.encoder.n_out) if name == "lprnet" else PRNetDecoder(self.encoder.n_out, tail)
        if name != "lprnet":  # whose PyTorch defaults train as well
            _initialize(self)
            if tail == "linear":
                _initialize_linear_tail(*list(self.decoder.children())[-3:])
        self.tail, self.uv_size = tail, uv_size
        mean, deviation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if imagenet else ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("image_mean", torch.tensor(mean).reshape(3, 1, 1))
        self.register_buffer("image_deviation", torch.tensor(deviation).reshape(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        maps = self.decoder(self.encoder((image - self.image_mean) / self.image_deviation)).float()
        maps = 4 * torch.sigmoid(maps / 4) - 1.5 if self.tail == "sigmoid" else maps / 4 + 0.5
        if self.uv_size is not None and maps.shape[-1] != self.uv_size:
            maps = functional.interpolate(maps, (self.uv_size, self.uv_size), mode="bilinear")
        return maps


def _initialize(net: nn.Module) -> None:
    """He's deviations, and a linear tail that begins as one convolution: found by trial, see docs/networks.md.

    PyTorch's own deviations are 2.4 times smaller. A batch norm makes up for that, but Adam's steps are as large for
    small weights as for large ones, and so may have been too large for them.
    """
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            kernel = layer.kernel_size[0] * layer.kernel_size[1]
            n_in = layer.in_channels // layer.groups * kernel
            if isinstance(layer, nn.ConvTranspose2d):
                n_in //= layer.stride[0] * layer.stride[1]
            nn.init.normal_(layer.weight, 0, (2 / n_in) ** 0.5)


def _initialize_linear_tail(first: Transposed4, *others: Transposed4) -> None:
    """Small numbers at first, so that maps begin in the middle of the crop; the others begin as the identity."""
    with torch.no_grad():
        first.weight.mul_(0.1)
        for layer in others:
            layer.weight.zero_()
            layer.weight[range(3), range(3), 1, 1] = 1


def load_encoder(encoder: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict with torchvision's keys; ValueError if keys or shapes are others."""
    own = encoder.state_dict()
    if odd := [key for key in state if not (isinstance(key, str) and key.isprintable())]:
        raise ValueError(f"the file has {len(odd)} keys that are no names; expected torchvision's state dict")
    body = {key: value for key, value in state.items() if not key.startswith(("classifier.", "fc."))}
    missing, unknown = sorted(own.keys() - body.keys()), sorted(body.keys() - own.keys())
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]  # older files lack them
    for keys, what in ((missing, "lacks"), (unknown, "has, and the encoder has not,")):
        if keys:
            raise ValueError(f"the file {what} {keys[0]} and {len(keys) - 1} more; expected torchvision's state dict")
    for key, value in body.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{key}: a {type(value).__name__}, expected a tensor")
        if value.shape != own[key].shape:
            raise ValueError(f"{key}: {tuple(value.shape)}, expected {tuple(own[key].shape)}")
    encoder.load_state_dict(body, strict=False)
