"""What moves and stands on the demo's square: people, a bicycle and a cart, as small 3-D figures.

A figure is a list of parts (capsules, polygons) in metres, in its own axes (forward, left, up). One
pinhole camera projects it into the picture and the sun projects it onto the ground, so that the
perspective, the occlusion and the shadow of a figure always agree.
"""

from collections.abc import Iterator, Sequence
from math import acos, atan2, cos, hypot, pi, sin
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

FloatArray = npt.NDArray[np.float64]
Colour = tuple[float, float, float]
Point = tuple[float, float, float]
Pair = tuple[float, float]  # forward, up
Limb = tuple[Pair, Pair]  # knee and ankle from the pelvis on, elbow and hand from the shoulder on
Radii = tuple[float, ...]

# Canvas pixels per picture pixel and axis, averaged away at the end: smooth edges, thin spokes.
ZOOM = 4
# Ground offset (right, away from the camera) of a shadow per metre of height: a sun at the left,
# behind the scene, 50 degrees high, whose shadows fall where the camera sees them.
SUN = (0.75, -0.32)
# Share of the sunlight that reaches the side of a part turned to the sun, and the side turned away.
LIT, UNLIT = 0.95, 0.25


class Part(NamedTuple):
    """A path of points with thickness; `filled` makes it a polygon with rounded edges.

    `over` metres are taken from its distance when the parts are sorted: clothes lie over limbs.
    """

    points: tuple[Point, ...]
    radii: Radii
    colour: Colour
    filled: bool = False
    over: float = 0.0


def rod(colour: Colour, radii: float | Radii, *ends: Pair, left: float = 0) -> Part:
    """A part whose points (forward, up) lie in one plane of motion; one radius serves them all."""
    each = radii if isinstance(radii, tuple) else (radii,) * len(ends)
    return Part(tuple((forward, left, up) for forward, up in ends), each, colour)


class Figure(NamedTuple):
    """Parts placed on the ground at `x` (right) and `z` (away), turned to `heading` (0: right)."""

    parts: Sequence[Part]
    x: float
    z: float
    heading: float


class Camera:
    """A fixed camera on a 7.8 m pole whose horizon lies above the picture, as seen at 240x160.

    A person (1.75 m) is 31 pixels high at the far kerb and 52 at the lower edge.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.above_ground = 7.8
        self.focal = 330 * height / 160  # pixels
        self.horizon = -83 * height / 160  # row of the picture

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Pixels (n, 2) and pixels per metre (n,) of points (n, 3) given as right, away, up."""
        scale = self.focal / points[:, 1]
        columns = self.width / 2 + scale * points[:, 0]
        rows = self.horizon + scale * (self.above_ground - points[:, 2])
        return np.column_stack([columns, rows]), scale

    def ground(self, zoom: int) -> tuple[FloatArray, FloatArray]:
        """Right and away, in metres, of the ground seen at the pixels of a canvas."""
        columns = (np.arange(self.width * zoom) + 0.5) / zoom
        rows = (np.arange(self.height * zoom)[:, None] + 0.5) / zoom + np.zeros(len(columns))
        away = self.focal * self.above_ground / (rows - self.horizon)
        return (columns - self.width / 2) * away / self.focal, away

    def half_width(self, away: float) -> float:
        """Metres of ground between the middle of the picture and its side, at this distance."""
        return self.width / 2 * away / self.focal


