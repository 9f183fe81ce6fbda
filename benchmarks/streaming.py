"""One stage on made-up video of some hours, and the memory that it took: see `growth.py`.

python benchmarks/streaming.py look 10    # here; `features` follows `frames`, `moments` `rank`
"""

import argparse
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from sdor.files import write_parquet
from sdor.method.features import extract_features
from sdor.method.flow import ACROSS, DOWN, FINE, PARTS, RATE
from sdor.method.grid import PLACES
from sdor.networks.compute import choose_compute
from sdor.networks.fetch import resolve_weights
from sdor.operator.archive import Archive, look_at_camera
from sdor.operator.look import Eye, Looks
from sdor.operator.moments import write_moments
from sdor.operator.rank import rank
from sdor.study.config import with_defaults
from sdor.study.scenes import Clip, Scene
from sdor.study.settings import EventSettings, MotionMethod
from sdor.video.frames import View, extract_clip
from sdor.video.picture import Picture
from sdor.video.store import FrameStore


def main() -> None:
    """Run the stage named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("hours", type=int)
    options = parser.parse_args()
    print(private_memory(lambda: STAGES[options.stage](options.hours)))


def private_memory(work: Callable[[], object]) -> float:
    """Memory at its peak in MB, without pages of mapped files, which the system takes back."""
    status, peaks, over = Path("/proc/self/status"), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            found = re.search(r"RssAnon:\s+(\d+)", status.read_text())
            peaks.append(int(found[1]) if found else 0)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    work()
    over.set()
    watching.join()
    return max(peaks) / 1024


def pictures(seconds: float, fps: float) -> Iterator[Picture]:
    """Grey pictures that a decoder could have made."""
    grey = np.random.default_rng(0).integers(0, 256, (48, 64, 1), dtype=np.uint8)
    for number in range(round(seconds * fps)):
        yield Picture(number + 1, number / fps, lambda: grey)


def frames(hours: int) -> None:
    """One clip of 25 frames a second, of which two are stored."""
    clip = Clip("long", "video", Path("long.mp4"), "long.mp4", sample_fps=2)
    with patch("sdor.video.frames.read_clip", lambda *_: pictures(3600 * hours, 25)):
        extract_clip(clip, (), View(32, 32), Path("long.npy"), Path("long.parquet"))


def features(_: int) -> None:
    """Of the frames that `frames` has stored."""
    weights, output = Path("resnet18.safetensors"), Path("features.parquet")
    resolve_weights("resnet18", "random", weights)
    store = FrameStore({"long": Path("long.npy")})
    extract_features(store, weights, output, compute=choose_compute("cpu"), about={})


def look(hours: int) -> None:
    """At one long file; flow and network take no time, and give what they would as to size."""
    clip = Clip("long", "video", Path("long.mp4"), "long.mp4")
    clip.path.write_bytes(b"nothing that is decoded")
    dims = len(METHOD.maps.stages) * METHOD.maps.components
    eye = Eye(lambda seen: np.zeros((len(seen), PLACES, dims), np.float16), 64, METHOD.maps.fps)
    flow = np.zeros(sum(PARTS.values()), np.float32)
    with (
        patch("sdor.operator.archive.read_clip", lambda *_: pictures(3600 * hours, RATE)),
        patch("sdor.operator.look.CellMotion", lambda: lambda *_: flow),
    ):
        look_at_camera(
            Scene("camera", Path(), (clip,)),
            eye,
            (Path("seen.parquet"), Path("seen")),
            threads=2,
            say=lambda _: None,
            about={},
        )


def rank_archive(hours: int) -> None:
    """Of files of an hour that adjoin; all of them were seen as the first was."""
    seen, rng = Path("looks/hour"), np.random.default_rng(0)
    seen.mkdir(parents=True)
    rows, dims = round(1800 * RATE), len(METHOD.maps.stages) * METHOD.maps.components
    step = round(RATE / METHOD.maps.fps) if METHOD.maps.fps else 1
    looked = np.arange(0, rows, step)
    for part in range(2):
        speed = rng.gamma(0.3, 5, (rows, DOWN, ACROSS)).astype(np.float32)
        looks = Looks(
            frame=part * rows + np.arange(rows) + 1,
            time=part * 1800 + np.arange(rows) / RATE,
            speed=speed,
            moving=np.full(speed.shape, 0.5, np.float32),
            fine=speed.repeat(FINE, 1).repeat(FINE, 2).astype(np.float16),
            change=np.full(rows, 0.5, np.float32),
            thumb=np.full((rows, DOWN, ACROSS), 100, np.uint8),
            colour=np.zeros(rows, np.float32),
            looked=looked,
            maps=rng.standard_normal((len(looked), PLACES, dims), np.float32).astype(np.float16),
        )
        np.savez(seen / f"{part:04}.npz", **looks.arrays())
    table = pd.DataFrame({"clip": [f"hour{number:03d}" for number in range(hours)]})
    table = table.assign(look="hour", parts=2, stretch=0, failure="", frames=2 * rows, clock="")
    table["offset"] = np.arange(hours) * 3600.0
    write_parquet(Path("looks.parquet"), table, {})
    rank(
        (Path("looks.parquet"), Path("looks")),
        (Path("model.safetensors"), Path("scores.parquet")),
        METHOD,
        {},
        seed=0,
        compute=choose_compute("cpu"),
        about={"camera": "camera"},
        say=lambda _: None,
    )


def moments(_: int) -> None:
    """Of the scores that `rank` has written."""
    write_moments(
        Archive.read(Path("looks.parquet"), Path("looks")),
        (Path("model.safetensors"), Path("scores.parquet")),
        (Path("events.parquet"), Path("heat.npy"), Path("events.npy")),
        EventSettings(20, "day", 3.0),
        {},
    )


STAGES = {
    "frames": frames,
    "features": features,
    "look": look,
    "rank": rank_archive,
    "moments": moments,
}
METHOD = MotionMethod.read({**with_defaults({}, "motion"), "approach": "motion"})


if __name__ == "__main__":
    main()
