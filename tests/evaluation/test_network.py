"""Networks in ONNX files: what they are given, what is made of what they say, and what does not fit."""

import hashlib
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.onnx_models import (
    add_metadata,
    constant_network,
    external_function_network,
    external_network,
    identity_network,
    sequence_network,
    varint,
    write_network,
)

from uvgen import NetworkOptions
from uvgen.errors import DependencyError, InputError, SampleError
from uvgen.evaluation.network import Network, hash_network, images_of

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'uvgen[onnx]'")

RNG = np.random.default_rng(0)
CROP = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
MAP = RNG.uniform(-5, 40, (20, 20, 3)).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 32, 32, 3), ("batch", 3, "h", "w"), ("n", "h", "w", 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_network_is_given_the_crop_in_its_layout(tmp_path: Path, shape, dtype) -> None:
    network = Network(identity_network(tmp_path / "n.onnx", shape, dtype), NetworkOptions("bytes", size=32))
    assert (network.size, network.uv_size) == (32, 32) and network.layout == ("NHWC" if shape[3] == 3 else "NCHW")
    found = network(CROP)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_array_equal(found, CROP)


def test_network_of_bytes_is_given_them(tmp_path: Path) -> None:
    path = write_network(
        tmp_path / "n.onnx", [("Identity", ["map"], "position_map")], [("image", (1, 32, 32, 3), np.uint8)],
        [("position_map", (1, 20, 20, 3), np.float32)], {"map": MAP[None]},
    )  # fmt: skip
    np.testing.assert_array_equal(Network(path, NetworkOptions("bytes"))(CROP), MAP)
    with pytest.raises(InputError, match=r"pixels: 'imagenet', expected 'bytes': .* takes uint8"):
        Network(path, NetworkOptions("imagenet"))


def test_images_are_normalized_as_their_names_say() -> None:
    unit = CROP.astype(np.float64) / 255
    imagenet = (unit - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    own = np.stack([(c - c.mean()) / np.sqrt(c.var() + 0.001) for c in np.moveaxis(unit, 2, 0)], axis=2)
    for pixels, expected in {"unit": unit, "bytes": CROP, "imagenet": imagenet, "standardize": own}.items():
        np.testing.assert_allclose(images_of(CROP, pixels), expected, atol=1e-5, err_msg=pixels)
        np.testing.assert_array_equal(images_of(CROP, pixels, "bgr"), images_of(CROP, pixels)[..., ::-1])


@pytest.mark.parametrize("arranged", ["NCHW", "NHWC", "points"])
@pytest.mark.parametrize(
    ("scale", "factor"), [("px", 1), ("size", 32), ("prnet", 1.1 * 32), ("reshow", 280 / 256 * 32), (7.5, 7.5)]
)
def test_maps_of_each_arrangement_and_unit_are_px_of_the_crop(tmp_path: Path, arranged, scale, factor) -> None:
    output = {"NCHW": np.moveaxis(MAP, 2, 0), "NHWC": MAP, "points": MAP.reshape(400, 3)}[arranged]
    path = constant_network(tmp_path / "n.onnx", np.ascontiguousarray(output[None] / np.float32(factor)), 32)
    np.testing.assert_allclose(Network(path, NetworkOptions(scale=scale))(CROP), MAP, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("convention", "right", "down"), [("exact", 0, 0), ("face3d", 1, -1), ("reshow", 1, 0)])
def test_maps_of_another_convention_are_moved_by_a_pixel_of_the_training_images(
    tmp_path: Path, convention, right, down
) -> None:
    path = constant_network(tmp_path / "n.onnx", MAP[None], 32)
    pixel = 1.03 * 32 / 256  # of 300W-LP in a crop of 32
    found = Network(path, NetworkOptions(convention=convention))(CROP)
    np.testing.assert_allclose(found, MAP - np.float32([right * pixel, down * pixel, 0]), atol=1e-5)
    with pytest.raises(InputError, match="convention: 'matlab', expected 'exact', 'face3d'"):
        NetworkOptions(convention="matlab").check()


def test_the_map_may_be_any_of_the_outputs(tmp_path: Path) -> None:
    path = write_network(
        tmp_path / "n.onnx", [("Identity", ["other"], "points"), ("Identity", ["map"], "position_map")],
        [("image", (1, 3, 32, 32), np.float32)],
        [("points", (1, 136), np.float32), ("position_map", (1, 20, 20, 3), np.float32)],
        {"other": np.zeros((1, 136), np.float32), "map": MAP[None]},
    )  # fmt: skip
    np.testing.assert_array_equal(Network(path, NetworkOptions(output="position_map"))(CROP), MAP)
    with pytest.raises(
        InputError, match=r"output 'points' is float32 \(1, 136\), expected a position map, \(1, 3, U, U\)"
    ):
        Network(path, NetworkOptions())
    with pytest.raises(InputError, match=r"output: 'mesh', expected one of those of .*: points, position_map"):
        Network(path, NetworkOptions(output="mesh"))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 3, 32), {}, r"input 'image' is tensor\(float\) \(1, 3, 32\), expected images, \(1, 3, R, R\) or"),
        ((8, 3, 32, 32), {}, r"\(8, 3, 32, 32\), expected a batch of 1 or of any number"),
        ((1, 1, 32, 32), {}, r"\(1, 1, 32, 32\), expected 3 channels"),
        ((1, 3, 32, 32), {"layout": "NHWC"}, r"\(1, 3, 32, 32\), expected 3 channels"),
        ((1, 3, 32, 40), {}, r"\(1, 3, 32, 40\), expected images as high as wide"),
        ((1, 3, 32, 32), {"size": 64}, "size: 64 px, expected 32: input 'image' is"),
        ((1, 3, 8, 8), {}, r"\(1, 3, 8, 8\), expected images of 16 px or more"),
        (("n", "c", "h", "w"), {}, "does not say where the channels are; give the layout: NCHW or NHWC"),
        ((1, 3, 32, 32), {"pixels": "256"}, "pixels: '256', expected 'unit', 'bytes', 'imagenet' or 'standardize'"),
        ((1, 3, 32, 32), {"scale": "cm"}, "scale: 'cm', expected 'px', 'size', 'prnet', 'reshow' or 'unit'"),
        ((1, 3, 32, 32), {"scale": -2.0}, "scale: -2.0, expected 0 to 1000000.0"),
        ((1, 3, 32, 32), {"scale": 0}, "scale: 0, expected a number above 0"),
        ((1, 3, 32, 32), {"channels": "rgba"}, "channels: 'rgba', expected 'rgb' or 'bgr'"),
    ],
)
def test_network_of_other_images_raises(tmp_path: Path, shape, options, message) -> None:
    path = identity_network(tmp_path / "n.onnx", shape)
    with pytest.raises(InputError, match=message):
        Network(path, NetworkOptions(**options))


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (np.zeros((1, 3, 20, 24), np.float32), r"\(1, 3, 20, 24\)"),
        (np.zeros((1, 4, 20, 20), np.float32), r"\(1, 4, 20, 20\)"),
        (np.zeros((2, 3, 20, 20), np.float32), r"\(2, 3, 20, 20\)"),
        (np.zeros((1, 3, 8, 8), np.float32), r"\(1, 3, 8, 8\)"),
        (np.zeros((1, 399, 3), np.float32), r"\(1, 399, 3\)"),
        (np.zeros((1, 257), np.float32), r"\(1, 257\)"),
        (np.zeros((1, 3, 20, 20), np.int64), r"int64 \(1, 3, 20, 20\)"),
    ],
)
def test_network_of_another_output_raises_what_it_is(tmp_path: Path, output, found) -> None:
    path = constant_network(tmp_path / "n.onnx", output, 32)
    with pytest.raises(InputError, match=rf"output 'position_map' is .*{found}, expected a position map"):
        Network(path, NetworkOptions())


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (np.nan, "holds NaN or infinity"),
        (1 / 45, "map is 1 px across in a crop of 32 px, expected a face; is its unit another"),
        (1e4, r"map leads 4e\+05 px away in a crop of 32 px"),
    ],
)
def test_maps_that_are_none_are_refused(tmp_path: Path, factor, message) -> None:
    shown = MAP.copy()
    shown[0, 0], shown[0, 1] = -5, 40
    path = constant_network(tmp_path / "n.onnx", shown[None] * np.float32(factor), 32)
    with pytest.raises(SampleError, match=message):
        Network(path, NetworkOptions())(CROP)


