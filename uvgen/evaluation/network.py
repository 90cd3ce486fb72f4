"""A trained network in an ONNX file, from a crop to a position map in px of the crop, by onnxruntime.

What a file does not say has to be said: what its images are divided by, and in which unit its maps are.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import check_bytes, choice, number_in
from uvgen.errors import DependencyError, InputError, SampleError, to_install
from uvgen.evaluation.network_metadata import check_metadata
from uvgen.normalization import Normalization, check_scale
from uvgen.samples.map_files import IMAGE_SHIFTS
from uvgen.storage.files import sha256_file
from uvgen.storage.kinds import describe_file
from uvgen.storage.names import brief
from uvgen.storage.reading import irregular
from uvgen.wording import count

PIXELS = ("unit", "bytes", "imagenet", "standardize")
"""What a network's images are: 0 to 1; 0 to 255; 0 to 1 minus ImageNet's means, over its deviations; 0 to 1, each
channel minus its mean, over √(variance + 0.001), as reshow's program has it."""

_CROP_SCALE = 1.03 / 256
"""Crop sides that a pixel of 300W-LP's images takes in its training crops (ten images: 1.02 ± 0.03 px at 256)."""

CHANNELS = ("rgb", "bgr")
LAYOUTS = ("auto", "NCHW", "NHWC")
SIZE = 256
"""Side of crops, px, if the network's file does not state it."""

_UNTOLD = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from .*? failed: ?|/\S*onnxruntime/\S+:\d+ .*?\) (?=[A-Z])",
    re.DOTALL,
)
"""Parts of onnxruntime's errors that precede what is wrong: where in its source that was found."""

_NO_MEMORY = "Failed to allocate memory"
"""What onnxruntime says where its arena gets none."""

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
_FEWEST_TEXELS, _LARGEST = 16, 4096
_LEAST_PX, _MOST_SIZES = 3.0, 100.0  # across a map that is in px: less is another unit, more is no face
_MOST_BYTES, _MOST_WEIGHTS = 1 << 31, 16 << 30  # of the file: protobuf's limit; of files beside it
_JITTER = 1e-4  # of a map's largest number, by which two runs on the same crop may differ
_EXPECTED_OUTPUT = "a position map, (1, 3, U, U), (1, U, U, 3) or (1, U², 3)"


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Properties of a network that its file does not state.

    Attributes
    ----------
    pixels : {"unit", "bytes", "imagenet", "standardize"}
        Normalization of its input images, see `uvgen.evaluation.network.PIXELS`.
    channels : {"rgb", "bgr"}
        Their order.
    layout : {"auto", "NCHW", "NHWC"}
        Axes of its images; "auto" recognizes them by the axis of length 3.
    size : int or None
        Side of its crops, if the file leaves it open; then 256 by default.
    output : str or None
        Name of the output that holds the maps; the first output by default.
    scale : {"px", "size", "prnet", "reshow", "unit"} or float
        How its maps are normalized, see `uvgen.Normalization.of_scale`.
    convention : {"exact", "face3d", "reshow"}
        How the labels that it was trained with count pixels, see `uvgen.samples.map_files.IMAGE_SHIFTS`. The shift is
        in pixels of 300W-LP's images, and a network learns it as a number of crop pixels; it is therefore removed in
        the crop, whatever the photograph's resolution.
    """

    pixels: str = "unit"
    channels: str = "rgb"
    layout: str = "auto"
    size: int | None = None
    output: str | None = None
    scale: str | float = "px"
    convention: str = "exact"

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise InputError if a value is out of range."""
        choice(self.pixels, "pixels", PIXELS)
        choice(self.channels, "channels", CHANNELS)
        choice(self.layout, "layout", LAYOUTS)
        if self.size is not None:
            number_in(self.size, "size", _FEWEST_TEXELS, _LARGEST, "px", whole=True)
        check_scale(self.scale)
        choice(self.convention, "convention", tuple(IMAGE_SHIFTS))


