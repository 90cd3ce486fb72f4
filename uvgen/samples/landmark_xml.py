"""Landmarks of many images as CVAT writes them into XML, its kind "for images"."""

import codecs
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from uvgen.errors import InputError
from uvgen.samples.landmark_annotations import CVAT_CENTER, OCCLUDED, by_number
from uvgen.samples.landmark_names import named_by_place
from uvgen.samples.landmark_rows import Entry, image_size, number_of_cell
from uvgen.samples.landmark_schemes import FaceLandmarks, face_of
from uvgen.storage.names import brief
from uvgen.storage.reading import read_file
from uvgen.storage.text import MOST_BYTES, decode_text


def xml_text(path: Path) -> str:
    """An XML document without its first line, which says what it is: UTF-8, as CVAT writes it."""
    data = read_file(path, MOST_BYTES).removeprefix(codecs.BOM_UTF8)
    if data.startswith(b"<?xml"):
        data = data.partition(b"?>")[2]
    try:
        return decode_text(data)
    except ValueError as error:
        raise InputError(f"{path}: {error}, expected CVAT's XML") from error


def xml_entries(path: Path, text: str) -> Iterator[Entry]:
    """Landmarks of images from CVAT's XML; InputError if it cannot be read."""
    if "<!" in text.replace("<!--", ""):  # a document type can make a few lines of text fill the memory
        raise InputError(f"{path}: declares a document type or entities, expected CVAT's plain XML")
    try:
        root = ElementTree.fromstring(text.encode())
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{path}: not readable XML ({brief(error)}), expected CVAT for images 1.1") from error
    has_faces = False
    images = [(image.get("name", "?"), image.get("subset"), image.get("task_id")) for image in root.iter("image")]
    names = named_by_place(images)
    for image, name in zip(root.iter("image"), names, strict=True):
        size = image_size(image.get("width"), image.get("height"))
        shapes = [*image.findall("points"), *image.findall("skeleton")]
        if not shapes:
            yield name, None
        has_faces = has_faces or bool(shapes)
        for number, shape in enumerate(shapes):
            yield name, _cvat_reader(f"{path}, {brief(name)[:80]}, face {number}", shape, size)
    if not has_faces:
        raise InputError(
            f"{path}: no faces in it, expected points or skeletons in images of CVAT for images 1.1; CVAT for video "
            "and dlib's XML are not read"
        )


def _cvat_reader(source: str, shape: ElementTree.Element, size: tuple[int, int] | None) -> Callable[[], FaceLandmarks]:
    def read() -> FaceLandmarks:
        parts = [shape] if shape.tag == "points" else shape.findall("points")
        labels = [part.get("label", "") for part in parts]
        parts = [parts[k] for k in by_number(source, labels)]
        points, scores = [], []
        for part in parts:
            pairs = [pair.split(",") for pair in part.get("points", "").split(";")]
            if any(len(pair) != 2 for pair in pairs):
                raise InputError(f'{source}: points "{brief(part.get("points"))[:40]}", expected "x,y;x,y"')
            points += [[number_of_cell(source, cell) for cell in pair] for pair in pairs]
            score = 0.0 if part.get("outside") == "1" else OCCLUDED if part.get("occluded") == "1" else 1.0
            scores += [score] * len(pairs)
        return face_of(np.reshape(points, (-1, 2)) - CVAT_CENTER, scores, source, image_size=size)

    return read