def test_files_that_are_no_networks_raise(tmp_path: Path) -> None:
    (tmp_path / "n.onnx").write_bytes(b"\x08no network")
    (tmp_path / "read.me").write_bytes(b"no network")
    os.mkfifo(tmp_path / "pipe.onnx")
    for path, message in (
        (tmp_path / "read.me", "read.me: text, expected an ONNX network"),
        (tmp_path / "n.onnx", "onnxruntime cannot open it .*, expected an ONNX network"),
        (tmp_path / "none.onnx", "no such file, expected an ONNX network"),
        (tmp_path, "a folder, expected an ONNX network"),
        (tmp_path / "pipe.onnx", "a named pipe, expected an ONNX network"),
    ):
        with pytest.raises(InputError, match=message):
            Network(path, NetworkOptions())


def test_networks_with_other_inputs_raise(tmp_path: Path) -> None:
    images = ("image", (1, 3, 32, 32), np.float32)
    for inputs, message in (
        ([images, ("pose", (1, 3), np.float32)], r"2 inputs \(image, pose\), expected one"),
        (
            [("image", (1, 3, 32, 32), np.int64)],
            r"input 'image' is tensor\(int64\) .* expected float, float16 or uint8",
        ),
    ):
        path = write_network(
            tmp_path / "n.onnx", [("Identity", ["image"], "position_map")], inputs,
            [("position_map", (1, 3, 32, 32), inputs[0][2])],
        )  # fmt: skip
        with pytest.raises(InputError, match=message):
            Network(path, NetworkOptions())