class Brush:
    """Draws figures on a canvas that is `zoom` times as large as the camera's picture."""

    def __init__(self, camera: Camera, canvas: Image.Image, zoom: int) -> None:
        self.camera = camera
        self.draw = ImageDraw.Draw(canvas)
        self.zoom = zoom

    def paint(self, figure: Figure, sky: FloatArray, sun: FloatArray) -> None:
        """Draw the figure under RGB gains of sky and sun; parts have a dark and a bright side."""
        placed = _placed(figure)
        eye = np.array([0.0, 0.0, self.camera.above_ground])
        distance = np.sqrt(((placed - eye) ** 2).sum(axis=1))
        shown = []
        for part, span, path, radii in self._outlines(figure, placed):
            flat = part.filled and max(part.radii) < 0.05
            shares = np.array([[_sunlit(placed[span], eye) if flat else UNLIT], [LIT]])
            colours = np.array(part.colour) * (sky + shares * sun)
            fills = colours.clip(0, 255).round().astype(int).tolist()
            shown.append((part.over - distance[span].mean(), part, path, radii, flat, fills))
        for _, part, path, radii, flat, fills in sorted(shown, key=lambda one: one[0]):
            self._path(path, radii, tuple(fills[0]), part.filled)
            if not flat and max(radii) >= 1.5:
                path = [(x - 0.3 * r, y - 0.15 * r) for (x, y), r in zip(path, radii, strict=True)]
                self._path(path, [0.62 * r for r in radii], tuple(fills[1]), part.filled)

    def silhouette(self, figure: Figure, value: int, *, shadow: bool = False) -> None:
        """Draw where the figure is, or its shadow on the ground, in one value."""
        placed = _placed(figure)
        if shadow:
            right, away, up = placed.T
            placed = np.column_stack([right + SUN[0] * up, away + SUN[1] * up, np.zeros(len(up))])
        for part, _, path, radii in self._outlines(figure, placed, 0.85 if shadow else 1):
            self._path(path, radii, value, part.filled)

    def _outlines(
        self, figure: Figure, placed: FloatArray, thickness: float = 1
    ) -> Iterator[tuple[Part, slice, list[Pair], list[float]]]:
        """Each part with its rows among the points, and its corners and radii in canvas pixels."""
        pixels, scale = self.camera.project(placed)
        corners = [(x, y) for x, y in (pixels * self.zoom).tolist()]
        sizes = np.array([radius for part in figure.parts for radius in part.radii])
        radii = (sizes * (thickness * scale) * self.zoom).tolist()
        start = 0
        for part in figure.parts:
            span = slice(start, start + len(part.points))
            yield part, span, corners[span], radii[span]
            start = span.stop

    def _path(
        self, path: list[Pair], radii: list[float], fill: int | tuple[int, ...], filled: bool
    ) -> None:
        """Fill a path of circles joined by tangents, and what it encloses when `filled`."""
        corners = path
        if filled:
            self.draw.polygon(corners, fill)
            corners, radii = [*path, path[0]], [*radii, radii[0]]
        if max(radii) < 2.5:
            if not filled:
                self.draw.line(corners, fill, max(1, round(2 * radii[0])))
            return
        for (x, y), r in zip(corners, radii, strict=True):
            self.draw.ellipse((x - r, y - r, x + r, y + r), fill)
        for (ax, ay), (bx, by), ra, rb in zip(corners, corners[1:], radii, radii[1:], strict=False):
            length = hypot(bx - ax, by - ay)
            if length > 0.5:
                nx, ny = (ay - by) / length, (bx - ax) / length
                left = (ax + ra * nx, ay + ra * ny), (bx + rb * nx, by + rb * ny)
                right = (bx - rb * nx, by - rb * ny), (ax - ra * nx, ay - ra * ny)
                self.draw.polygon([*left, *right], fill)


def _placed(figure: Figure) -> FloatArray:
    """All points of a figure as right, away, up."""
    forward, left, up = np.array([point for part in figure.parts for point in part.points]).T
    c, s = cos(figure.heading), sin(figure.heading)
    right, away = figure.x + c * forward - s * left, figure.z + s * forward + c * left
    return np.column_stack([right, away, up])


def _sunlit(corners: FloatArray, eye: FloatArray) -> float:
    """Share of the sunlight on the side of a flat polygon that the camera sees."""
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    towards_sun = np.array([-SUN[0], -SUN[1], 1.0])
    facing = float(normal @ towards_sun / np.sqrt((normal @ normal) * (towards_sun @ towards_sun)))
    if normal @ (eye - corners[0]) < 0:
        facing = -facing
    return UNLIT + (LIT - UNLIT) * max(0.0, facing)


SKINS = ((232, 194, 168), (214, 168, 136), (172, 122, 90), (118, 80, 58), (88, 60, 46))
HAIRS = ((38, 30, 26), (62, 44, 32), (98, 70, 44), (164, 130, 84), (150, 148, 146))
TOPS = (
    *((52, 58, 72), (34, 36, 40), (196, 196, 192), (120, 44, 44), (64, 92, 130), (92, 104, 82)),
    *((176, 146, 108), (222, 214, 198), (150, 92, 60), (70, 70, 74), (134, 150, 168)),
    *((88, 66, 96), (206, 182, 92), (190, 120, 120)),
)
BOTTOMS = ((44, 52, 74), (36, 38, 44), (70, 80, 104), (120, 108, 90), (84, 82, 80), (54, 46, 44))
SHOES = ((40, 36, 34), (196, 194, 190), (84, 62, 48))
WORN, CARRIED = ("trousers", "skirt", "shorts", "coat"), ("nothing", "backpack", "shoulder", "hand")
BAGS = ((48, 44, 44), (110, 74, 48), (60, 84, 76), (138, 54, 52), (70, 76, 100))


