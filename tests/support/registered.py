"""Meshes of samples whose parameters are known, as another program would register them, and their cameras."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen import MorphableModel, Sample, find_samples, read_annotation, read_image
from uvgen.geometry import pose_to_image, rotation_matrices
from uvgen.meshes.files import write_obj, write_ply
from uvgen.meshes.glb import write_glb


def model_vertices(sample: Sample, model: MorphableModel) -> NDArray[np.float64]:
    """A sample's face (n, 3) in the model's frame, µm, by its parameters."""
    said = read_annotation(sample)
    parameters = np.concatenate([said.shape, said.expression]).astype(np.float64)
    return np.asarray(model.mean + model.basis.astype(np.float64) @ parameters)


def image_vertices(sample: Sample, model: MorphableModel) -> NDArray[np.float64]:
    """The same in its image, px."""
    affine = pose_to_image(read_annotation(sample).pose[None], read_image(sample).shape[0])[0]
    return model_vertices(sample, model) @ affine[:, :3].T + affine[:, 3]


def pose_camera(sample: Sample) -> dict[str, Any]:
    """The orthographic camera that a sample's pose is."""
    pose = read_annotation(sample).pose.astype(np.float64)
    height = read_image(sample).shape[0]
    rotation = rotation_matrices(pose[None, :3])[0].tolist()
    place = [pose[3] - 1, height - pose[4], pose[5]]
    return {"type": "orthographic", "scale": pose[6], "rotation": rotation, "translation": place}


def write_mesh(path: Path, vertices: NDArray[Any], model: MorphableModel) -> Path:
    """In the format that the name says, with the model's triangles."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, vertices)
    else:
        write = {".obj": write_obj, ".ply": write_ply, ".glb": write_glb}[path.suffix]
        write(path, vertices, model.triangles, frame="raw")
    return path


def write_camera(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_meshes(tree: Path, out: Path, model: MorphableModel, suffix: str = ".npy", *, cameras: bool = False) -> Path:
    """A mesh for each sample of a tree: in its image, or in the model's frame with a camera beside it."""
    for sample in find_samples(tree):
        vertices = model_vertices(sample, model) if cameras else image_vertices(sample, model)
        write_mesh(out / f"{sample.name}{suffix}", vertices, model)
        if cameras:
            write_camera(out / f"{sample.name}.camera.json", pose_camera(sample))
    return out
