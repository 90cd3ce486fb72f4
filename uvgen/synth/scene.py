"""Where synthetic faces are photographed: backdrops, light, and the camera. All of it random, all from formulas."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from uvgen.randomness import keyed_generator
from uvgen.synth import kernels

_TILE = 512  # texels along each side of a texture
_NOISE = 1 << 20  # values of the sensor's noise, more than a picture of 450 × 450 has
_GRIDS = (9, 16, 28, 44, 64)  # points along each side of what a backdrop is painted on: out of focus to sharp
SHININESS = 20.0
"""Of skin, as 300W-LP's `Illum_Para` has it for every sample."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneLight:
    """A lamp and the light from everywhere else; strengths in linear RGB, 1 makes white paper white.

    Attributes
    ----------
    elevation, azimuth : float
        Of the lamp as the camera sees it, rad: up, and to the image's right; (0, 0) is at the camera.
    ambient, key : (3,) float64
        Strengths of the surroundings and of the lamp.
    specular : float
        Strength of the skin's highlight, a share of the lamp's.
    """

    elevation: float
    azimuth: float
    ambient: NDArray[np.float64]
    key: NDArray[np.float64]
    specular: float

    @property
    def direction(self) -> NDArray[np.float64]:
        """(3,) unit vector toward the lamp, image frame."""
        across, up = self.azimuth, self.elevation
        return np.array([np.cos(up) * np.sin(across), -np.sin(up), np.cos(up) * np.cos(across)])

    def mirrored(self) -> "SceneLight":
        """The light in the mirrored picture."""
        return replace(self, azimuth=-self.azimuth)


def draw_light(rng: np.random.Generator) -> SceneLight:
    """Daylight, lamp light or flash, mostly from above."""
    warmth = rng.normal(0, 0.07)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    exposure = rng.uniform(0.72, 1.2)
    share = rng.beta(2.2, 1.4)  # of the lamp: 0 is overcast, 1 is harsh
    return SceneLight(
        elevation=float(np.clip(rng.normal(0.6, 0.35), -0.3, 1.3)),
        azimuth=float(np.clip(rng.normal(0, 0.75), -1.9, 1.9)),
        ambient=exposure * (0.95 - 0.7 * share) / tint,  # the shadows take the other tint
        key=exposure * (0.25 + 1.3 * share) * tint,
        specular=float(rng.uniform(0.03, 0.24)),
    )


def draw_backdrop(rng: np.random.Generator, size: int, mirrored: bool) -> NDArray[np.float32]:
    """What stands behind the face.

    Parameters
    ----------
    rng : numpy.random.Generator
        Of the sample.
    size : int
        Pixels along each side.
    mirrored : bool
        Give the mirror image of what the same numbers give otherwise.

    Returns
    -------
    (size, size, 3) float32
        0 to 255: two colors that fade into each other, shapes in and out of focus, and a texture.
    """
    n = int(rng.choice(_GRIDS))
    rows, columns = np.mgrid[0:n, 0:n].astype(np.float32) / (n - 1) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    fade = 0.5 + np.float32(np.cos(angle)) * columns + np.float32(np.sin(angle)) * rows
    grid = fade[..., None] * draw_color(rng) + (1 - fade[..., None]) * draw_color(rng)
    for _ in range(rng.integers(2, 16)):
        x, y, turn = rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), rng.uniform(0, np.pi) * rng.integers(0, 2)
        width, height = 0.04 + rng.exponential(0.16, 2)
        along = (columns - np.float32(x)) * np.float32(np.cos(turn)) + (rows - np.float32(y)) * np.float32(np.sin(turn))
        across = (rows - np.float32(y)) * np.float32(np.cos(turn)) - (columns - np.float32(x)) * np.float32(
            np.sin(turn)
        )
        if rng.random() < 0.5:
            inside = (np.abs(along) < width) & (np.abs(across) < height)
        else:
            inside = (along / np.float32(width)) ** 2 + (across / np.float32(height)) ** 2 < 1
        grid[inside] += np.float32(rng.uniform(0.4, 0.95)) * (draw_color(rng) - grid[inside])
    grid += rng.normal(0, rng.uniform(2, 16), (n, n, 1)).astype(np.float32)
    spread = _interpolation(n, size)
    tall = (spread @ grid.reshape(n, -1)).reshape(size, n, 3)
    planes = (tall.transpose(0, 2, 1).reshape(3 * size, n) @ spread.T).reshape(size, 3, size)
    textures = _textures()
    canvas = np.empty((size, size, 3), np.float32)
    top, left = rng.integers(0, _TILE, 2)
    gain = np.float32(rng.uniform(0.02, 0.3) * min(n / 32, 1))  # what is out of focus shows no texture
    texture = kernels.Texture(textures[rng.integers(len(textures))], int(top), int(left), gain)
    kernels.paint_backdrop(planes, texture, mirrored, canvas)
    return canvas


