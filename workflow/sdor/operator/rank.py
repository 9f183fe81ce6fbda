"""Train on what was seen of a camera, and score all of it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import save_file

from sdor.errors import SdorError
from sdor.files import About, atomic, read_parquet, write_parquet
from sdor.method.events import find_events
from sdor.method.flow import ACROSS, DOWN
from sdor.method.maps import Basis
from sdor.method.motion import initial_motion
from sdor.method.selftrain import self_train_places
from sdor.networks.compute import Compute
from sdor.operator.archive import Archive
from sdor.operator.changes import find_changes, levelled
from sdor.operator.look import Looks
from sdor.operator.model import MARGIN, QUANTILES, CameraModel, flow_of, looked_of
from sdor.operator.pace import Say, duration
from sdor.progress import logger
from sdor.study.settings import EventSettings, MotionMethod
from sdor.video.timeline import Timeline

# Looked-at frames that are trained on: three hours at five a second, which take 4 GB. Of more
# video, parts of half an hour from all over it, so that memory does not grow with the archive.
TRAINED = 60_000
EVERY = 30.0  # seconds between two lines of progress
PEAKS = 5000  # events whose heights the model's file has
OWN = ("quantiles", "peaks", "hours")  # what a model says of the archive that it scored


def rank(
    files: tuple[Path, Path],
    outputs: tuple[Path, Path],
    method: MotionMethod,
    basis: Basis,
    *,
    seed: int,
    compute: Compute,
    about: About,
    say: Say,
) -> pd.DataFrame:
    """Train, and write the model and the scores of all rows.

    Parameters
    ----------
    files : table and folder of the archive. outputs : model and scores.
    about : what their metadata says; camera is its name. say : is told how far it is.

    Returns
    -------
    The scores: clip, frame, time (s in the source), stretch, seconds (from the stretch's
    beginning), motion, appearance, places, score, regime, blocked. Where there is nothing to learn
    from, no rows: other cameras go on, and the file's metadata has the reason (failure).

    Raises
    ------
    SdorError : a file is damaged.
    """
    table, folder = files
    looks = read_parquet(table, ["look", "failure"])
    if not looks["look"].any():
        return _nothing(outputs, f"nothing of it can be read ({looks['failure'].iloc[0]})", about)
    archive = Archive.read(table, folder)
    spans = spans_of(archive)
    length = duration(sum(float(seconds[-1] - seconds[0]) for _, seconds in spans))
    say(f"camera {about['camera']}: training on {length} of video")
    try:
        model = train(spans, method, basis, seed=seed, compute=compute, about=about)
    except ValueError as error:
        return _nothing(outputs, f"too little video to learn from ({error})", about)
    del spans
    return score_archive(archive, model, outputs, about=about, say=say)


def score_archive(
    archive: Archive, model: CameraModel, outputs: tuple[Path, Path], *, about: About, say: Say
) -> pd.DataFrame:
    """Score all rows, and write the model, with the quantiles of its scores, and the scores.

    Parameters
    ----------
    outputs : model and scores. about : goes into the metadata of both.

    Returns
    -------
    The scores, as `rank` writes them.

    Raises
    ------
    SdorError : a file is damaged, or the folder cannot be written.
    """
    with TemporaryFile() as thumbs:
        whole, colour = _scored(archive, model, thumbs, say)
        thumb = np.memmap(thumbs, np.uint8, "r", shape=(len(whole), DOWN, ACROSS))
        seconds, stretch = whole["seconds"].to_numpy(), whole["stretch"].to_numpy()
        changes = find_changes(thumb, colour, seconds, stretch)
        del thumb
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
    hours = float((archive.parts["end"] - archive.parts["begin"]).sum()) / 3600
    known = dict(zip(OWN, (quantiles, sorted(peaks, reverse=True), hours), strict=True))
    replace(model, about={**about, **known}).save(outputs[0])
    write_parquet(outputs[1], whole, {**about, **notes})
    return whole


def _nothing(outputs: tuple[Path, Path], words: str, about: About) -> pd.DataFrame:
    """Write a model that nothing was learnt by, and no scores, with the reason."""
    kinds = {"clip": object, "frame": np.int64, "stretch": np.int64, "regime": np.int64}
    kinds |= dict.fromkeys(("time", "seconds", "motion", "appearance", "places", "score"), float)
    none = pd.DataFrame({name: pd.Series(dtype=one) for name, one in kinds.items()})
    none = none.assign(blocked=np.zeros(0, dtype=bool))
    logger.warning("camera %s: %s", about["camera"], words)
    with atomic(outputs[0]) as temporary:
        save_file({}, temporary, {"failure": words})
    write_parquet(outputs[1], none, {**about, "changes": [], "failure": words})
    return none


def spans_of(archive: Archive) -> list[tuple[Looks, NDArray[np.float64]]]:
    """What is trained on: stretches, or pieces of them, with their seconds."""
    parts = archive.parts
    kept = max(round(len(parts) * min(1.0, TRAINED / int(parts["looked"].sum()))), 1)
    chosen = parts.iloc[np.unique(np.linspace(0, len(parts) - 1, kept).round().astype(int))]
    # Adjoining parts are one span: what lies between them is smoothed as elsewhere.
    breaks = (chosen["stretch"].diff() != 0) | (np.diff(chosen.index, prepend=-2) != 1)
    spans = []
    for _, some in chosen.groupby(np.cumsum(breaks)):
        piece = archive.piece(some["stretch"].iloc[0], some["begin"].min(), some["end"].max())
        spans.append((piece.looks, piece.seconds))
    return spans


def _scored(
    archive: Archive, model: CameraModel, thumbs: IO[bytes], say: Say
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Scores of all rows, and their colour; their small pictures go to a file, as they are many."""
    tables, colours, due = [], [], time.monotonic() + EVERY
    for number, part in enumerate(archive.parts.to_dict("records")):
        if time.monotonic() > due:
            due = time.monotonic() + EVERY
            share = f"{number:,} of {len(archive.parts):,} parts"
            say(f"camera {model.about['camera']}: {share} of its video scored")
        begin, end = part["begin"], part["end"]
        piece = archive.piece(part["stretch"], begin - MARGIN, end + MARGIN)
        scores, _ = model.score(piece.looks, piece.seconds)
        own = slice(*np.searchsorted(piece.seconds, [begin - 1e-6, end + 1e-6]))
        rows = {
            "clip": piece.clip,
            "frame": piece.looks.frame,
            "time": piece.looks.time,
            "stretch": part["stretch"],
            "seconds": piece.seconds,
        }
        tables.append(scores.assign(**rows)[own])
        colours.append(piece.looks.colour[own])
        thumbs.write(piece.looks.thumb[own].tobytes())
    thumbs.flush()
    return pd.concat(tables, ignore_index=True), np.concatenate(colours)


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
