"""What an ONNX file may say of its images, in metadata that ONNX defines (docs/MetadataProps.md of its repository)."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from uvgen.errors import InputError

_CHANNELS = (
    "Image.BitmapPixelFormat",
    {"Rgb8": ("rgb",), "Rgba8": ("rgb",), "Bgr8": ("bgr",), "Bgra8": ("bgr",), "Gray8": ()},
)
_PIXELS = (
    "Image.NominalPixelRange",
    {
        "NominalRange_0_255": ("bytes",),
        "Normalized_0_1": ("unit", "imagenet", "standardize"),
        "Normalized_1_1": (),
        "NominalRange_16_235": (),
    },
)
"""A key, and the options that each of its values admits: none, where `predict` makes no such images."""
_GAMMA = ("Image.ColorSpaceGamma", ("SRGB", "Linear"))


def check_metadata(path: Path, stated: Mapping[str, str], channels: str, pixels: str | None) -> None:
    """Raise InputError if a network's file says of its images what the options deny, or that they are of a kind that is
    not made.

    Parameters
    ----------
    path : Path
        The file, for messages.
    stated : mapping of str to str
        All its metadata.
    channels, pixels
        As for `uvgen.evaluation.network.NetworkOptions`; None if its input's type already says what pixels are.
    """
    said = {key.strip().lower(): value for key, value in stated.items() if isinstance(value, str)}
    for option, given, (key, meant) in (("channels", channels, _CHANNELS), ("pixels", pixels, _PIXELS)):
        value = _known(said, key, meant)
        if given is None or value is None or given in meant[value]:
            continue
        says, cure = f"{path} states {key} {value}", "if that is wrong, remove it from the file"
        if not meant[value]:
            kinds = sorted({kind for fitting in meant.values() for kind in fitting})
            raise InputError(f"{says}, expected images that {option} can be said of: {', '.join(kinds)}; {cure}")
        raise InputError(f"{option}: {given!r}, expected {meant[value][0]!r}: {says}; {cure}")
    if _known(said, *_GAMMA) == "Linear":
        raise InputError(
            f"{path} states {_GAMMA[0]} Linear, expected SRGB, as images are; if that is wrong, remove it from the file"
        )


def _known(said: Mapping[str, str], key: str, values: Iterable[str]) -> str | None:
    """Which of these values a file states; keys and values are case insensitive."""
    value = said.get(key.lower(), "").strip().lower()
    return next((one for one in values if one.lower() == value), None)
