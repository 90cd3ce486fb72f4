"""Synthetic photographs, several of each person, as a folder like 300W-LP's; the built-in set has one.

    python examples/stn/persons.py faces/ --persons 8 --photographs 6
    uvgen build --data faces/ --model builtin --out shards/

A person keeps its shape and colors; pose, expression, light and backdrop change. Photograph k of person p is
``IBUG/IBUG_image_p_k``.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from uvgen import load_model
from uvgen.synth.faces import FaceParameters, FaceSource
from uvgen.synth.worker import SynthJob


class PersonSource(FaceSource):
    """Faces of persons: the name up to the last number says who it is."""

    def draw(self, name: str) -> FaceParameters:
        person = super().draw(name.rsplit("_", 1)[0])
        return replace(super().draw(name), shape=person.shape, albedo=person.albedo)


def write(
    out: Path, n_persons: int, n_photographs: int, size: int = 450, seed: int = 0, model: Any = "builtin"
) -> None:
    """Write images and parameter files."""
    (out / "IBUG").mkdir(parents=True)
    model = load_model(model) if isinstance(model, (str, Path)) else model
    make = SynthJob(out, model, seed, size, flip=False).open()
    renderer = make.__self__  # type: ignore[attr-defined]
    renderer.source = PersonSource(model, seed, size)
    make([f"IBUG/IBUG_image_{p:04d}_{k}" for p in range(1, n_persons + 1) for k in range(n_photographs)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--persons", type=int, default=8)
    parser.add_argument("--photographs", type=int, default=6, help="of each person")
    parser.add_argument("--size", type=int, default=450, help="px along each side")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.out, options.persons, options.photographs, options.size, options.seed)


if __name__ == "__main__":
    main()