class Look:
    """One person's looks, drawn at random: lengths in metres, colours as 8-bit RGB."""

    def __init__(self, rng: np.random.Generator) -> None:
        def shade(palette: tuple[Colour, ...]) -> Colour:
            drawn = np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.85, 1.12)
            return float(drawn[0]), float(drawn[1]), float(drawn[2])

        self.height = float(np.clip(rng.normal(1.72, 0.09), 1.5, 1.92))
        self.girth = rng.uniform(0.9, 1.2)
        self.skin, self.hair, self.top = shade(SKINS), shade(HAIRS), shade(TOPS)
        self.bottom, self.shoes, self.bag = shade(BOTTOMS), shade(SHOES), shade(BAGS)
        self.long_hair = rng.random() < 0.4
        self.long_sleeves = rng.random() < 0.6
        self.lower = str(rng.choice(WORN, p=[0.6, 0.12, 0.13, 0.15]))
        self.carries = str(rng.choice(CARRIED, p=[0.4, 0.25, 0.2, 0.15]))


def _walking(look: Look, phase: float, *, running: bool = False) -> list[Part]:
    """A person in the middle of a stride; `phase` grows by 2 pi per two steps.

    The lower foot is put on the ground, which gives the body its up and down.
    """
    swing, flex, lean, elbow = (0.8, 1.5, 0.16, 1.5) if running else (0.42, 0.85, 0.03, 0.3)
    thigh, upper, lower = (share * look.height for share in (0.245, 0.17, 0.16))

    def limb(first: float, second: float, angle: float, bent: float) -> Limb:
        joint = (first * sin(angle), -first * cos(angle))
        return joint, (joint[0] + second * sin(bent), joint[1] - second * cos(bent))

    legs, arms = [], []
    for side in (phase, phase + pi):
        hip, shoulder = swing * sin(side), -0.8 * swing * sin(side)
        legs.append(limb(thigh, thigh, hip, hip - 0.08 - flex * max(0.0, cos(side)) ** 1.5))
        arms.append(limb(upper, lower, shoulder, shoulder + elbow))
    pelvis = 0.045 * look.height - min(ankle[1] for _, ankle in legs)
    return _body(look, (0.0, pelvis), lean, legs, arms)


def _sitting(
    look: Look, pelvis: Pair, ankles: Sequence[Pair], hands: Pair, lean: float
) -> list[Part]:
    """A person on a seat, feet and hands at given points (forward, up) in metres."""
    chest = 0.29 * look.height
    shoulder = (pelvis[0] + chest * sin(lean), pelvis[1] + chest * cos(lean))
    legs = [_reaching(pelvis, ankle, 0.245 * look.height, 1) for ankle in ankles]
    arm = _reaching(shoulder, hands, 0.17 * look.height, -1)
    return _body(look, pelvis, lean, legs, [arm, arm])


def _reaching(start: Pair, end: Pair, length: float, side: int) -> Limb:
    """A limb from start to end, its halves of one length; bent forward (1) or back (-1)."""
    target = (end[0] - start[0], end[1] - start[1])
    distance = min(hypot(*target), 0.999 * (length + length))
    angle = acos((length**2 + distance**2 - length**2) / (2 * length * max(distance, 0.05)))
    direction = atan2(target[1], target[0]) + side * angle
    return (length * cos(direction), length * sin(direction)), target