class Network:
    """An ONNX network that is open; call it with a crop.

    Attributes
    ----------
    size : int
        Pixels along each side of its crops.
    uv_size : int
        Texels along each side of its maps.
    layout : str
        "NCHW" or "NHWC", of its images.
    """

    def __init__(self, path: Path, options: NetworkOptions) -> None:
        options.check()
        self._path, self._options = path, options
        self._session = _opened(path)
        try:
            self._input, self.layout, self.size, self._type = self._images(options)
            outputs = self._names()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: a name of an input, output or dimension is not UTF-8, expected an ONNX network"
            ) from error
        self._check_metadata()
        if not outputs:
            raise InputError(f"{path}: no outputs, expected {_EXPECTED_OUTPUT}")
        self._output = options.output or outputs[0]
        if self._output not in outputs:
            raise InputError(f"output: {self._output!r}, expected one of those of {path}: {', '.join(outputs)}")
        self._normalization = Normalization.of_scale(options.scale, self.size)
        self._shift = np.array(IMAGE_SHIFTS[options.convention], np.float32) * np.float32(_CROP_SCALE * self.size)
        try:
            tried = self._run(np.zeros((self.size, self.size, 3), np.uint8))
        except SampleError as error:
            raise InputError(f"{error}; expected a network for crops of {self.size} px") from error
        self.uv_size = len(self._as_map(tried))

    def __call__(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The position map (U, U, 3), px of a crop (size, size, 3) in RGB.

        Raises SampleError if it fails, or its map is not finite or in another unit; MemoryError if memory runs out.
        """
        check_bytes(crop, "crop", (self.size, self.size, 3))
        with np.errstate(over="ignore", invalid="ignore"):
            position_map = self._normalization.denormalize(self._as_map(self._run(crop)))
        if not np.isfinite(position_map).all():
            raise SampleError("the network's map holds NaN or infinity, expected px")
        across = float(np.ptp(position_map[..., :2], axis=(0, 1)).max())
        if across < _LEAST_PX:
            raise SampleError(
                f"the network's map is {across:.3g} px across in a crop of {self.size} px, expected a face; is its "
                "unit another? Give the scale: size, prnet, reshow, unit or a number"
            )
        if float(np.abs(position_map).max()) > _MOST_SIZES * self.size:
            raise SampleError(
                f"the network's map leads {np.abs(position_map).max():.3g} px away in a crop of {self.size} px, "
                "expected px of the crop; is its unit another?"
            )
        if self._shift.any():
            position_map[..., :2] -= self._shift
        return np.ascontiguousarray(position_map)

    def check_repeatable(self) -> None:
        """Raise InputError if its map of a crop is another one when it is asked again: what a run makes could not be
        made again."""
        crop = np.random.default_rng(0).integers(0, 256, (self.size, self.size, 3), dtype=np.uint8)
        try:
            first, again = (self._as_map(self._run(crop)) for _ in range(2))
        except SampleError:  # of a crop that shows no face
            return
        most = np.abs(first, where=np.isfinite(first), out=np.zeros_like(first)).max()
        if first.shape != again.shape or not np.allclose(first, again, rtol=0, atol=_JITTER * most, equal_nan=True):
            raise InputError(
                f"{self._path}: its map of a crop is another one when it is run again, expected the same; export it "
                "for use and not for training (model.eval()), without dropout or random numbers"
            )

    def _images(self, options: NetworkOptions) -> tuple[str, str, int, Any]:
        """Name, layout, size and type of the images that the file wants."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise InputError(
                f"{self._path}: {count(len(inputs), 'input')} ({', '.join(one.name for one in inputs)[:80]}), "
                "expected one: images"
            )
        name, shape = inputs[0].name, list(inputs[0].shape)
        what = f"{self._path}: input {name!r} is {inputs[0].type} {_shown(shape)}"
        if inputs[0].type not in _TYPES:
            raise InputError(f"{what}, expected float, float16 or uint8")
        fixed = [n if isinstance(n, int) and n > 0 else None for n in shape]
        if len(shape) != 4:
            raise InputError(f"{what}, expected images, (1, 3, R, R) or (1, R, R, 3)")
        if fixed[0] not in (None, 1):
            raise InputError(f"{what}, expected a batch of 1 or of any number; export it so")
        fits = [layout for layout, axis in (("NCHW", 1), ("NHWC", 3)) if fixed[axis] in (None, 3)]
        sure = [layout for layout, axis in (("NCHW", 1), ("NHWC", 3)) if fixed[axis] == 3]
        if options.layout != "auto":
            fits = sure = [layout for layout in fits if layout == options.layout]
        if not fits:
            raise InputError(f"{what}, expected 3 channels: (1, 3, R, R) or (1, R, R, 3)")
        if len(sure) != 1 and len(fits) != 1:
            raise InputError(f"{what}, which does not say where the channels are; give the layout: NCHW or NHWC")
        layout = (sure or fits)[0]
        sides = {n for n in (fixed[2:] if layout == "NCHW" else fixed[1:3]) if n is not None}
        if len(sides) > 1:
            raise InputError(f"{what}, expected images as high as wide")
        size = sides.pop() if sides else options.size or SIZE
        if options.size not in (None, size):
            raise InputError(f"size: {options.size} px, expected {size}: {what[len(str(self._path)) + 2 :]}")
        if size > _LARGEST:
            raise InputError(f"{what}, expected images of {_LARGEST} px or less")
        if size < _FEWEST_TEXELS:
            raise InputError(f"{what}, expected images of {_FEWEST_TEXELS} px or more")
        if inputs[0].type == "tensor(uint8)" and options.pixels not in ("unit", "bytes"):
            raise InputError(f"pixels: {options.pixels!r}, expected 'bytes': {self._path} takes uint8")
        return name, layout, size, _TYPES[inputs[0].type]

    def _check_metadata(self) -> None:
        """Raise InputError if the file says of its images what the options deny."""
        try:
            stated = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError:  # of another program
            return
        pixels = None if self._type == np.uint8 else self._options.pixels
        check_metadata(self._path, stated, self._options.channels, pixels)

    def _run(self, crop: NDArray[np.uint8]) -> NDArray[Any]:
        given = images_of(crop, self._options.pixels, self._options.channels) if self._type != np.uint8 else crop
        if self._type == np.uint8 and self._options.channels == "bgr":
            given = crop[..., ::-1]
        batch = given[None] if self.layout == "NHWC" else np.moveaxis(given, 2, 0)[None]
        try:
            (found,) = self._session.run([self._output], {self._input: np.ascontiguousarray(batch, self._type)})
        except Exception as error:  # of onnxruntime's own kinds
            if isinstance(error, MemoryError) or _NO_MEMORY in str(error):
                raise MemoryError(f"{self._path}: memory ran out while it was run") from error
            raise SampleError(f"{self._path}: fails on a crop of {self.size} px ({brief(error)})") from error
        if not isinstance(found, np.ndarray):  # a sequence, a map of keys, a sparse tensor, nothing
            raise InputError(
                f"{self._path}: output {self._output!r} is not a tensor ({type(found).__name__}), expected "
                f"{_EXPECTED_OUTPUT}; its outputs are {', '.join(self._names())}"
            )
        return found

    def _as_map(self, found: NDArray[Any]) -> NDArray[np.float32]:
        shape = found.shape
        values = found[0] if len(shape) in (3, 4) and shape[0] == 1 else found[None][0:0]
        side = round(len(values) ** 0.5) if values.ndim == 2 else 0
        if values.ndim == 3 and values.shape[0] == 3 and values.shape[1] == values.shape[2]:
            values = np.moveaxis(values, 0, 2)
        elif side and values.shape == (side * side, 3):
            values = values.reshape(side, side, 3)
        is_map = values.ndim == 3 and values.shape[0] == values.shape[1] >= _FEWEST_TEXELS and values.shape[2] == 3
        if not is_map or values.dtype.kind != "f":
            raise InputError(
                f"{self._path}: output {self._output!r} is {found.dtype} {shape}, expected {_EXPECTED_OUTPUT} of "
                f"{_FEWEST_TEXELS} texels per side or more; its outputs are {', '.join(self._names())}"
            )
        with np.errstate(over="ignore"):  # infinity is refused later
            return values.astype(np.float32)

    def _names(self) -> list[str]:
        return [one.name for one in self._session.get_outputs()]


