"""Squares that walk over a square, one of which runs: where motion starts."""

import cv2
import numpy as np

from sdor.study.study import read_method

RATE, LENGTH = 10, 60  # frames a second, frames of a clip
RUNS = (2, 25, 40)  # the clip, and the frames from the first to the last, in which one runs
HEIGHT, WIDTH, SIDE = 120, 180, 20
# Settings of a watchlist that take a second.
QUICK = read_method(
    {
        "approach": "motion",
        "backbone": "resnet18",
        "input_size": 64,
        "iterations": 2,
        "components": 8,
        "steps": 60,
        "hidden_units": 20,
    },
    "test",
)


def _texture(rng, height, width, low, high):
    smooth = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 2)
    return cv2.normalize(smooth, None, low, high, cv2.NORM_MINMAX)


def walkers():
    """Three clips (60, 120, 180) of grey frames, and which frames of all are anomalous, (180,)."""
    rng = np.random.default_rng(0)
    background = _texture(rng, HEIGHT, WIDTH, 90, 160)
    looks = [_texture(rng, SIDE, SIDE, 30, 120) for _ in range(4)]
    runner = np.where(np.arange(SIDE) // 4 % 2, 250.0, 10.0)[:, np.newaxis].repeat(SIDE, axis=1)
    clips = []
    for clip in range(3):
        frames = np.repeat(background[np.newaxis], LENGTH, axis=0)
        places = rng.uniform((5, 0), (HEIGHT - SIDE - 5, 60), (4, 2))
        speeds = rng.uniform(0.7, 1.3, 4)
        for number in range(LENGTH):
            for (y, x), speed, look in zip(places, speeds, looks, strict=True):
                _draw(frames[number], look, x + speed * number, y)
            if clip == RUNS[0] and RUNS[1] <= number <= RUNS[2]:
                _draw(frames[number], runner, 10 + 7 * (number - RUNS[1]), 50)
        noise = rng.normal(0, 1, frames.shape)
        clips.append((frames + noise).clip(0, 255).round().astype(np.uint8))
    anomalous = np.zeros(3 * LENGTH, dtype=bool)
    anomalous[RUNS[0] * LENGTH + RUNS[1] : RUNS[0] * LENGTH + RUNS[2] + 1] = True
    return clips, anomalous


def _draw(frame, look, x, y):
    place = np.array([[1, 0, x], [0, 1, y]], dtype=float)
    inside = cv2.warpAffine(np.ones_like(look), place, (WIDTH, HEIGHT))
    frame *= 1 - inside
    frame += inside * cv2.warpAffine(look, place, (WIDTH, HEIGHT))
