"""Finding images with registered meshes and cameras in folders.

An image ``NAME.jpg`` has a mesh ``NAME.obj`` (or another of `uvgen.meshes.registered.REGISTERED_SUFFIXES`) at the same
place below the folder of meshes. Further faces are ``NAME-face2.obj`` and so on, as `uvgen fit` names them; or the
faces are ``NAME.0.obj``, ``NAME.1.obj`` and so on. Cameras are ``NAME.camera.json`` beside the meshes, files in a
folder of cameras, one file for all, or the images of a COLMAP reconstruction.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from uvgen.cameras import ImageCamera
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.meshes.registered import REGISTERED_SUFFIXES
from uvgen.samples.camera_files import read_camera
from uvgen.samples.colmap import is_reconstruction, read_reconstruction
from uvgen.samples.files import files_sha256
from uvgen.samples.find import Sample, find_samples, folder_of, is_wanted, told_apart
from uvgen.samples.parameter_list import is_list
from uvgen.samples.scan_landmarks import is_landmark_file
from uvgen.storage.folders import files_below
from uvgen.storage.names import printable, same_name

CAMERA_ENDING = ".camera.json"
"""Ending of a camera's file name, after the name of its mesh or image."""

_FACE = (
    re.compile(r"(?P<image>.+)[-_]face(?P<number>\d{1,6})", re.DOTALL),
    re.compile(r"(?P<image>.+)\.(?P<from0>\d{1,6})", re.DOTALL),
)
_NAMED = f"NAME{REGISTERED_SUFFIXES[0]} (or {', '.join(REGISTERED_SUFFIXES[1:])})"


@dataclass(frozen=True, slots=True)
class MeshSample(Sample):
    """An image with a registered mesh, whose file is `parameters`, and a camera.

    Attributes
    ----------
    camera : Path, ImageCamera or None
        Its file, or the camera itself if many samples share a file; None if it is missing: `problem` says so.
    """

    camera: Path | ImageCamera | None = None


@dataclass(frozen=True, slots=True)
class _Cameras:
    """Where cameras come from: one for all, COLMAP's by image, or files by the names of meshes or images."""

    place: str
    shared: ImageCamera | None = None
    listed: dict[str, ImageCamera | str] | None = None
    files: dict[str, Path | str] | None = None


