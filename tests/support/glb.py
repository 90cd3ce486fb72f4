"""An independent reader of binary glTF 2.0, by the specification's rules alone."""

import io
import json
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_COMPONENTS = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COUNTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


class Glb(NamedTuple):
    content: dict[str, Any]
    accessors: list[NDArray[Any]]
    images: list[NDArray[np.uint8]]

    @property
    def primitive(self) -> dict[str, Any]:
        return self.content["meshes"][0]["primitives"][0]

    def attribute(self, name: str) -> NDArray[Any]:
        return self.accessors[self.primitive["attributes"][name]]

    @property
    def triangles(self) -> NDArray[Any]:
        return self.accessors[self.primitive["indices"]].reshape(-1, 3)


def read_glb(path: Path) -> Glb:
    """The file's parts; AssertionError where it is not as the specification wants it."""
    data = path.read_bytes()
    magic, version, length = struct.unpack("<III", data[:12])
    assert (magic, version, length) == (0x46546C67, 2, len(data))
    n_text, kind = struct.unpack("<II", data[12:20])
    assert kind == 0x4E4F534A and n_text % 4 == 0
    text = data[20 : 20 + n_text]
    content = json.loads(text.decode("utf-8"))
    assert text.rstrip(b" ") == text.rstrip() and content["asset"]["version"] == "2.0"
    n_binary, kind = struct.unpack("<II", data[20 + n_text : 28 + n_text])
    assert kind == 0x004E4942 and n_binary % 4 == 0 and 28 + n_text + n_binary == len(data)
    binary = data[28 + n_text :]
    (buffer,) = content["buffers"]
    assert "uri" not in buffer and 0 <= n_binary - buffer["byteLength"] <= 3
    views, ends = [], [0]
    for view in content["bufferViews"]:
        assert view["buffer"] == 0 and view["byteOffset"] % 4 == 0 and ends[-1] <= view["byteOffset"]
        ends.append(view["byteOffset"] + view["byteLength"])
        views.append(binary[view["byteOffset"] : ends[-1]])
    assert ends[-1] <= buffer["byteLength"]
    accessors = []
    for accessor in content["accessors"]:
        array = np.frombuffer(views[accessor["bufferView"]], _COMPONENTS[accessor["componentType"]])
        columns = _COUNTS[accessor["type"]]
        assert array.size == accessor["count"] * columns and accessor["count"] >= 1
        accessors.append(array.reshape(-1, columns) if columns > 1 else array)
    images = []
    for image in content.get("images", []):
        picture = Image.open(io.BytesIO(views[image["bufferView"]]))
        assert image["mimeType"] == "image/png" and picture.format == "PNG"
        images.append(np.asarray(picture))
    assert set(content.get("extensionsRequired", [])) <= set(content.get("extensionsUsed", []))
    glb = Glb(content, accessors, images)
    assert [(s["nodes"]) for s in content["scenes"]] == [[0]] and content["nodes"][0]["mesh"] == 0
    n = len(glb.attribute("POSITION"))
    for name, number in glb.primitive["attributes"].items():
        assert len(accessors[number]) == n, name
        assert content["bufferViews"][content["accessors"][number]["bufferView"]]["target"] == 34962
    described = content["accessors"][glb.primitive["attributes"]["POSITION"]]  # the one that needs its bounds
    np.testing.assert_array_equal(np.float32(described["min"]), glb.attribute("POSITION").min(axis=0))
    np.testing.assert_array_equal(np.float32(described["max"]), glb.attribute("POSITION").max(axis=0))
    if "NORMAL" in glb.primitive["attributes"]:
        np.testing.assert_allclose(np.linalg.norm(glb.attribute("NORMAL"), axis=1), 1, atol=1e-6)
    assert glb.primitive["mode"] == 4 and glb.triangles.max() < n
    if "material" in glb.primitive:
        material = content["materials"][glb.primitive["material"]]
        texture = content["textures"][material["pbrMetallicRoughness"]["baseColorTexture"]["index"]]
        assert images[texture["source"]].ndim == 3 and texture["sampler"] < len(content["samplers"])
        assert set(material.get("extensions", {})) <= set(content["extensionsUsed"])
    return glb
