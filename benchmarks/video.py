"""How much smoother `uvgen fit --video` is than frame by frame, and what it costs, over weights of its prior.

    python benchmarks/video.py
    python benchmarks/video.py --usual 0.5,0.25,64 1,0.5,64 2,1,64 1,0.5,128 --jitter 1

Sequences are made by the model's own formulas: a head at rest; one that talks, nods and blinks; one that is thrown
around. Landmarks have noise of `--noise` px in a face of 64 px, those of the jaw that much more along the contour; of
its standard deviation, the share `--jitter` is new in each frame, the rest lasts a second, as errors of detectors do.

"jitter" is the standard deviation of the second difference (the error's) of the landmarks 17 to 67 and of the ears;
"error" the distance of all vertices from the truth; "residual" that of the landmarks 17 to 67 from the given ones: all
as shares of what frames by themselves have. "truth" is the residual of the true face, likewise: no fit should be below.
"""

import argparse
import itertools

import numpy as np
from scipy.ndimage import gaussian_filter1d

import uvgen
from uvgen.fitting.video import tracks
from uvgen.geometry import pose_to_image
from uvgen.maps.labels import label_nme
from uvgen.models.morphable import REGIONS

SIZE, FACE, RATE = 128, 64.0, 25.0
KINDS = ("rest", "talk", "fast")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--frames", type=int, default=150)
    options.add_argument("--noise", type=float, nargs="+", default=[0.5, 1.0])
    options.add_argument("--jitter", type=float, default=0.5)
    options.add_argument("--people", type=int, default=2)
    default = ",".join(map(str, tracks.USUAL))
    options.add_argument("--usual", nargs="+", default=[default], help="q of rotations, places and expressions")
    given = options.parse_args()
    model = uvgen.load_model("builtin")
    print(f"{'q':>14}{'noise':>7}{'kind':>6}{'jitter':>8}{'ears':>7}{'error':>7}{'residual':>10}{'truth':>7}")
    for usual in given.usual:
        tracks.USUAL = tuple(map(float, usual.split(",")))
        for noise, kind in itertools.product(given.noise, KINDS):
            rows = [compared(model, kind, noise, person, given.frames, given.jitter) for person in range(given.people)]
            print(f"{usual:>14}{noise:>7}{kind:>6}", end="")
            print("{:>8.2f}{:>7.2f}{:>7.2f}{:>10.3f}{:>7.3f}".format(*np.mean(rows, axis=0)), flush=True)


_alone: dict = {}


def compared(model, kind, noise, person, frames, jitter=0.5):
    """Jitter of landmarks and of ears, error, residual, and the true face's, as shares of those of frames alone."""
    key = kind, noise, person, frames, jitter
    truth, times, points = sequence(model, *key)
    if key not in _alone:
        _alone[key] = tracks.fit_alone(points, model, SIZE)
    alone = _alone[key]
    before, after = (quality(model, fit, truth) for fit in (alone.fit, tracks.fit_track(alone, times, model)))
    of_truth = label_nme(truth[:, model.landmarks], points)[0].mean() / before[-1]
    return [*(new / old for new, old in zip(after, before, strict=True)), of_truth]


def sequence(model, kind, noise, person, frames, jitter):
    """The vertices' true places (n, v, 2) in the image, times (n,), and noisy landmarks (n, 68, 2)."""
    rng = np.random.default_rng(person)
    times = np.arange(frames) / RATE
    shape = rng.normal(size=model.n_shape) * model.shape_std
    swing = {"rest": 0.0, "talk": 0.25, "fast": 1.0}[kind]
    angles = swing * waves(rng, times, np.deg2rad([15, 40, 12]), (0.2, 0.8) if kind != "fast" else (0.5, 2.0))
    if kind != "fast":
        angles += np.deg2rad(rng.uniform(-1, 1, 3) * [10, 35, 8])
    place = SIZE / 2 + swing * waves(rng, times, [20.0, 12.0], (0.1, 0.6))
    grown = np.exp(swing * waves(rng, times, [0.2], (0.1, 0.4))[:, 0])
    spoken = waves(rng, times, np.full(model.n_expression, 0.0 if kind == "rest" else 0.8), (0.5, 4.0))
    blinks = np.zeros(frames)
    for at in rng.uniform(0, times[-1], int(times[-1])) if kind != "rest" else ():
        blinks = np.maximum(blinks, np.exp(-(((times - at) / 0.06) ** 2)))
    expression = (rng.normal(size=model.n_expression) * 0.3 + spoken + blinks[:, None]) * model.expression_std
    unit = np.sqrt(np.ptp(model.mean[model.landmarks, :2], axis=0).prod())
    pose = np.column_stack([angles, place, np.zeros(frames), grown * FACE / unit])
    affine = pose_to_image(pose, SIZE)
    truth = shown(model, np.tile(shape, (frames, 1)), expression, affine)
    points = truth[:, model.landmarks] + noise * grown[:, None, None] * detector_noise(rng, (frames, 68, 2), jitter)
    contour = points[:, :17]
    along = np.gradient(contour, axis=1)
    along /= np.linalg.norm(along, axis=2, keepdims=True)
    contour += along * noise * detector_noise(rng, (frames, 17, 1), jitter)
    return truth, times, points


def detector_noise(rng, shape, jitter):
    """Noise of unit variance: that share of it (standard deviation) new in each frame, the rest lasting seconds."""
    lasting = gaussian_filter1d(rng.normal(size=(shape[0] + 8 * int(RATE), *shape[1:])), RATE, axis=0)
    lasting = lasting[4 * int(RATE) :][: shape[0]] * np.sqrt(2 * np.sqrt(np.pi) * RATE)
    return jitter * rng.normal(size=shape) + np.sqrt(1 - jitter**2) * lasting


def waves(rng, times, amplitude, frequencies):
    """(n, k) smooth curves: three sines each."""
    total = np.zeros((len(times), len(amplitude)))
    for _ in range(3):
        hertz, phase = rng.uniform(*frequencies, len(amplitude)), rng.uniform(0, 2 * np.pi, len(amplitude))
        total += np.sin(2 * np.pi * hertz * times[:, None] + phase) / np.sqrt(3)
    return total * amplitude


def quality(model, fit, truth):
    """Jitter of inner landmarks and of ears, error (px), residual."""
    off = shown(model, fit.shape, fit.expression, pose_to_image(fit.pose, SIZE)) - truth
    ears = ear_vertices(model)
    jitter = [np.diff(off[:, which], 2, axis=0).std() for which in (model.landmarks[17:], ears)]
    return *jitter, np.linalg.norm(off, axis=2).mean(), float(fit.residual.mean())


def shown(model, shape, expression, affine):
    """(n, v, 2) vertices in the image."""
    parameters = np.concatenate([shape, expression], axis=1).astype(np.float32)
    return np.stack(
        [((model.mean + model.basis @ p) @ a[:2, :3].T + a[:2, 3]) for p, a in zip(parameters, affine, strict=True)]
    )


def ear_vertices(model):
    """Vertices at the far left and right of the head, where the ears are."""
    x = np.abs(model.mean[:, 0] - np.median(model.mean[:, 0]))
    head = np.arange(model.n_vertices) if model.regions is None else model.regions != REGIONS.index("neck")
    y = model.mean[:, 1]
    level = (y > model.mean[model.landmarks[33], 1]) & (y < model.mean[model.landmarks[19], 1])
    return np.flatnonzero(level & (x > 0.9 * x[level].max()) & head)


if __name__ == "__main__":
    main()