def find_meshes(
    data: str | os.PathLike[str],
    meshes: str | os.PathLike[str],
    cameras: str | os.PathLike[str] | None = None,
    subsets: Sequence[str] = (),
    *,
    flip: bool = True,
) -> list[MeshSample]:
    """Images with registered meshes.

    Parameters
    ----------
    data : path-like
        Folder of images, or of folders of them.
    meshes : path-like
        Folder of meshes.
    cameras : path-like, optional
        One JSON file for all images, a folder of such files, or COLMAP's folder with ``cameras.txt`` and
        ``images.txt``. By default the files beside the meshes; without any, vertices are in the image frame, px.
    subsets, flip
        As for `uvgen.find_samples`.

    Returns
    -------
    list of MeshSample
        Sorted as those of `uvgen.find_samples`. Images without a mesh, meshes without an image and faces without a
        camera are among them, with a `problem`.

    Raises
    ------
    DatasetError
        If a folder cannot be read, there are no images or no meshes, or the cameras cannot be read.
    InputError
        If `data` is a list of images.
    """
    if is_list(data):
        raise InputError(f"{data}: a list of images, expected their folder: meshes are found by the images' names")
    root, folder = folder_of(data), Path(os.path.abspath(meshes))
    found, camera_files = dict[str, list[Path]](), dict[str, Path | str]()
    for path in sorted(files_below(folder, "meshes")):
        key = same_name(path.relative_to(folder).as_posix())
        if key.endswith(CAMERA_ENDING):
            key = key.removesuffix(CAMERA_ENDING)
            camera_files[key] = _same_camera(camera_files[key], path) if key in camera_files else path
        elif path.suffix.lower() in REGISTERED_SUFFIXES:
            if is_landmark_file(path):  # of a scan
                continue
            found.setdefault(os.path.splitext(key)[0], []).append(path)
    if not found:
        raise DatasetError(f"{folder}: no meshes in it, expected {_NAMED} for each image")
    given = _cameras(cameras, folder, camera_files)
    samples, with_mesh = list[MeshSample](), set[str]()
    images = dict[str, Sample]()
    for sample in (sample for sample in find_samples(root) if sample.image is not None):
        other = images.setdefault(_key(sample, root), sample)
        if other is not sample:  # which of them a mesh belongs to is not known
            problem = f"its path differs from that of {printable(str(other.image))} in accents alone; rename one"
            images[_key(sample, root)] = replace(other, problem=other.problem or problem)
            samples.append(MeshSample(sample.name, sample.subset, sample.image, None, sample.problem or problem))
    of_missing = [form for form in _FACE if not any(map(form.fullmatch, images))]
    of_faces = dict[tuple[str, int], tuple[str, list[Path]]]()
    for key, paths in found.items():
        of_faces.setdefault(_image_of(key, images, of_missing), (key, []))[1].extend(paths)
    for (image_key, further), (key, paths) in of_faces.items():
        image = images.get(image_key)
        with_mesh.add(image_key)
        sample = _sample(image_key, image, further, paths, root, data)
        samples.append(_with_camera(sample, given, key, image_key, root))
    for key, image in images.items():
        if key not in with_mesh:
            problem = image.problem or f"{image.image}: no mesh of it, expected {folder / key}{_NAMED[4:]}"
            samples.append(MeshSample(image.name, image.subset, image.image, None, problem))
    if subsets or not flip:
        find_samples(root, subsets, flip=flip)  # refuses subsets that are not there; meshes may be of further ones
        asked = set(map(same_name, subsets))
        samples = [sample for sample in samples if is_wanted(sample.subset, asked, flip=flip)]
    named = told_apart(samples, lambda one: f"{one.parameters}: another mesh has this face's name too; rename one")
    return sorted(named, key=lambda sample: (sample.subset, sample.name, str(sample.parameters)))


def _key(sample: Sample, root: Path) -> str:
    """An image's path below the root, without suffix and with slashes."""
    return same_name(os.path.splitext(os.path.relpath(sample.image or "", root))[0].replace(os.sep, "/"))


def _image_of(key: str, images: dict[str, Sample], of_missing: Sequence[re.Pattern[str]]) -> tuple[str, int]:
    """The key of a mesh's image and the number of the face in it, from 1.

    Of an image that is not there, forms of names that images have too (`frame.0001.jpg`) say nothing: `of_missing` are
    the others. A mesh is called the same whether its image is there or not.
    """
    if key in images:
        return key, 1
    for form in _FACE:
        if (match := form.fullmatch(key)) and (match["image"] in images or form in of_missing):
            parts = match.groupdict()
            return match["image"], int(parts["number"]) if "number" in parts else int(parts["from0"]) + 1
    return key, 1


def _sample(
    key: str, image: Sample | None, number: int, paths: list[Path], root: Path, data: str | os.PathLike[str]
) -> MeshSample:
    problem = ""
    if len(paths) > 1:
        others = ", ".join(printable(path.name) for path in paths[1:])
        problem = f"{paths[0]}: of the same face as {others}, expected one mesh of each; remove the wrong one"
    face = "" if number == 1 else f"_face{number}"
    if image is None:
        folder = printable(key.rpartition("/")[0])
        problem = problem or f"{paths[0]}: no image of it, expected {Path(data) / key}.jpg (or .png …)"
        return MeshSample(printable(key) + face, folder or printable(root.name), None, paths[0], problem)
    return MeshSample(image.name + face, image.subset, image.image, paths[0], image.problem or problem)