def images_of(crop: NDArray[np.uint8], pixels: str = "unit", channels: str = "rgb") -> NDArray[np.float32]:
    """A crop (R, R, 3) uint8 in RGB as a network takes it: (R, R, 3) float32; see `PIXELS`."""
    normalization = Normalization.of_image(None if pixels == "bytes" else pixels, crop)
    values: NDArray[np.float32] = normalization.normalize(crop)
    return values[..., ::-1] if channels == "bgr" else values


def hash_network(path: Path) -> str:
    """SHA-256 of an ONNX file, and of the files in its folder that hold its weights if it does not itself.

    Raises InputError if these lie elsewhere, or if there are more bytes than a network can have.
    """
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise InputError(f"{path}: {size} bytes, expected an ONNX network, which has {_MOST_BYTES} at most")
    content = path.read_bytes()
    found, total = hashlib.sha256(content), 0
    for name in sorted(set(_external(content))):
        other = path.parent / name
        if not _is_beside(other, path):
            raise InputError(f"{path}: has weights in {brief(name)!r}, expected a file in its own folder")
        if os.path.isfile(other):  # noqa: PTH113 -- Path's raises where the name is too long
            if (total := total + other.stat().st_size) > _MOST_WEIGHTS:
                raise InputError(f"{other}: weights of {total} bytes, expected {_MOST_WEIGHTS} at most")
            found.update(bytes.fromhex(sha256_file(other)))
    return found.hexdigest()


