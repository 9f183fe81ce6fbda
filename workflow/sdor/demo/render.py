"""The demo scene `plaza`: surveillance video of a square, rendered here, with labels and masks.

People walk along the square from side to side, more of them to the right. What is anomalous: a
service cart, a cyclist, a runner, and somebody who walks across the stream. Clouds dim the sun and
the number of people changes, so that no single pixel statistic tells the anomalies apart.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path
from typing import NamedTuple

import ffmpeg
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

from sdor.demo.plaza import STANDING, Plaza
from sdor.demo.walkers import ZOOM, Brush, Camera, Colour, Figure, FloatArray, Look, moving
from sdor.errors import SdorError
from sdor.files import atomic
from sdor.video.ffmpeg import ffmpeg_binary, last_lines

Picture = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

# What a scene file may name; each clip is the file of its name, with the ending .avi.
CLIPS = tuple(f"clip{number:02d}" for number in range(1, 11))
# Fewest visible pixels of an anomalous object in a 240x160 picture that make a frame anomalous.
VISIBLE = 40
# Ground between the kerb and the camera where people walk, in metres from the camera.
NEAR, FAR = 10.9, 18.4
WALK_SPEED = 1.25
# Cheap outdoor cameras show weaker colours than the eye sees.
COLOURFULNESS = 0.82


@dataclass(frozen=True)
class DemoSettings:
    """What the ten clips are rendered from; `frames` is per clip."""

    seed: int = 7
    frames: int = 130
    width: int = 240
    height: int = 160
    fps: int = 15


NO_PAINT = (0, 0, 0)
# The anomaly of each clip: its kind, when it passes a point (a share of the clip's length), that
# point (x and z in metres), its speed, heading and paint. The cart and the cyclists stay longest.
# Four begin or end with their clip; all leave frames without an anomaly in it.
EVENTS: dict[str, tuple[str, float, float, float, float, float, Colour]] = {
    "clip05": ("cart", 0.42, 0, 12.6, 3.0, 0, (234, 230, 216)),
    "clip06": ("cyclist", 0.6, 0, 11.8, 3.2, pi, (150, 44, 40)),
    "clip07": ("runner", 1.03, 0, 13.4, 4.1, pi, NO_PAINT),
    "clip08": ("crosser", 1.09, -0.6, 11.6, 1.75, 0.46 * pi, NO_PAINT),
    "clip09": ("cart", 1.04, 0.3, 13.0, 2.7, pi, (150, 176, 164)),
    "clip10": ("cyclist", -0.02, -0.5, 12.2, 3.2, 0, (44, 74, 120)),
}


def render_clip(
    clip: str, settings: DemoSettings, video: Path, ground_truth: Path, pixel_masks: Path
) -> None:
    """Render one clip with its labels; the same settings give the same bytes.

    Parameters
    ----------
    clip : one of `CLIPS`; each is rendered on its own, from (seed, clip).
    video : AVI file to write, MPEG-4 part 2.
    ground_truth : CSV file to write: frame (from 1), anomalous (0 or 1), kind (empty when normal).
    pixel_masks : folder to write, one 8-bit PNG per frame, 255 where an anomalous object is seen
        (not its shadow, and not what people in front of it hide). A frame where fewer than 40
        pixels of it are seen (of 240x160) counts as normal and its mask is empty.

    Raises
    ------
    SdorError : ffmpeg fails, or a file cannot be written.
    """
    threshold = VISIBLE * settings.width * settings.height / (240 * 160)
    pictures, rows = [], []
    with (
        atomic(video) as temporary,
        atomic(ground_truth) as labels,
        tempfile.TemporaryDirectory(dir=pixel_masks.parent, prefix=f".{pixel_masks.name}.") as made,
    ):
        folder = Path(made) / "masks"
        folder.mkdir()
        for number, (picture, mask) in enumerate(_frames(clip, settings), start=1):
            anomalous = bool(np.count_nonzero(mask) >= threshold)
            pictures.append(picture.tobytes())
            seen = mask if anomalous else np.zeros_like(mask)
            Image.fromarray(seen).save(folder / f"{number:04d}.png", compress_level=1)
            rows.append((number, int(anomalous), EVENTS[clip][0] if anomalous else ""))
        _encode(clip, settings, b"".join(pictures), temporary)
        table = pd.DataFrame(rows, columns=["frame", "anomalous", "kind"])
        table.to_csv(labels, index=False)
        if pixel_masks.exists():
            shutil.rmtree(pixel_masks)
        folder.rename(pixel_masks)


def _frames(clip: str, settings: DemoSettings) -> Iterator[tuple[Picture, Picture]]:
    """Picture (height, width, 3) and mask (height, width) of each frame of a clip, 8 bits."""
    camera = Camera(settings.width, settings.height)
    size = (settings.width * ZOOM, settings.height * ZOOM)
    plaza = Plaza(camera, np.random.default_rng(settings.seed))
    rng = np.random.default_rng((settings.seed, CLIPS.index(clip) + 1))
    cast = _cast(clip, settings, camera, rng)
    sunshine = _sunshine(settings, rng)
    noise = np.random.default_rng((settings.seed, CLIPS.index(clip) + 1, 1))
    for index in range(settings.frames):
        time = index / settings.fps
        present = [
            (actor.at(time), actor.kind != "walker") for actor in cast if actor.seen(time, camera)
        ]
        present += [(figure, False) for figure in STANDING]
        ordered = sorted(present, key=lambda shown: -shown[0].z)

        shade_image = Image.new("L", (settings.width * 2, settings.height * 2))
        brush = Brush(camera, shade_image, 2)
        for figure, _ in ordered:
            brush.silhouette(figure, 255, shadow=True)
        cast_shade = np.asarray(shade_image.reduce(2), np.float64) / 255
        cast_shade = gaussian_filter(cast_shade, 0.7 * settings.height / 160)

        # The camera's exposure makes up for part of a cloud.
        exposure = 1 + 0.22 * (1 - sunshine[index])
        sky = np.array([0.54, 0.57, 0.61]) * (1.12 - 0.12 * sunshine[index]) * exposure
        sun = np.array([0.61, 0.58, 0.52]) * sunshine[index] * exposure
        sunlit = (1 - cast_shade * 0.9) * (1 - plaza.shade)
        ground = plaza.colour * (sky + sunlit[..., None] * sun)
        canvas = Image.fromarray(ground.clip(0, 255).astype(np.uint8)).resize(
            size, Image.Resampling.NEAREST
        )
        mask_image = Image.new("L", size)
        brush, mask_brush = Brush(camera, canvas, ZOOM), Brush(camera, mask_image, ZOOM)
        masked = False
        for figure, anomalous in ordered:
            brush.paint(figure, sky, sun * plaza.sun_at(figure.x, figure.z))
            masked |= anomalous
            if masked:
                mask_brush.silhouette(figure, 255 if anomalous else 0)
        picture = np.asarray(canvas.reduce(ZOOM), np.float32)
        mask = np.asarray(mask_image.reduce(ZOOM)) >= 128
        yield _sensor(picture, plaza.vignette, noise), mask.astype(np.uint8) * np.uint8(255)


def _sunshine(settings: DemoSettings, rng: np.random.Generator) -> FloatArray:
    """Strength of the sun in each frame: slow clouds, another part of the sky in each clip."""
    time = np.arange(settings.frames) / settings.fps
    drift = np.full(settings.frames, rng.uniform(0.55, 0.85))
    for period, depth in ((17.0, 0.2), (7.0, 0.13), (3.1, 0.04)):
        stretched = period * rng.uniform(0.8, 1.25)
        drift += depth * np.sin(2 * pi * (time / stretched + rng.random()))
    return drift.clip(0.15, 1.0)


def _sensor(picture: Float32Array, vignette: Float32Array, noise: np.random.Generator) -> Picture:
    """What the camera makes of the light: a soft lens with darker corners, and sensor noise."""
    soft = gaussian_filter(picture, (0.45, 0.45, 0), truncate=3) * vignette[..., None]
    grey = soft.mean(axis=2, keepdims=True)
    soft = grey + COLOURFULNESS * (soft - grey)
    grain = noise.standard_normal((*picture.shape[:2], 1), np.float32)
    colour_grain = noise.standard_normal(picture.shape, np.float32)
    soft += (1.3 + 0.012 * soft) * (0.8 * grain + 0.5 * colour_grain)
    return np.asarray(soft.clip(0, 255).round(), np.uint8)


class Actor(NamedTuple):
    """Somebody with a straight way over the square; `look` and `kind` say how they are drawn."""

    kind: str
    look: Look
    start: float
    x: float
    z: float
    speed: float
    heading: float
    paint: Colour = NO_PAINT

    def place(self, time: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Right and away in metres at a time in seconds."""
        travelled = self.speed * (np.asarray(time) - self.start)
        return self.x + travelled * cos(self.heading), self.z + travelled * sin(self.heading)

    def at(self, time: float) -> Figure:
        """The figure at a time in seconds."""
        x, z = map(float, self.place(time))
        travelled = self.speed * (time - self.start)
        return Figure(moving(self.kind, self.look, travelled, self.paint), x, z, self.heading)

    def seen(self, time: float, camera: Camera) -> bool:
        """Whether any of it can be in the picture, or of its shadow, which falls to the right."""
        x, z = map(float, self.place(time))
        side = camera.half_width(z)
        return 6 < z < 40 and -side - 2.7 < x < side + 1.4