@pytest.mark.parametrize("of", ["image", "position_map", "side"])
def test_networks_with_names_that_are_not_utf8_raise(tmp_path: Path, of: str) -> None:
    shape = ("side", 3, 32, 32)
    path = write_network(
        tmp_path / "n.onnx", [("Identity", ["image"], "position_map")], [("image", shape, np.float32)],
        [("position_map", shape, np.float32)],
    )  # fmt: skip
    path.write_bytes(path.read_bytes().replace(of.encode(), b"\xff" * len(of)))
    with pytest.raises(InputError, match="a name of an input, output or dimension is not UTF-8"):
        Network(path, NetworkOptions())


@pytest.mark.parametrize(
    ("key", "value", "fits", "others"),
    [
        ("BitmapPixelFormat", "Bgr8", {"channels": "bgr"}, {"channels": "rgb"}),
        ("BitmapPixelFormat", "Rgb8", {"channels": "rgb"}, {"channels": "bgr"}),
        ("NominalPixelRange", "NominalRange_0_255", {"pixels": "bytes"}, {"pixels": "imagenet"}),
        ("NominalPixelRange", "Normalized_0_1", {"pixels": "imagenet"}, {"pixels": "bytes"}),
        ("BitmapPixelFormat", "Bgra8", {"channels": "bgr"}, {"channels": "rgb"}),
        ("BitmapPixelFormat", "of a later version", {"channels": "bgr"}, None),
    ],
)
def test_networks_that_state_of_their_images_what_the_options_deny_raise(
    tmp_path: Path, key: str, value: str, fits: dict[str, Any], others: dict[str, Any] | None
) -> None:
    path = add_metadata(identity_network(tmp_path / "n.onnx", (1, 3, 32, 32)), **{f"Image.{key}": value})
    Network(path, NetworkOptions(**fits))
    if others is not None:
        ((option, given),) = others.items()
        with pytest.raises(InputError, match=rf"{option}: '{given}', expected .*: .* states Image\.{key} {value}; if"):
            Network(path, NetworkOptions(**others))


@pytest.mark.parametrize(
    ("key", "value", "kinds"),
    [
        ("NominalPixelRange", "Normalized_1_1", "bytes, imagenet, standardize, unit"),
        ("NominalPixelRange", "NominalRange_16_235", "bytes, imagenet, standardize, unit"),
        ("BitmapPixelFormat", "Gray8", "bgr, rgb"),
    ],
)
def test_networks_that_state_images_of_a_kind_that_is_not_made_raise(
    tmp_path: Path, key: str, value: str, kinds: str
) -> None:
    path = add_metadata(identity_network(tmp_path / "n.onnx", (1, 3, 32, 32)), **{f"Image.{key}": value})
    with pytest.raises(InputError, match=rf"states Image\.{key} {value}, expected images that .* said of: {kinds}; if"):
        Network(path, NetworkOptions())


