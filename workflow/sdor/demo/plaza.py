"""The demo's square without its people: paving, lawn, hedge, trees, and what stands on it."""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from sdor.demo.walkers import ZOOM, Brush, Camera, Figure, FloatArray, Part, rod

STEEL, WOOD, IRON = (84.0, 88.0, 90.0), (128.0, 92.0, 62.0), (58.0, 58.0, 60.0)
SLATS = ((-0.3, 0.45), (-0.15, 0.46), (0.0, 0.46), (0.2, 0.65), (0.24, 0.82))  # left, up
LEGS = (((-0.3, 0), (-0.25, 0.42)), ((0.1, 0), (0.22, 0.8)))
LAMP = (
    rod(STEEL, (0.1, 0.06, 0.055), (0, 0), (0, 1.0), (0, 6)),
    rod(STEEL, (0.13, 0.11), (0, 0), (0, 0.35)),
)
BENCH = (
    *(Part(((-0.9, *slat), (0.9, *slat)), (0.05, 0.05), WOOD) for slat in SLATS),
    *(
        Part(((side, *foot), (side, *top)), (0.035, 0.035), IRON)
        for side in (-0.75, 0.75)
        for foot, top in LEGS
    ),
)
BIN = rod((74, 84, 76), (0.23, 0.25), (0, 0.22), (0, 0.78)), rod((40, 44, 42), 0.2, (0, 0.86))
# They hide people and are hidden by them.
STANDING = (Figure(LAMP, 4.15, 16.9, 0), Figure(BENCH, 1.0, 18.75, 0), Figure(BIN, 2.6, 18.7, 0))
TRUNK = rod((0, 0, 0), (0.32, 0.2, 0.18), (0, 0), (0, 1.2), (0.1, 6))


class Plaza:
    """The square without people and without what stands on it.

    Attributes
    ----------
    colour : (height, width, 3) array, the ground's 8-bit colour under full light.
    shade : (height, width) array, share of the sun that trees take away.
    vignette : (height, width) array, gain of the lens.
    """

    def __init__(self, camera: Camera, rng: np.random.Generator) -> None:
        self.camera = camera
        x, z = camera.ground(1)
        self.colour = _paving(camera, rng) * _wear(x, z, camera.height / 160, rng)[..., None]
        # The lawn is mown in stripes.
        grass = np.where(np.floor((x + 0.3 * z) / 1.6) % 2 == 0, 1.05, 0.95)
        grass = grass + 0.07 * _grain(x.shape, 0.6, rng) + 0.05 * _grain(x.shape, 6, rng)
        lawn = z > 19.35
        self.colour[lawn] = np.array([92.0, 114.0, 62.0]) * grass[lawn][:, None]
        kerb = (z > 19.1) & ~lawn
        self.colour[kerb] = np.where(z[kerb] > 19.27, 100, 178)[:, None] * np.array([1, 0.98, 0.95])
        _plant(self.colour, z, camera, rng)
        self.shade = _tree_shade(x, z, rng)
        rows, columns = np.linspace(-1, 1, camera.height), np.linspace(-1, 1, camera.width)
        across = columns**2 + rows[:, None] ** 2
        self.vignette = (1.03 - 0.09 * across).astype(np.float32)

    def sun_at(self, x: float, z: float) -> float:
        """Share of the sun that reaches somebody who stands at a point of the ground."""
        pixels, _ = self.camera.project(np.array([[x, z, 0.6]]))
        height, width = self.shade.shape
        column, row = np.clip(pixels[0], 0, (width - 1, height - 1)).astype(int)
        return 1 - float(self.shade[row, column])