def photograph(canvas: NDArray[np.float32], edges: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What the camera makes of a canvas (h, w, 3), 0 to 255: soft silhouettes, slight blur, noise, 8 bits."""
    height, width = canvas.shape[:2]
    image = np.empty(canvas.shape, np.uint8)
    blur, strength = rng.uniform(0, 0.2), rng.gamma(1.5, 1.3)
    grain = kernels.Grain(_noise(), int(rng.integers(_NOISE)), np.float32(min(strength, 7)))
    rows = np.empty((2, 3 * width), np.float32)
    kernels.expose(canvas.reshape(height, -1), edges, np.float32(blur), grain, rows, image.reshape(height, -1))
    return image


def draw_color(rng: np.random.Generator) -> NDArray[np.float32]:
    """A color as walls, wood, leaves and clothes have them: rarely vivid."""
    color = rng.uniform(15, 235) * (1 + min(rng.gamma(1.2, 0.1), 0.28) * rng.normal(size=3))
    return np.clip(color, 4, 250).astype(np.float32)


@lru_cache(maxsize=32)
def _interpolation(n: int, size: int) -> NDArray[np.float32]:
    """(size, n) cubic B-splines: n values as a smooth curve at `size` places, which never overshoots."""
    at = np.linspace(0, n - 1, size)
    first = np.floor(at).astype(int)
    t = at - first
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    matrix = np.zeros((size, n))
    for k, weight in enumerate(pieces):
        np.add.at(matrix, (np.arange(size), np.clip(first + k - 1, 0, n - 1)), weight / 6)
    return matrix.astype(np.float32)


@lru_cache(maxsize=1)
def _textures() -> NDArray[np.float32]:
    """(k, 512, 512) textures that repeat, about -1 to 1: plaster, clouds, wood, leaves, bricks, cloth."""
    rng = keyed_generator(0, "backdrop textures")
    down, right = np.meshgrid(np.fft.fftfreq(_TILE) * _TILE, np.fft.rfftfreq(_TILE) * _TILE, indexing="ij")
    radius = np.hypot(down, right)
    radius[0, 0] = np.inf

    def noise(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
        waves = np.fft.rfft2(rng.normal(size=(_TILE, _TILE))) * spectrum
        field = np.fft.irfft2(waves, s=(_TILE, _TILE))
        scaled: NDArray[np.float64] = field / field.std() / 2
        return scaled

    plaster, clouds = noise(radius**-0.9), noise(radius**-1.7)
    grain = noise(1 / (np.hypot(14 * right, down) + 4) ** 1.3)
    leaves = np.tanh(3 * noise(np.exp(-(((radius - 14) / 9) ** 2)))) * 0.7 + 0.3 * plaster
    y, x = np.mgrid[0:_TILE, 0:_TILE]
    row, column = y // 32, (x + 32 * (y // 32 % 2)) // 64 % 8
    joints = (y % 32 < 4) | ((x + 32 * (row % 2)) % 64 < 4)
    bricks = np.where(joints, 0.9, 0.5 * rng.normal(size=(16, 8))[row, column]) + 0.35 * plaster
    cloth = 0.4 * np.sin(x * (2 * np.pi * 64 / _TILE)) + 0.4 * np.sin(y * (2 * np.pi * 64 / _TILE)) + 0.4 * plaster
    tiles: NDArray[np.float32] = np.clip([plaster, clouds, grain, leaves, bricks, cloth], -1.5, 1.5).astype(np.float32)
    return tiles


@lru_cache(maxsize=1)
def _noise() -> NDArray[np.float32]:
    return keyed_generator(0, "sensor noise").standard_normal(_NOISE, np.float32)
