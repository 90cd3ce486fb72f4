"""How long it takes to turn a photograph's face out of the plane, against sampling the same photograph once.

    python benchmarks/turn.py [--model builtin] [--size 450] [--repeats 100]

All in this one run, in this process, in milliseconds per photograph: the fastest of the repeats, by the clock of this
thread's own work, for a turn takes longer than a busy machine leaves one process alone. The floor
is `uvgen.warp_image` of the whole photograph by a shift: what any way of drawing its pixels anew costs. Vertices are
evaluated for 16 faces at once, as builds do; they are timed apart. Nothing is asserted: machines are noisy; read the
ratios.
"""

import argparse

import timing  # before NumPy: it asks for one BLAS thread

# isort: split
import time
from functools import partial

import numpy as np

from uvgen import load_model, warp_image
from uvgen.augment.profile import turned_pose
from uvgen.augment.turner import FaceTurner
from uvgen.samples.read import Annotation
from uvgen.synth.faces import FaceSource
from uvgen.synth.portrait import Painter

best_ms = partial(timing.best_ms, clock=time.thread_time)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--size", type=int, default=450)
    parser.add_argument("--repeats", type=int, default=100)
    options = parser.parse_args()
    builtin, model = load_model("builtin"), load_model(options.model)
    face = FaceSource(builtin, 0, options.size).draw("a")
    (vertices,), albedo = Painter(builtin, options.size).surfaces([face])
    skin = None if albedo is None else albedo[0]
    photograph = Painter(builtin, options.size).paint(face, vertices, skin, np.random.default_rng(0))
    pose = face.pose * np.float32([1, 0, 1, 1, 1, 1, 1])
    same = Annotation(np.zeros(model.n_shape, np.float32), np.zeros(model.n_expression, np.float32), pose, None)
    turner = FaceTurner(model)
    (points,) = turner.vertices([same])
    shift = np.array([[1, 0, 0.3], [0, 1, 0.3], [0, 0, 1]])
    floor = best_ms(lambda: warp_image(photograph, shift, options.size), options.repeats)
    print(f"{options.size}², {model.name}, {model.n_vertices} vertices; ms per photograph, times the floor")
    print(f"  the floor: one warp of the photograph                      {floor:7.3f}")
    for yaw in (10, 40, 80):
        new = turned_pose(model, same, yaw, 0)
        one = best_ms(lambda new=new: turner.turn(photograph, points, pose, new), options.repeats)  # type: ignore[misc]
        print(f"  turned by {yaw}°                                             {one:7.3f}   {one / floor:5.2f} ×")
    sixteen = best_ms(lambda: turner.vertices([same] * 16), max(options.repeats // 10, 1), 16)
    print(f"  a face's vertices, of 16 together                          {sixteen:7.3f}   {sixteen / floor:5.2f} ×")


if __name__ == "__main__":
    main()
