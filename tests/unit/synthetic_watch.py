"""A camera's watchlist without a model: a tiny video, and moments in it as the page reads them."""

import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import uvicorn
from PIL import Image

from sdor.files import write_parquet
from sdor.operator.review.film import Films
from sdor.operator.review.marking import Camera
from sdor.operator.review.run import Command
from sdor.operator.review.safety import Guard
from sdor.operator.review.server import application

SECONDS, RATE, SIZE = 40, 10, (64, 48)
HOSTILE = "<img src=x onerror=document.title='owned'>'\"&.mp4"


def events_of(count, **more):
    """Moments of a second each, in rank order: the first two of each four look alike."""
    at = np.linspace(2, SECONDS - 3, count).round(1)
    frames = (at * RATE).astype(int) + 1
    table = pd.DataFrame({"event": [f"{place:010x}" for place in range(1, count + 1)]})
    table["rank"] = np.arange(1, count + 1)
    table = table.assign(stretch=0, clip="day", peak=frames + 5, first=frames, last=frames + 10)
    for name in ("begin", "begin_seconds"):
        table[name] = at
    for name in ("end", "end_seconds"):
        table[name] = at + 1
    for name in ("peak_time", "peak_seconds"):
        table[name] = at + 0.5
    table = table.assign(score=2.0, unusual=np.linspace(9, 1, count), percentile=99.0)
    table = table.assign(group=np.where(table["rank"] <= count / 2, "unlike", "ordinary"))
    table = table.assign(kind="moment", words="", mark="", clock=pd.Timestamp("2026-11-26 13:00"))
    return table.assign(x0=0.1, y0=0.2, x1=0.3, y1=0.4, **more)


def write_list(watch, events, *, round_number=0, dismissed=()):
    """What moments and previews leave of a list."""
    folder = watch / f"round{round_number}" if round_number else watch
    write_parquet(folder / "events.parquet", events, {"dismissed": [*dismissed]})
    heat = np.zeros((len(events), 24, 36), dtype=np.float32)
    heat[:, 5:9, 4:12] = 3
    np.save(folder / "heat.npy", heat)
    looks = np.eye(len(events) + 1, dtype=np.float32)[: len(events)]
    looks[1::4] = looks[0::4][: len(looks[1::4])]
    looks[:, -1] = 1.0
    np.save(folder / "looks.npy", looks)
    time_of = np.arange(SECONDS * RATE) / RATE
    scores = pd.DataFrame({"clip": "day", "time": time_of, "score": np.sin(time_of)})
    write_parquet(folder / "scores.parquet", scores, {})
    (folder / "previews").mkdir(exist_ok=True)
    for event in events["event"]:
        Image.new("RGB", (48, 36), "teal").save(folder / "previews" / f"{event}.jpg")
    (folder / "previews/done").touch()


def write_camera(folder, write_video, *, camera="gate", count=8, source="day.mp4"):
    """A camera with its video and a list of moments, in a folder that the page is run in."""
    ramp = np.linspace(0, 255, SECONDS * RATE).astype(np.uint8)
    frames = np.broadcast_to(ramp[:, None, None, None], (len(ramp), SIZE[1], SIZE[0], 3))
    (folder / "rec" / camera).mkdir(parents=True)
    path = folder / "rec" / camera / source
    write_video(path, frames, "-c:v", "libx264", "-pix_fmt", "yuv420p", fps=RATE)
    watch = folder / "results" / camera / "watch"
    row = {"clip": "day", "source": source, "frames": len(ramp), "first": 0.0, "parts": 1}
    row |= {"seconds": float(SECONDS), "fps": float(RATE), "width": SIZE[0], "height": SIZE[1]}
    row |= {"stretch": 0, "offset": 0.0, "failure": "", "remarks": [], "clock": ""}
    write_parquet(watch / "looks.parquet", pd.DataFrame([row]), {"root": str(path.parent)})
    write_list(watch, events_of(count))
    return watch


def cameras_in(folder, *names):
    return {
        one: Camera(one, folder / "results" / one / "watch", folder / "feedback" / one)
        for one in names
    }


@contextmanager
def served(folder, *names, port=0, host="127.0.0.1", token="", command=("true",), run=None):
    """The page of cameras over real HTTP; gives its port."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    port = listening.getsockname()[1]
    films = folder / "films"
    films.mkdir(exist_ok=True)
    app = application(cameras_in(folder, *names), Films(films), Command(command), run)
    guard = Guard(app, host=host, port=port, token=token)
    server = uvicorn.Server(uvicorn.Config(guard, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