def test_networks_state_their_images_in_capitals_or_small_letters(tmp_path: Path) -> None:
    """ONNX says that keys and values are case insensitive."""
    path = add_metadata(identity_network(tmp_path / "n.onnx", (1, 3, 32, 32)), **{"image.bitmappixelformat": "BGR8 "})
    Network(path, NetworkOptions(channels="bgr"))
    with pytest.raises(InputError, match=r"channels: 'rgb', expected 'bgr': .* states Image\.BitmapPixelFormat Bgr8"):
        Network(path, NetworkOptions(channels="rgb"))


def test_networks_that_take_linear_light_raise(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", (1, 3, 32, 32))
    Network(add_metadata(path, **{"Image.ColorSpaceGamma": "SRGB"}), NetworkOptions())
    path = add_metadata(identity_network(tmp_path / "m.onnx", (1, 3, 32, 32)), **{"Image.ColorSpaceGamma": "linear"})
    with pytest.raises(InputError, match=r"states Image\.ColorSpaceGamma Linear, expected SRGB, as images are"):
        Network(path, NetworkOptions())


def test_networks_of_bytes_may_state_any_range_and_metadata_that_are_no_text(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", (1, 3, 32, 32), np.uint8)
    with pytest.raises(InputError, match="expected a position map"):  # since it says bytes
        Network(add_metadata(path, **{"Image.NominalPixelRange": "NominalRange_0_255"}), NetworkOptions("unit"))
    path = add_metadata(identity_network(tmp_path / "n.onnx", (1, 3, 32, 32)), note="x")
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    Network(path, NetworkOptions())


def test_networks_whose_maps_are_random_are_told_from_others(tmp_path: Path) -> None:
    image, output = [("image", (1, 3, 32, 32), np.float32)], [("position_map", (1, 3, 32, 32), np.float32)]
    noise = ("RandomNormalLike", ["image"], "noise")
    random = [noise, ("Add", ["image", "noise"], "position_map")]
    with pytest.raises(InputError, match=r"n\.onnx: its map of a crop is another one when it is run again, expected"):
        Network(write_network(tmp_path / "n.onnx", random, image, output), NetworkOptions()).check_repeatable()
    jitter = [noise, ("Mul", ["noise", "tiny"], "less"), ("Add", ["image", "less"], "position_map")]
    path = write_network(tmp_path / "n.onnx", jitter, image, output, {"tiny": np.array([1e-6], np.float32)})
    Network(path, NetworkOptions()).check_repeatable()
    unknown = [("Log", ["image"], "logs"), ("Sqrt", ["logs"], "position_map")]  # NaN, in the same places
    Network(write_network(tmp_path / "n.onnx", unknown, image, output), NetworkOptions()).check_repeatable()


def test_networks_without_outputs_raise(tmp_path: Path) -> None:
    images = ("image", (1, 3, 32, 32), np.float32)
    path = write_network(tmp_path / "n.onnx", [("Identity", ["image"], "position_map")], [images], [])
    with pytest.raises(InputError, match="no outputs, expected a position map"):
        Network(path, NetworkOptions())


def test_without_onnxruntime_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        DependencyError, match=r'network: onnxruntime is not installed; pip install "\.\[onnx\]" in uvgen'
    ):
        Network(identity_network(tmp_path / "n.onnx", (1, 3, 32, 32)), NetworkOptions())


def test_networks_that_ask_for_too_much_or_say_no_tensor_raise(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected images of 4096 px or less"):
        Network(identity_network(tmp_path / "large.onnx", (1, 3, 60000, 60000)), NetworkOptions())
    with pytest.raises(InputError, match=r"output 'maps' is not a tensor \(list\), expected a position map"):
        Network(sequence_network(tmp_path / "sequence.onnx"), NetworkOptions())


def test_hash_of_a_network_is_of_its_weights_wherever_they_are(tmp_path: Path) -> None:
    path, weights = external_network(tmp_path / "net.onnx", "net.onnx.data"), tmp_path / "net.onnx.data"
    weights.write_bytes(bytes(4 * 3 * 32**2))
    found = hash_network(path)
    assert found == hash_network(path) != hashlib.sha256(path.read_bytes()).hexdigest()
    weights.write_bytes(b"\1" + weights.read_bytes()[1:])
    assert hash_network(path) != found
    plain = identity_network(tmp_path / "plain.onnx", (1, 3, 64, 64))
    assert hash_network(plain) == hashlib.sha256(plain.read_bytes()).hexdigest()
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(50):  # damaged ones have some hash
        changed = np.frombuffer(data, np.uint8).copy()
        changed[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
        path.write_bytes(changed[: rng.integers(1, len(data))].tobytes())
        hash_network(path)


@pytest.mark.parametrize("weights", ["../weights.bin", "{folder}/weights.bin", "link.bin", "etc/hostname"])
def test_hash_of_a_network_whose_weights_lie_elsewhere_is_refused(tmp_path: Path, weights: str) -> None:
    folder = tmp_path / "network"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(b"")
    (folder / "link.bin").symlink_to("../weights.bin")
    (folder / "etc").symlink_to("/etc")
    path = external_network(folder / "net.onnx", weights.format(folder=tmp_path))
    with pytest.raises(InputError, match=r"net\.onnx: has weights in '.*', expected a file in its own folder"):
        hash_network(path)


_GROUP = bytes([0xA3, 6, 0x12, 2, 8, 1, 0xA4, 6])  # a group of number 100, which protobuf passes over, with a field

HIDDEN: dict[str, Callable[[Path, str], Path]] = {
    "behind a group": lambda path, weights: external_network(path, weights, before=_GROUP),
    "behind a group in a group": lambda path, weights: external_network(
        path, weights, before=_GROUP[:2] + _GROUP + _GROUP[-2:]
    ),
    "in a graph whose number has bits that fall away": lambda path, weights: external_network(
        path, weights, graph_tag=b"\xba\x80\x80\x80\x10"
    ),
    "named with a NUL": lambda path, weights: external_network(path, f"{weights}\0x"),
    "of a function": external_function_network,
}


@pytest.mark.parametrize("kind", HIDDEN)
def test_hash_of_a_network_is_of_weights_that_only_onnxruntime_would_find(tmp_path: Path, kind: str) -> None:
    path, weights = HIDDEN[kind](tmp_path / "net.onnx", "weights.bin"), tmp_path / "weights.bin"
    weights.write_bytes(np.moveaxis(np.resize(MAP, (32, 32, 3)), 2, 0).tobytes())
    Network(path, NetworkOptions())  # it opens
    found = hash_network(path)
    weights.write_bytes(bytes(4 * 3 * 32**2))
    assert hash_network(path) != found
    (tmp_path / "folder").mkdir()
    path = HIDDEN[kind](tmp_path / "folder" / "net.onnx", "../weights.bin")
    with pytest.raises(InputError, match=r"net\.onnx: has weights in '../weights\.bin', expected a file in its own"):
        hash_network(path)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are UTF-8")
def test_hash_of_a_network_is_of_weights_whose_name_is_not_utf8(tmp_path: Path) -> None:
    path, weights = external_network(tmp_path / "net.onnx", b"w\xff.bin"), tmp_path / os.fsdecode(b"w\xff.bin")
    weights.write_bytes(bytes(4 * 3 * 32**2))
    found = hash_network(path)
    weights.write_bytes(b"\1" + weights.read_bytes()[1:])
    assert hash_network(path) != found


def test_hash_of_a_network_of_links_into_another_folder_is_made(tmp_path: Path) -> None:  # as Hugging Face's cache
    (tmp_path / "blobs").mkdir()
    for name in ("net.onnx", "weights.bin"):
        (tmp_path / name).symlink_to(f"blobs/{name}")
    (tmp_path / "blobs/weights.bin").write_bytes(b"1")
    external_network(tmp_path / "net.onnx", "weights.bin")
    found = hash_network(tmp_path / "net.onnx")
    (tmp_path / "blobs/weights.bin").write_bytes(b"2")
    assert hash_network(tmp_path / "net.onnx") != found


@pytest.mark.parametrize("many", [b"\x3a\0", b"\x3a\2\x0a\0", bytes([0x3A, 0, 0x6A, 0])])
def test_hash_of_a_network_of_many_messages_takes_little_memory(tmp_path: Path, many: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(many * 50_000)
    tracemalloc.start()
    try:
        hash_network(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 5 * path.stat().st_size


def test_hash_of_a_network_of_messages_in_messages_is_made(tmp_path: Path) -> None:
    data = b""
    for level in range(3000):  # a graph in an attribute of a node, and so on
        tag = (b"\x0a", b"\x2a", b"\x32")[level % 3]
        data = tag + varint(len(data)) + data
    (tmp_path / "net.onnx").write_bytes(b"\x3a" + varint(len(data)) + data)
    assert hash_network(tmp_path / "net.onnx")


def test_hash_of_a_network_of_more_bytes_than_there_can_be_is_refused_unread(tmp_path: Path) -> None:
    path = external_network(tmp_path / "net.onnx", "weights.bin")
    (tmp_path / "weights.bin").touch()
    os.truncate(tmp_path / "weights.bin", 1 << 40)
    with pytest.raises(InputError, match=r"weights\.bin: weights of 1099511627776 bytes, expected 17179869184 at most"):
        hash_network(path)
    os.truncate(path, 1 << 40)
    with pytest.raises(InputError, match=r"net\.onnx: 1099511627776 bytes, expected an ONNX network, which has"):
        hash_network(path)


@pytest.mark.parametrize(
    ("format_version", "opset", "why"),
    [(99, 13, "Unsupported model IR version: 99, max supported IR version: "), (8, 999, ".*Opset 999 is under devel")],
)
def test_network_of_a_newer_format_is_refused_with_what_to_do(
    tmp_path: Path, format_version: int, opset: int, why: str
) -> None:
    path = identity_network(tmp_path / "net.onnx", (1, 3, 64, 64))
    content = path.read_bytes()
    assert content.startswith(b"\x08\x08") and content.endswith(b"\x10\x0d")
    number = bytes([opset & 127 | 128, opset >> 7]) if opset > 127 else bytes([opset])
    tail = content[2:-6] + b"\x42" + bytes([3 + len(number)]) + b"\x0a\x00\x10" + number
    path.write_bytes(b"\x08" + bytes([format_version]) + tail)
    with pytest.raises(InputError, match=rf"cannot open it \({why}.*; save it with an older opset, or update onnxr"):
        Network(path, NetworkOptions())


@pytest.mark.slow
def test_networks_leave_nothing_in_the_folders_of_temporary_files_and_of_the_user(tmp_path: Path) -> None:
    """onnxruntime from 1.32 on keeps usage data there to send them."""
    network, home = identity_network(tmp_path / "n.onnx", (1, 3, 32, 32)), tmp_path / "home"
    home.mkdir()
    program = "import sys; from uvgen.evaluation.network import *; Network(Path(sys.argv[1]), NetworkOptions('bytes'))"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"TMPDIR": str(home), "HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_DATA_HOME": str(home)}
    subprocess.run([sys.executable, "-c", program, str(network)], check=True, env=environment)
    assert os.listdir(home) == []


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("Tile node. bfc_arena.cc: Failed to allocate memory for")]
)
def test_memory_that_runs_out_is_no_fault_of_the_photograph(tmp_path: Path, error: Exception) -> None:
    network = Network(identity_network(tmp_path / "n.onnx", (1, 3, 32, 32)), NetworkOptions("bytes"))

    class Short:
        def run(self, *_: object) -> None:
            raise error

    network._session = Short()
    with pytest.raises(MemoryError, match=r"n\.onnx: memory ran out while it was run"):
        network(CROP)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit memory")
def test_a_network_that_asks_for_more_memory_than_there_may_be_says_how_much_that_is(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", (1, 3, 32, 32))
    code = (
        "import resource, pickle, pathlib, sys\n"
        "from uvgen import NetworkOptions\n"
        "from uvgen.evaluation import network_trial\n"
        "def short(*_): raise MemoryError\n"
        "network_trial.Network = short\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "job = pathlib.Path(sys.argv[2])\n"
        "job.write_bytes(pickle.dumps((pathlib.Path(sys.argv[1]), NetworkOptions())))\n"
        "network_trial.open_trial(job)(None)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "job")], capture_output=True, text=True, check=False
    )
    assert "n.onnx: asks for more than 3 GiB, expected a network; raise the limit (ulimit -v)" in found.stderr
