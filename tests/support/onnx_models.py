"""Small ONNX networks, written byte by byte as onnx.proto says: the tests need onnxruntime alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen import PositionMapper, crop_similarity, load_model

_TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int64): 7, np.dtype(np.float16): 10}


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def _tensor(name: str, array: NDArray[Any]) -> bytes:
    dims = b"".join(_field(1, n) for n in array.shape)
    return dims + _field(2, _TYPES[array.dtype]) + _field(8, name) + _field(9, array.tobytes())


def _value(name: str, shape: Sequence[int | str], dtype: Any) -> bytes:
    dims = b"".join(_field(1, _field(1 if isinstance(n, int) else 2, n)) for n in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, _TYPES[np.dtype(dtype)]) + _field(2, dims)))


def write_network(
    path: Path,
    nodes: Sequence[tuple[str, Sequence[str], str]],
    inputs: Sequence[tuple[str, Sequence[int | str], Any]],
    outputs: Sequence[tuple[str, Sequence[int | str], Any]],
    constants: dict[str, NDArray[Any]] | None = None,
) -> Path:
    """A network of nodes (operator, names that go in, name that comes out)."""
    graph = b"".join(
        _field(1, b"".join(_field(1, name) for name in given) + _field(2, made) + _field(4, operator))
        for operator, given, made in nodes
    )
    graph += _field(2, "tests") + b"".join(_field(5, _tensor(*item)) for item in (constants or {}).items())
    graph += b"".join(_field(11, _value(*one)) for one in inputs) + b"".join(
        _field(12, _value(*one)) for one in outputs
    )
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13)))
    return path


def add_metadata(path: Path, **stated: str) -> Path:
    """Add to a network's file what it states of itself."""
    props = b"".join(_field(14, _field(1, key) + _field(2, value)) for key, value in stated.items())
    path.write_bytes(path.read_bytes() + props)
    return path


def constant_network(
    path: Path, output: NDArray[Any], size: int, layout: str = "NCHW", dtype: Any = np.float32
) -> Path:
    """Says the same of every image: `output`, whatever its shape."""
    shape = (1, 3, size, size) if layout == "NCHW" else (1, size, size, 3)
    return write_network(
        path,
        [("Identity", ["map"], "position_map")],
        [("image", shape, dtype)],
        [("position_map", output.shape, output.dtype)],
        {"map": output},
    )


def identity_network(path: Path, shape: Sequence[int | str], dtype: Any = np.float32) -> Path:
    """Says that the map is the image that it is given."""
    return write_network(
        path, [("Identity", ["image"], "position_map")], [("image", shape, dtype)], [("position_map", shape, dtype)]
    )


def write_mean_face_network(path: Path, size: int = 64, uv_size: int = 32) -> Path:
    """A network that says of each crop that it shows the built-in model's mean face, in crop sizes."""
    model = load_model("builtin")
    mapper = PositionMapper(model, uv_size)
    face = np.zeros((1, model.n_shape)), np.zeros((1, model.n_expression)), np.array([[0, 0.3, 0, 0, 0, 0, 1e-3]])
    similarity = crop_similarity(mapper.image_landmarks(*face, 256)[0], size)
    position_map = mapper(*face, similarity, 256)[0] / np.float32(size)
    return constant_network(path, np.ascontiguousarray(np.moveaxis(position_map, 2, 0)[None]), size)


def external_network(
    path: Path, weights: str | bytes, size: int = 64, uv_size: int = 32, before: bytes = b"", graph_tag: bytes = b"\x3a"
) -> Path:
    """Says of every image what a file beside it holds, (1, 3, U, U) float32: as torch's exporter stores weights.

    `before` is what the tensor has before the file's name, `graph_tag` what precedes the graph.
    """
    shape = (1, 3, uv_size, uv_size)
    entries = {"location": weights, "length": str(4 * 3 * uv_size**2)}
    tensor = b"".join(_field(1, n) for n in shape) + _field(2, 1) + _field(8, "map") + before
    tensor += b"".join(_field(13, _field(1, key) + _field(2, value)) for key, value in entries.items()) + _field(14, 1)
    graph = _field(1, _field(1, "map") + _field(2, "position_map") + _field(4, "Identity")) + _field(2, "tests")
    graph += _field(5, tensor) + _field(11, _value("image", (1, 3, size, size), np.float32))
    graph += _field(12, _value("position_map", shape, np.float32))
    sets = _field(8, _field(1, "") + _field(2, 13))
    path.write_bytes(_field(1, 8) + graph_tag + varint(len(graph)) + graph + sets)
    return path