def _cameras(cameras: str | os.PathLike[str] | None, meshes: Path, beside: dict[str, Path | str]) -> _Cameras:
    """Where the cameras come from; if there are none, a camera of kind "image" for all."""
    if cameras is None:
        if not beside:
            return _Cameras(str(meshes), shared=ImageCamera())
        return _Cameras(str(meshes), files=dict(beside))
    path = Path(os.path.abspath(cameras))
    if path.is_dir():
        if is_reconstruction(path):
            return _Cameras(str(path), listed=_by_stem(read_reconstruction(path)))
        files, twice = dict[str, Path](), dict[str, str]()
        for file in sorted(files_below(path, "cameras")):
            key = re.sub(r"(\.camera)?\.json\Z", "", same_name(file.relative_to(path).as_posix()), flags=re.IGNORECASE)
            if file.suffix.lower() != ".json":
                continue
            if key in files:
                twice[key] = _same_camera(files[key], file)
            files[key] = file
        if not files:
            raise DatasetError(f"{path}: no cameras in it, expected NAME.json for each image, or COLMAP's text files")
        return _Cameras(str(path), files={key: twice.get(key, file) for key, file in files.items()})
    try:
        return _Cameras(str(path), shared=read_camera(path))
    except InputError as error:
        raise DatasetError(str(error)) from error


def _same_camera(one: Path | str, other: Path) -> str:
    return f"{one}: {printable(other.name)} is a camera of the same name, expected one; remove one"


def _by_stem(cameras: dict[str, ImageCamera | str]) -> dict[str, ImageCamera | str]:
    """Cameras by their images' names without suffix; if two images share one, a message in place of a camera."""
    found = dict[str, ImageCamera | str]()
    for name, camera in cameras.items():
        key = same_name(os.path.splitext(name.replace("\\", "/"))[0])
        found[key] = f"{name}: another image of the reconstruction has this name" if key in found else camera
    return found


def _with_camera(sample: MeshSample, given: _Cameras, key: str, image_key: str, root: Path) -> MeshSample:
    """A sample with its camera, the mesh's own or its image's; with a `problem` if there is neither."""
    if given.shared is not None:
        return replace(sample, camera=given.shared)
    known: dict[str, ImageCamera | str] | dict[str, Path | str] = (
        given.files if given.files is not None else given.listed or {}
    )
    for name in (key, image_key):
        if name in known:
            camera = known[name]
            return replace(sample, problem=sample.problem or camera) if isinstance(camera, str) else replace(
                sample, camera=camera
            )  # fmt: skip
    expected = f"{image_key}{CAMERA_ENDING}" if given.files is not None else f"a line for {image_key} in images.txt"
    problem = sample.problem or f"{sample.parameters}: no camera of it in {given.place}, expected {printable(expected)}"
    return replace(sample, problem=problem)


def camera_of_sample(sample: MeshSample, image_shape: tuple[int, ...]) -> ImageCamera:
    """A sample's camera for its image of shape (h, w, …).

    Raises SampleError if its file cannot be used, or states another size than the image has.
    """
    camera = sample.camera
    if camera is None or sample.problem:
        raise SampleError(sample.problem or f"{sample.parameters}: no camera of it")
    where = f"{sample.parameters}: its camera"
    if isinstance(camera, Path):
        where = str(camera)
        try:
            camera = read_camera(camera)
        except InputError as error:
            raise SampleError(str(error)) from error
    height, width = image_shape[:2]
    if camera.size not in (None, (width, height)):
        raise SampleError(
            f"{where} is of an image of {camera.size[0]}×{camera.size[1]} px, {sample.image} has {width}×{height}; was "
            "the image scaled or cut afterward?"
        )  # fmt: skip
    return camera


def mesh_files_sha256(sample: MeshSample) -> str:
    """The hash of a sample's image, mesh and camera, as `uvgen.samples.files.files_sha256` makes it."""
    if isinstance(sample.camera, Path):
        return files_sha256(sample, sample.camera)
    digest = hashlib.sha256(files_sha256(sample).encode())
    if camera := sample.camera:
        numbers = (*camera.focal_px, *camera.center_px, *(camera.size or ()))
        digest.update(f"{camera.kind} {numbers}".encode() + camera.rotation.tobytes() + camera.translation.tobytes())
    else:
        digest.update(sample.problem.encode())
    return digest.hexdigest()