def _body(
    look: Look, pelvis: Pair, lean: float, legs: Sequence[Limb], arms: Sequence[Limb]
) -> list[Part]:
    """Parts of a person whose joints are given in the plane of motion (forward, up)."""
    size, wide = look.height, look.girth * look.height
    forward, up = pelvis

    def spine(share: float, ahead: float = 0.0) -> Pair:
        along = share * size
        return forward + along * sin(lean) + ahead * size, up + along * cos(lean)

    parts: list[Part] = []
    shank = look.skin if look.lower in ("shorts", "skirt") else look.bottom
    for (knee, ankle), left in zip(legs, (0.05 * wide, -0.05 * wide), strict=True):
        middle, foot = (forward + knee[0], up + knee[1]), (forward + ankle[0], up + ankle[1])
        toe = (foot[0] + 0.1 * size, foot[1] - 0.02 * size)
        parts += [
            rod(look.bottom, (0.052 * wide, 0.036 * wide), pelvis, middle, left=left),
            rod(shank, (0.034 * wide, 0.024 * wide), middle, foot, left=left),
            rod(look.shoes, (0.024 * size, 0.018 * size), foot, toe, left=left),
        ]
    ahead, high = spine(0.29)
    sleeve = look.top if look.long_sleeves else look.skin
    for (elbow, hand), left in zip(arms, (-0.1 * wide, 0.1 * wide), strict=True):
        top = (ahead, 0.92 * left, high - 0.015 * size)
        joint = (ahead + elbow[0], 1.15 * left, high + elbow[1])
        wrist = (ahead + hand[0], 1.2 * left, high + hand[1])
        parts += [
            Part((top, joint), (0.034 * wide, 0.027 * wide), look.top),
            Part((joint, wrist), (0.026 * wide, 0.02 * wide), sleeve),
            Part((wrist,), (0.024 * size,), look.skin),
        ]
        if look.carries == "hand" and left < 0:
            low = (wrist[0], wrist[1], wrist[2] - 0.12 * size)
            parts.append(Part((wrist, low), (0.012 * size, 0.06 * size), look.bag))
    waist = spine(0.02)
    chest = high - 0.03 * size
    trunk = (
        *((ahead, 0.06 * wide, chest), (ahead, -0.06 * wide, chest)),
        *((waist[0], -0.05 * wide, waist[1]), (waist[0], 0.05 * wide, waist[1])),
    )
    rounding = (0.05 * wide, 0.05 * wide, 0.055 * wide, 0.055 * wide)
    parts.append(Part(trunk, rounding, look.top, filled=True))
    if look.lower in ("coat", "skirt"):
        hem = up - (0.2 if look.lower == "coat" else 0.17) * size
        swung = forward + 0.35 * (legs[0][0][0] + legs[1][0][0])
        cloth = look.top if look.lower == "coat" else look.bottom
        half = 0.035 * wide
        seam = (forward, half, up), (forward, -half, up)
        corners = (*seam, (swung, -1.3 * half, hem), (swung, 1.3 * half, hem))
        parts.append(Part(corners, (0.07 * wide,) * 4, cloth, filled=True, over=0.12))
    neck, head, crown = spine(0.33), spine(0.4, 0.012), spine(0.425, -0.01)
    parts.append(rod(look.skin, (0.03 * size, 0.052 * size), neck, head))
    parts.append(rod(look.hair, 0.053 * size, crown))
    if look.long_hair:
        parts.append(rod(look.hair, (0.05 * size, 0.035 * size), crown, spine(0.3, -0.045)))
    if look.carries == "backpack":
        upper, lower = spine(0.25, -0.085), spine(0.09, -0.09)
        parts.append(rod(look.bag, (0.065 * size, 0.075 * size), upper, lower))
    if look.carries == "shoulder":
        along, lowest = spine(-0.02)
        bag = (along - 0.05 * size, lowest), (along + 0.05 * size, lowest)
        parts.append(rod(look.bag, 0.055 * size, *bag, left=-0.12 * wide))
    return parts


def _wheel(
    forward: float, left: float, radius: float, turn: float, tyre: float, colour: Colour
) -> list[Part]:
    """A wheel with rim and spokes, turned by `turn` radians."""

    def on(angle: float, share: float) -> Point:
        return forward + share * radius * cos(angle), left, radius * (1 + share * sin(angle))

    ring = [on(2 * pi * k / 20, 1 - tyre / radius) for k in range(21)]
    parts = [Part(tuple(ring), (tyre,) * 21, (30, 30, 32))]
    for spoke in range(5):
        angle = turn + pi * spoke / 5
        parts.append(Part((on(angle, -0.85), on(angle, 0.85)), (0.011, 0.011), colour))
    return parts