def external_function_network(path: Path, weights: str, size: int = 64, uv_size: int = 32) -> Path:
    """As `external_network`; the tensor is the default value of a function's attribute."""
    shape = (1, 3, uv_size, uv_size)
    entries = {"location": weights, "length": str(4 * 3 * uv_size**2)}
    tensor = b"".join(_field(1, n) for n in shape) + _field(2, 1) + _field(8, "w")
    tensor += b"".join(_field(13, _field(1, key) + _field(2, value)) for key, value in entries.items()) + _field(14, 1)
    constant = (
        _field(2, "out") + _field(4, "Constant") + _field(5, _field(1, "value") + _field(21, "w") + _field(20, 4))
    )
    function = _field(1, "Map") + _field(5, "out") + _field(7, constant) + _field(9, _field(1, "") + _field(2, 13))
    function += _field(10, "local") + _field(11, _field(1, "w") + _field(5, tensor) + _field(20, 4))
    graph = _field(1, _field(2, "position_map") + _field(4, "Map") + _field(7, "local")) + _field(2, "tests")
    graph += _field(11, _value("image", (1, 3, size, size), np.float32))
    graph += _field(12, _value("position_map", shape, np.float32))
    sets = _field(8, _field(1, "") + _field(2, 13)) + _field(8, _field(1, "local") + _field(2, 1))
    path.write_bytes(_field(1, 8) + _field(7, graph) + sets + _field(25, function))
    return path


def sequence_network(path: Path, size: int = 64) -> Path:
    """Its output is not a tensor."""
    output = _field(1, "maps") + _field(2, _field(4, _field(1, _field(1, _field(1, 1)))))
    graph = _field(1, _field(1, "image") + _field(1, "image") + _field(2, "maps") + _field(4, "SequenceConstruct"))
    graph += _field(2, "tests") + _field(11, _value("image", (1, 3, size, size), np.float32)) + _field(12, output)
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13)))
    return path


def endless_network(path: Path, size: int = 64, uv_size: int = 32) -> Path:
    """A loop of 2⁶² rounds: it opens, and never says anything."""
    shape = (1, 3, uv_size, uv_size)

    def scalar(name: str, kind: int, value: bytes) -> bytes:
        return _field(2, kind) + _field(8, name) + _field(9, value)

    def truth(name: str) -> bytes:
        return _field(1, name) + _field(2, _field(1, _field(1, 9) + _field(2, b"")))

    def node(operator: str, given: Sequence[str], made: Sequence[str], rest: bytes = b"") -> bytes:
        names = b"".join(_field(1, name) for name in given) + b"".join(_field(2, name) for name in made)
        return _field(1, names + _field(4, operator) + rest)

    body = node("Identity", ["go_in"], ["go_out"]) + node("Neg", ["x_in"], ["x_out"]) + _field(2, "body")
    body += _field(11, _value("i", (), np.int64)) + _field(11, truth("go_in")) + _field(11, _value("x_in", shape, "f4"))
    body += _field(12, truth("go_out")) + _field(12, _value("x_out", shape, "f4"))
    loop = _field(5, _field(1, "body") + _field(6, body) + _field(20, 5))
    graph = node("Loop", ["rounds", "go", "map"], ["position_map"], loop) + _field(2, "tests")
    graph += _field(5, _tensor("map", np.ones(shape, np.float32)))
    graph += _field(5, scalar("rounds", 7, np.int64(2**62).tobytes())) + _field(5, scalar("go", 9, b"\1"))
    graph += _field(11, _value("image", (1, 3, size, size), "f4")) + _field(12, _value("position_map", shape, "f4"))
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13)))
    return path
