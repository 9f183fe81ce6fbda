"""The moments of a camera by the paper's approach: where its final scores are high.

Its files are those of the approach "motion", so that previews and pages take both. It looks at
single frames, and knows of no change of the picture as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from sdor.files import About, forget_checkpoint, read_parquet, write_parquet
from sdor.method.marks import SEEN, gone_marks, read_marks, seen_clips
from sdor.method.saliency import localised_scores
from sdor.method.sources import Sources
from sdor.networks.compute import Compute
from sdor.operator.moments import clocks_of, placed_marks, standing_out, write_found
from sdor.progress import logger
from sdor.study.rounds import archive_of
from sdor.study.scenes import Scene
from sdor.study.settings import EventSettings
from sdor.video.clock import in_order_of_time, recorded
from sdor.video.decode import declared
from sdor.video.frames import Reading
from sdor.video.timeline import UNKNOWN_RATE, Timeline

FILES = ("looks.parquet", "scores.parquet", "events.parquet", "heat.npy", "looks.npy")
NO_SCORES = {"clip": "", "frame": 0, "time": 0.0, "stretch": 0, "seconds": 0.0, "score": 0.0}


@dataclass(frozen=True)
class Trained:
    """What a run left.

    Attributes
    ----------
    scores : the final ones. models : of all iterations, or the one that has learnt from marks.
    sources : what their maps start from; see `write_saliency`.
    """

    scores: Path
    models: Sequence[Path]
    sources: Sources
    trainable: str

    @classmethod
    def of(cls, files: Any, trainable: str) -> Self:
        """From paths called scores, models, rows, index and weights."""
        rows, models = ([Path(one) for one in many] for many in (files.rows, files.models))
        sources = Sources(rows, Path(files.index), Path(files.weights))
        return cls(Path(files.scores), models, sources, trainable)


def write_paper_moments(
    scene: Scene,
    readings: Mapping[str, Reading],
    run: Trained | None,
    folder: Path,
    settings: EventSettings,
    marks: Sequence[Path] = (),
    *,
    compute: Compute,
    about: About,
) -> pd.DataFrame:
    """Write the table of clips, scores, events and their heat maps; returns the events.

    Parameters
    ----------
    readings : of each clip, by name, as its frames were stored.
    run : None where there is too little video to learn from.
    folder : gets `FILES`: looks, scores and events with those columns of `look_at_camera`, `rank`
        and `write_moments` that a page reads, and where the score of each event's peak comes from,
        (events, rows, columns), from 0 up; what events look like is not known.
    marks : files of all rounds.

    Raises
    ------
    SdorError : a file is damaged.
    """
    looks_file, scores_file, *outputs = (folder / name for name in FILES)
    about = {**about, "camera": scene.name}
    clips, frames = _read(scene, readings)
    write_parquet(looks_file, clips, {**about, "root": str(scene.root.absolute())})
    if run is None:
        words = "too little video to learn from"
        if frames.empty:
            words = f"nothing of it can be read ({clips['failure'].iloc[0]})"
        logger.warning("camera %s: %s", scene.name, words)
        about = {**about, "failure": words}
        scores = frames.assign(score=0.0, row=0)[:0]
    else:
        scores = read_parquet(run.scores, ["clip", "frame", "score"])
        scores = frames.merge(scores.assign(row=np.arange(len(scores))), on=["clip", "frame"])
    first = {clip.name: clip.first for clip in scene.clips}
    scores["frame"] += scores["clip"].map(first).astype(np.int64) - 1
    write_parquet(scores_file, scores[list(NO_SCORES)], about)
    scores["clock"] = clocks_of(scores, clips)
    last = scores.groupby("clip", sort=False)["frame"].max().rename("frames").reset_index()
    seen = seen_clips(archive_of(folder) / SEEN, last["clip"])
    known = read_marks(marks, last, seen) if len(last) else None
    about = {**about, "gone": gone_marks(marks, last, seen) if len(last) else 0}
    found = standing_out(scores, settings, marks=placed_marks(scores, known))
    heat = np.zeros((len(found), 1, 1), dtype=np.float32)
    if run is not None and len(found):
        rows = scores.set_index(["clip", "frame"])["row"]
        peaks = rows[[*zip(found["clip"], found["peak"], strict=True)]].to_numpy()
        part = run.trainable
        maps = localised_scores(run.models, run.sources, peaks, trainable=part, compute=compute)
        # How far places are above the middle one of their map.
        heat = np.maximum(maps - np.median(maps, axis=(1, 2), keepdims=True), 0)
    looks = np.full((len(found), 1), np.nan, dtype=np.float32)
    write_found(found, (heat, looks), scores, (outputs[0], outputs[1], outputs[2]), about)
    if run is not None:
        forget_checkpoint(run.scores)
    return found


def _read(scene: Scene, readings: Mapping[str, Reading]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The clips in the order of time, and their frames likewise.

    Returns
    -------
    clips : clip, source, first (s of its first frame in the source), seconds, width, height, fps,
        clock and begin (see `recorded`), stretch, offset, failure, remarks.
    frames : clip, frame (of the clip, from 1), time (s in the source), stretch, seconds.
    """
    rows, frames = [], list[pd.DataFrame]()
    for clip in scene.clips:
        found = readings[clip.name]
        time = found.times_of(clip)
        if not np.isfinite(time).all():
            time = (clip.first - 1 + np.arange(len(time))) / UNKNOWN_RATE
        step = float(np.median(np.diff(time))) if len(time) > 1 else 1 / UNKNOWN_RATE
        begin = float(time[0]) if len(time) else 0.0
        told = declared(clip.path) if clip.kind == "video" else None
        failure = found.failure.removeprefix(f"clip {clip.name}: ")  # said beside its file
        facts = {"first": begin, "seconds": len(time) * step, "failure": failure}
        facts |= {"width": found.width, "height": found.height, "fps": 1 / step}
        facts |= {"remarks": [str(doubt) for doubt in found.doubts]}
        when = recorded(clip.path, told, begin)
        rows.append({"clip": clip.name, "source": clip.source, **facts, **when})
        if len(time):
            line = Timeline.of({clip.name: time})
            seconds = line.seconds - line.seconds[0]
            frames.append(line.index().assign(time=time, seconds=seconds))
    clips = in_order_of_time(pd.DataFrame(rows))
    placed = clips[["clip", "stretch", "offset"]]
    if not frames:
        return clips, pd.DataFrame(NO_SCORES, index=[]).drop(columns="score")
    # In the order of the clips: those of a stretch stand together.
    table = placed.merge(pd.concat(frames, ignore_index=True), on="clip")
    return clips, table.assign(seconds=table["seconds"] + table["offset"]).drop(columns="offset")