def _cycling(look: Look, travelled: float, paint: Colour) -> list[Part]:
    """A cyclist on a city bicycle after `travelled` metres; wheels and legs turn with it."""
    radius = 0.35
    turn = -travelled / radius
    crank, saddle, bar = (0.02, 0.3), (-0.24, 0.92), (0.36, 1.12)
    head, fork, rear, front = (0.4, 0.92), (0.47, 0.68), (-0.5, radius), (0.62, radius)
    tubes = ((crank, saddle), (crank, fork), (saddle, head), (rear, crank), (rear, saddle))
    steps = [
        (crank[0] + 0.17 * cos(angle), crank[1] + 0.17 * sin(angle) + 0.06)
        for angle in (turn / 2.5, turn / 2.5 + pi)
    ]
    return [
        *_wheel(-0.5, 0, radius, turn, 0.03, (176, 178, 180)),
        *_wheel(0.62, 0, radius, turn, 0.03, (176, 178, 180)),
        *(rod(paint, 0.026, *tube) for tube in (*tubes, (head, front), (head, bar))),
        rod((34, 32, 32), (0.06, 0.03), (-0.36, 0.95), (-0.12, 0.95)),
        Part(((bar[0], 0.27, bar[1]), (bar[0], -0.27, bar[1])), (0.02, 0.02), (40, 40, 42)),
        rod((60, 60, 62), 0.03, (-0.68, 0.78), (-0.36, 0.78)),
        *_sitting(look, (-0.22, 1.02), steps, (bar[0], bar[1] + 0.02), 0.32),
    ]


def _driving(look: Look, travelled: float, paint: Colour) -> list[Part]:
    """A service cart with roof, open sides and a driver, after `travelled` metres."""
    dark, seat = (46.0, 46.0, 50.0), (92.0, 66.0, 50.0)
    parts: list[Part] = []
    # Forward, left and up of two opposite corners of each box.
    for (f0, l0, u0), (f1, l1, u1), colour in (
        ((-1.2, -0.55, 0.25), (1.15, 0.55, 0.38), dark),
        ((-1.25, -0.58, 0.38), (-0.2, 0.58, 0.72), paint),
        ((0.72, -0.58, 0.34), (1.25, 0.58, 0.9), paint),
        ((-0.62, -0.52, 0.72), (-0.12, 0.52, 0.84), seat),
        ((-0.74, -0.52, 0.8), (-0.62, 0.52, 1.28), seat),
        ((-1.15, -0.62, 1.86), (0.88, 0.62, 1.93), (226.0, 222.0, 210.0)),
    ):
        top = ((f0, l0, u1), (f1, l0, u1), (f1, l1, u1), (f0, l1, u1))
        sides = [((f0, a, u0), (f1, a, u0), (f1, a, u1), (f0, a, u1)) for a in (l0, l1)]
        ends = [((f, l0, u0), (f, l1, u0), (f, l1, u1), (f, l0, u1)) for f in (f0, f1)]
        for face in (*sides, *ends, top):
            parts.append(Part(face, (0.01,) * 4, colour, filled=True))
    for left in (-0.54, 0.54):
        parts.append(rod(dark, 0.025, (0.8, 0.85), (0.7, 1.86), left=left))
        parts.append(rod(dark, 0.025, (-0.8, 0.7), (-0.95, 1.86), left=left))
    turns = [2 * pi * k / 16 for k in range(16)]
    for forward in (-0.78, 0.82):
        rim = [(forward + 0.22 * cos(turn), 0.25 + 0.22 * sin(turn)) for turn in turns]
        for left in (0.58, -0.6):
            parts.append(rod((34, 34, 36), 0.03, *rim, left=left)._replace(filled=True))
            parts += _wheel(forward, left * 1.02, 0.24, -travelled / 0.24, 0.06, (186, 186, 182))
    for left in (-0.42, 0.42):
        parts.append(rod((245, 240, 214), 0.07, (1.26, 0.68), left=left))
    parts.append(rod(dark, 0.02, (0.62, 0.95), (0.45, 1.12), left=-0.25))
    driver = _sitting(look, (-0.35, 0.9), ((0.3, 0.44), (0.36, 0.44)), (0.42, 1.14), -0.05)
    for part in driver:
        shifted = tuple((forward, left - 0.26, up) for forward, left, up in part.points)
        parts.append(part._replace(points=shifted))
    return parts


def moving(kind: str, look: Look, travelled: float, paint: Colour) -> list[Part]:
    """Who or what is of this kind, after `travelled` metres: legs and wheels go with the way."""
    if kind == "cart":
        return _driving(look, travelled, paint)
    if kind == "cyclist":
        return _cycling(look, travelled, paint)
    if kind == "runner":
        return _walking(look, 2 * pi * travelled / 2.7, running=True)
    return _walking(look, 2 * pi * travelled / (0.78 * look.height))