def _cast(
    clip: str, settings: DemoSettings, camera: Camera, rng: np.random.Generator
) -> list[Actor]:
    """Everybody who comes by during a clip: the traffic's strength swells and fades within it.

    Who enters takes, of a few ways over the square, the one that keeps farthest from the others.
    """
    length = settings.frames / settings.fps
    cast = []
    if clip in EVENTS:
        kind, moment, *_ = EVENTS[clip]
        cast.append(Actor(kind, Look(rng), moment * length, *EVENTS[clip][2:]))
    warm_up = 2 * camera.half_width(FAR) / WALK_SPEED + 2
    mean, swell, offset = rng.uniform(0.75, 0.95), rng.uniform(0.1, 0.4), rng.random()
    time = -warm_up
    while time < length + 2:
        rate = mean * (1 + swell * sin(2 * pi * (time / 14 + offset)))
        time += rng.exponential(1 / rate)
        heading = 0.0 if rng.random() < 0.7 else pi
        speed = float(np.clip(rng.normal(WALK_SPEED, 0.17), 0.8, 1.7))
        ways = []
        for depth in rng.uniform(NEAR, FAR, 8):
            turned = heading + rng.normal(0, 0.03)
            x = (-1 if heading == 0 else 1) * (camera.half_width(depth) + 0.8)
            ways.append(Actor("walker", Look(rng), time, x, depth, speed, turned))
        chosen = max(ways, key=lambda way: min((_gap(way, other) for other in cast), default=0))
        cast.append(chosen)
        if rng.random() < 0.3:
            aside = 0.62 if chosen.z < 0.5 * (NEAR + FAR) else -0.62
            friend = chosen._replace(
                look=Look(rng), x=chosen.x + rng.uniform(-0.2, 0.2), z=chosen.z + aside
            )
            cast.append(friend)
    return cast