def _grain(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> FloatArray:
    """Smooth noise with standard deviation 1."""
    noise = gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    return np.asarray(noise / noise.std())


def _paving(camera: Camera, rng: np.random.Generator) -> FloatArray:
    """Slabs in running bond, with bands of dark brick and a manhole cover."""
    x, z = camera.ground(ZOOM)
    row = np.floor(z / 0.6).astype(int)
    band = row % 6 == 2
    length = np.where(band, 0.3, 0.9)
    along = x / length + 0.5 * (row % 2)
    column = np.floor(along).astype(int)
    tone = rng.normal(1, 0.035, (64, 64))[row % 64, column % 64]
    to_side = np.minimum(along - column, 1 - along + column) * length
    to_end = np.minimum(z / 0.6 - row, 1 - z / 0.6 + row) * 0.6
    tone[np.minimum(to_side, to_end) < 0.016] *= 0.72
    colour = np.where(band[..., None], (138.0, 112.0, 98.0), (172.0, 165.0, 153.0))
    colour *= tone[..., None]
    off_middle = np.hypot(x - 2.3, z - 14.6)
    cover = off_middle < 0.38
    ribs = np.where((np.floor(x / 0.07) + np.floor(z / 0.07)) % 2 == 0, 92, 74)
    colour[cover] = np.array([1.0, 0.98, 0.95]) * ribs[cover][:, None]
    colour[cover & (off_middle > 0.34)] = (58, 57, 56)
    blocks = colour.reshape(camera.height, ZOOM, camera.width, ZOOM, 3)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _wear(x: FloatArray, z: FloatArray, unit: float, rng: np.random.Generator) -> FloatArray:
    """Gain of the paving where it is worn or stained: patches, spills and chewing gum."""
    worn = 1 + 0.035 * _grain(x.shape, 10 * unit, rng) + 0.02 * _grain(x.shape, 2.5 * unit, rng)
    worn += 0.02 * _grain(x.shape, 0.5, rng)
    for _ in range(60):
        size = rng.choice([0.04, 0.06, 0.3, 0.55], p=[0.5, 0.25, 0.17, 0.08])
        spot = ((x - rng.uniform(-6, 6)) / size) ** 2 + ((z - rng.uniform(10, 19)) / size) ** 2
        worn -= rng.uniform(0.05, 0.14) * np.exp(-(spot**2))
    return worn


def _plant(colour: FloatArray, z: FloatArray, camera: Camera, rng: np.random.Generator) -> None:
    """Paint a road, a hedge and a tree trunk over the ground behind the square."""
    unit = camera.height / 160
    row = (np.arange(camera.height)[:, None] + 0.5) / unit + np.zeros(camera.width)
    road = z > 25.2
    colour[road] = 112 + 5 * _grain(z.shape, 0.5, rng)[road][:, None]
    edge = 4 + 1.2 * _grain((1, camera.width), 4 * unit, rng)
    hedge = (row > edge) & (z > 24.6)
    leaves = 0.55 + 0.5 * np.clip((21.5 - row) / 17, 0, 1) + 0.16 * _grain(z.shape, 0.8, rng)
    colour[hedge] = np.array([62.0, 84.0, 48.0]) * leaves[hedge][:, None]

    canvas = Image.new("L", (camera.width * ZOOM, camera.height * ZOOM))
    Brush(camera, canvas, ZOOM).silhouette(Figure((TRUNK,), -4.6, 21.4, 0), 255)
    covered = np.asarray(canvas.reduce(ZOOM), np.float64)[..., None] / 255
    middle = camera.project(np.array([[-4.6, 21.4, 0.0]]))[0][0, 0]
    away_from_sun = (np.arange(camera.width) - middle) / (6 * unit)
    bark = 1 - 0.35 * away_from_sun + 0.12 * _grain(z.shape, 0.7, rng)
    colour += covered * (np.array([92.0, 78.0, 64.0]) * bark[..., None] - colour)


def _tree_shade(x: FloatArray, z: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Dappled shade of two tree crowns, one of them outside the picture."""
    unit = len(x) / 160
    dapple = _grain(x.shape, 2.5 * unit, rng) + 0.6 * _grain(x.shape, 1.3 * unit, rng)
    shade = np.zeros(x.shape)
    for middle_x, middle_z, wide, deep in ((-1.0, 19.2, 2.3, 1.5), (-3.9, 11.2, 1.5, 1.3)):
        crown = np.exp(-((((x - middle_x) / wide) ** 2 + ((z - middle_z) / deep) ** 2) ** 2))
        shade = np.maximum(shade, crown / (1 + np.exp(-4 * (dapple + 1.1 * crown))))
    return gaussian_filter(0.8 * shade, 0.75 * unit)