def _is_beside(other: Path, path: Path) -> bool:
    """Whether a file lies in the folder of another, or of what that is a link to."""
    folders = {os.path.realpath(path.parent), os.fspath(path.resolve().parent)}
    return any(os.path.realpath(other).startswith(os.path.join(folder, "")) for folder in folders)


_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _ENTRY = range(8)
_INNER = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {13: _ENTRY},
}
"""Which messages of onnx.proto's lie in which, by the numbers of their fields: the way to `external_data`."""
_MOST_NESTED = 128  # protobuf refuses a file with messages that lie deeper than 100


def _external(data: bytes) -> Iterator[str]:
    """Locations of the tensors of an ONNX file that lie in other files; those before the damage, of a damaged one.

    All that onnxruntime finds: it passes over groups of fields, takes 32 bits of what precedes a field, which may be
    written with more, and opens files whose names are not UTF-8, or hold a NUL, where the name ends for the system.
    """
    return _located(memoryview(data), _MODEL, 0, len(data), 0)


def _located(view: memoryview, kind: int, at: int, end: int, depth: int) -> Iterator[str]:
    """The locations in a message of the file."""
    entry, groups = dict[int, bytes](), 0  # groups that are open: what is in them is no field of the message
    while at < end:
        tag, at = _varint(view, at, end)
        tag &= 0xFFFFFFFF
        if tag & 7 in (3, 4):
            groups += 1 if tag & 7 == 3 else -1
        elif tag & 7 == 2:
            length, at = _varint(view, at, end)
            if groups:
                pass
            elif kind == _ENTRY:
                entry[tag >> 3] = bytes(view[at : min(at + length, end)])
            elif (inner := _INNER[kind].get(tag >> 3)) is not None and length and depth < _MOST_NESTED:
                yield from _located(view, inner, at, min(at + length, end), depth + 1)
            at += length
        elif tag & 7 == 0:
            _, at = _varint(view, at, end)
        else:
            at += {1: 8, 5: 4}.get(tag & 7, end)
    if entry.get(1) == b"location" and (name := entry.get(2, b"").partition(b"\0")[0]):
        yield os.fsdecode(name)


def _varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    """A number of protobuf's, and where what follows it begins: at the end, where it is cut short or too long."""
    value = 0
    for place, byte in enumerate(view[at : min(at + 10, end)]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    return 0, end


def check_network_file(path: Path) -> Any:
    """onnxruntime; InputError if there is no file, or one of another kind, DependencyError if that is missing.

    A network's own has no mark to know it by.
    """
    found = (irregular(path.stat().st_mode) or describe_file(path)) if path.exists() else "no such file"
    if found != "a file of unknown kind":
        raise InputError(f"{path}: {found}, expected an ONNX network (.onnx)")
    # It would write usage data into TMPDIR and the home folder, and send them to Microsoft.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except Exception as error:  # built for another NumPy, it fails in ways of its own
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({brief(error)})"
        raise DependencyError(f"network: onnxruntime {why}; {to_install('onnx')}") from error
    return onnxruntime


def _opened(path: Path) -> Any:
    onnxruntime = check_network_file(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a worker a core: more would be slower
    options.log_severity_level = 4  # what fails is raised
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        why = _UNTOLD.sub("", str(error))
        newer = "; save it with an older opset, or update onnxruntime" * bool(re.search("IR version|opset", why))
        what = f"{path}: onnxruntime cannot open it ({brief(why)}), expected an ONNX network{newer}"
        raise InputError(what) from error


def _shown(shape: list[Any]) -> str:
    return "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