def _gap(way: Actor, other: Actor) -> float:
    """Least distance of two actors, in metres up to 3, over the twelve seconds from a start."""
    time = way.start + np.linspace(0, 12, 25)
    (x, z), (other_x, other_z) = way.place(time), other.place(time)
    return float(min(3.0, np.hypot(x - other_x, z - other_z).min()))


def _encode(clip: str, settings: DemoSettings, pictures: bytes, path: Path) -> None:
    """Write RGB pictures as a video; one thread and no dates keep the bytes equal."""
    size = f"{settings.width}x{settings.height}"
    given = {"format": "rawvideo", "pix_fmt": "rgb24", "s": size, "framerate": settings.fps}
    wanted = {"vcodec": "mpeg4", "qscale:v": 3, "pix_fmt": "yuv420p", "threads": 1}
    exact = {"flags:v": "+bitexact", "fflags": "+bitexact"}
    stream = ffmpeg.input("pipe:", **given).output(str(path), **wanted, **exact)
    stream = stream.global_args("-loglevel", "error")
    try:
        stream.run(ffmpeg_binary(), input=pictures, quiet=True, overwrite_output=True)
    except ffmpeg.Error as error:
        words = last_lines(error.stderr.decode(errors="replace"))
        raise SdorError(f"{clip}: ffmpeg cannot write its video: {words}") from error
