"""Train on what was seen of a camera, and score all of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.errors import SdorError, fault_in
from sdor.files import About, write_parquet
from sdor.method.events import find_events
from sdor.method.maps import Basis
from sdor.method.motion import initial_motion
from sdor.method.selftrain import self_train_places
from sdor.networks.compute import Compute
from sdor.operator.archive import Archive
from sdor.operator.changes import find_changes, levelled
from sdor.operator.look import Looks
from sdor.operator.model import MARGIN, QUANTILES, CameraModel, flow_of, looked_of
from sdor.study.settings import EventSettings, MotionMethod
from sdor.video.timeline import Timeline

# Looked-at frames that are trained on: eight hours at five a second. Of more video, parts of half
# an hour from all over it, so that memory does not grow with the archive.
TRAINED = 150_000
PEAKS = 5000  # events whose heights the model's file has


def rank(
    table: Path,
    folder: Path,
    outputs: tuple[Path, Path],
    method: MotionMethod,
    basis: Basis,
    *,
    seed: int,
    compute: Compute,
    about: About,
) -> pd.DataFrame:
    """Train, and write the model and the scores of all rows.

    Parameters
    ----------
    table, folder : of the archive. outputs : model and scores.

    Returns
    -------
    The scores: clip, frame, time (s in the source), stretch, seconds (from the stretch's
    beginning), motion, appearance, places, score, regime, blocked.

    Raises
    ------
    SdorError : a file is damaged, or there is too little video.
    """
    archive = Archive.read(table, folder)
    parts = archive.parts
    total = int(parts["looked"].sum())
    kept = max(round(len(parts) * min(1.0, TRAINED / total)), 1)
    chosen = parts.iloc[np.unique(np.linspace(0, len(parts) - 1, kept).round().astype(int))]
    spans = []
    # Adjoining parts are one span: what lies between them is smoothed as elsewhere.
    breaks = (chosen["stretch"].diff() != 0) | (np.diff(chosen.index, prepend=-2) != 1)
    for _, some in chosen.groupby(np.cumsum(breaks)):
        piece = archive.piece(some["stretch"].iloc[0], some["begin"].min(), some["end"].max())
        spans.append((piece.looks, piece.seconds))
    with fault_in(table, "a camera needs a minute of video or more"):
        model = train(spans, method, basis, seed=seed, compute=compute, about=about)
    del spans
    tables, thumbs, colours = [], [], []
    for part in parts.to_dict("records"):
        begin, end = part["begin"], part["end"]
        piece = archive.piece(part["stretch"], begin - MARGIN, end + MARGIN)
        scores, _ = model.score(piece.looks, piece.seconds)
        own = slice(*np.searchsorted(piece.seconds, [begin - 1e-6, end + 1e-6]))
        about_rows = {
            "clip": piece.clip,
            "frame": piece.looks.frame,
            "time": piece.looks.time,
            "stretch": part["stretch"],
            "seconds": piece.seconds,
        }
        tables.append(scores.assign(**about_rows)[own])
        thumbs.append(piece.looks.thumb[own])
        colours.append(piece.looks.colour[own])
    whole = pd.concat(tables, ignore_index=True)
    seconds, stretch = whole["seconds"].to_numpy(), whole["stretch"].to_numpy()
    changes = find_changes(np.concatenate(thumbs), np.concatenate(colours), seconds, stretch)
    score = levelled(whole["score"].to_numpy(), changes.regime, seconds)
    whole = whole.assign(score=score, regime=changes.regime, blocked=changes.blocked)
    first = ["clip", "frame", "time", "stretch", "seconds"]
    whole = whole[first + [name for name in whole if name not in first]]
    moments = zip(changes.moments.tolist(), changes.words, strict=True)
    notes = {"changes": [list(one) for one in moments]}
    quantiles = np.quantile(score, np.linspace(0, 1, QUANTILES + 1)).tolist()
    found = find_events(whole, EventSettings(PEAKS, "scene", 0.0), changes.blocked)
    row = pd.Series(np.arange(len(whole)), [whole["clip"], whole["frame"]])
    ends = [row[[*zip(found["clip"], found[side], strict=True)]] for side in ("first", "last")]
    peaks = [float(score[a : b + 1].max()) for a, b in zip(*ends, strict=True)]
    hours = float(parts["end"].sub(parts["begin"]).sum()) / 3600
    known = {"quantiles": quantiles, "peaks": sorted(peaks, reverse=True), "hours": hours}
    replace(model, about={**about, **known}).save(outputs[0])
    write_parquet(outputs[1], whole, {**about, **notes})
    return whole


def train(
    spans: Sequence[tuple[Looks, NDArray[np.float64]]],
    method: MotionMethod,
    basis: Basis,
    *,
    seed: int,
    compute: Compute,
    about: About,
) -> CameraModel:
    """Train on stretches of a camera, of each what was seen and its seconds.

    Raises
    ------
    SdorError : settings that need more than what was seen.
    ValueError : too few frames for the pseudo labels.
    """
    if "appearance" in method.start.detectors or method.training.trainable != "head":
        raise SdorError(
            "a watchlist takes detectors speed and relative_speed, and trainable: head; its video "
            "is seen once"
        )
    looks = Looks.joined([one for one, _ in spans])
    names = tuple(str(place) for place in range(len(spans)))
    clip_of = np.repeat(np.arange(len(spans)), [len(one) for one, _ in spans])
    timeline = Timeline(names, clip_of, np.concatenate([seconds for _, seconds in spans]))
    start = initial_motion(flow_of(looks), timeline, method.start)
    looked = looked_of(looks, timeline)
    done = self_train_places(looks.maps, start, looked, method, seed=seed, compute=compute)
    heads = [
        {name: one.cpu().numpy() for name, one in each.state_dict().items()} for each in done.models
    ]
    return CameraModel(method, heads, basis, start.scale, done.units, about)
