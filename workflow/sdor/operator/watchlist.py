"""The watchlist of all cameras, from the files of each."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from numpy.typing import NDArray

from sdor.errors import SdorError
from sdor.files import (
    About,
    atomic,
    damaged,
    open_parquet,
    read_about,
    read_array,
    read_parquet,
)
from sdor.method.events import UNLIKE
from sdor.operator.moments import CHANGED, pieces_of, root_of
from sdor.operator.page import (
    AROUND,
    Camera,
    Changed,
    Moment,
    NotRead,
    watchlist_csv,
    watchlist_page,
    write_previews,
)
from sdor.operator.previews import Span
from sdor.operator.rounds import changes_since, list_before, remarks_on
from sdor.study.rounds import archive_of
from sdor.study.scenes import Clip, Scene

# Moments that a page holds, of all cameras and of one: 10 MB are 50. The table has them all.
SHOWN, SHOWN_OF_ONE = 50, 200
DONE = "done"  # the last file in a folder of previews: the list is whole


def moments_of(camera: Scene, folder: Path, lead: float) -> list[Moment]:
    """The moments of a camera, in order.

    Parameters
    ----------
    folder : where its events, heat maps, scores and previews are, of a round or without marks.
    lead : s shown before.

    Raises
    ------
    SdorError : a file is damaged.
    """
    events = read_parquet(folder / "events.parquet")
    heat = read_array(folder / "heat.npy", len(events))
    looks = read_parquet(archive_of(folder) / "looks.parquet")
    clips = _clips(camera, root_of(folder), looks)
    curves = _curves(folder / "scores.parquet", events["clip"], events["peak_time"])
    hottest = float(heat.max()) if len(heat) else 0.0
    moments = []
    for row, one, curve in zip(events.to_dict("records"), heat, curves, strict=True):
        begin, end = row["begin_seconds"], row["end_seconds"]
        pieces, loop = (
            tuple(Span(clips[name], *ends) for name, *ends in pieces_of(looks, *asked))
            for asked in ((row["stretch"], begin, end), (row["stretch"], begin - lead, end))
        )
        clip = clips[row["clip"]]
        box = tuple(row[side] for side in ("x0", "y0", "x1", "y1"))
        is_change = row["kind"] == CHANGED
        moments.append(
            Moment(
                event=row["event"],
                rank=row["rank"],
                camera=camera.name,
                clip=clip,
                source=clip.source,
                kind="picture changed" if is_change else "moment",
                group=row["group"],
                mark=row.get("mark", ""),
                begin=row["begin"],
                end=row["end"],
                peak=row["peak_time"],
                pieces=pieces,
                loop=loop,
                clock=None if pd.isna(row["clock"]) else row["clock"].to_pydatetime(),
                first=row["first"],
                last=row["last"],
                peak_frame=row["peak"],
                score=row["score"],
                unusual=row["unusual"],
                percentile=row["percentile"],
                box=None if np.isnan(box).any() else box,
                heat=None if is_change or not hottest else one / hottest,
                curve=curve,
                lead=lead,
                shown=folder / "previews" / f"{row['event']}.mp4",
            )
        )
    return moments


def make_previews(camera: Scene, folder: Path, output: Path, lead: float) -> int:
    """Make picture and loop of each moment of a camera; returns how many there are.

    Parameters
    ----------
    folder, lead : see `moments_of`. output : folder for them.

    Raises
    ------
    SdorError : a file is damaged.
    """
    count = len([*write_previews(moments_of(camera, folder, lead), output, camera.masks)])
    (output / DONE).touch()
    return count


def write_watchlist(
    cameras: Sequence[Scene],
    folders: Sequence[Path],
    outputs: tuple[Path, Path],
    *,
    lead: float,
    left: Sequence[tuple[str, str]] = (),
    home: str = "",
    settings: About,
) -> int:
    """Write the page and the table of one camera or of several.

    Parameters
    ----------
    folders : of each; see `moments_of`. outputs : page and table.
    lead : s shown before a moment. left : paths that were not looked at (or none), and why.
    home : the page of all cameras, where this is that of one. settings : that it was made with.

    Returns
    -------
    How many moments there are.

    Raises
    ------
    SdorError : a file is damaged, or the folder of an output cannot be written.
    """
    page, table = outputs
    moments, facts, wrong = list[Moment](), list[Camera](), list[NotRead]()
    for camera, folder in zip(cameras, folders, strict=True):
        moments += moments_of(camera, folder, lead)
        looks = read_parquet(archive_of(folder) / "looks.parquet")
        own = "" if home else f"{camera.name}/{page.name}"
        seconds = float(looks["seconds"].sum())
        failure = read_about(folder / "scores.parquet").get("failure", "")
        failure = failure or ("" if seconds else "nothing of it can be read")
        facts.append(
            Camera(
                camera.name,
                seconds,
                len(looks),
                own,
                failure,
                _changed(folder, looks),
                remarks_on(folder),
                f"sdor review {camera.name}",
            )
        )
        wrong += [NotRead(camera.name, "", failure)] if failure else []
        for row in looks.to_dict("records"):
            words = [row["failure"]] if row["failure"] else list(row["remarks"])
            path = f"{camera.root / row['source']}: "
            wrong += [NotRead(camera.name, row["source"], it.removeprefix(path)) for it in words]
    # One order for all: what stands out most of its own camera comes first.
    ranked = sorted(
        (one for one in moments if one.kind == "moment" and not one.mark),
        key=lambda one: (one.group != UNLIKE, -one.unusual),
    )
    ranked = [replace(one, rank=rank) for rank, one in enumerate(ranked, start=1)]
    marked = [one for one in moments if one.mark]
    changes = [one for one in moments if one.kind != "moment" and not one.mark]
    listed = [*ranked, *marked, *changes]
    wrong += [NotRead("", path, reason) for path, reason in left]
    text = watchlist_page(
        listed,
        facts,
        wrong,
        limit=SHOWN_OF_ONE if home else SHOWN,
        settings=yaml.safe_dump(dict(settings), sort_keys=False),
        made=datetime.now(),
        table=table.name,
        home=home,
    )
    with atomic(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    with atomic(table) as temporary:
        temporary.write_text(watchlist_csv(listed, page.parent), encoding="utf-8")
    return len(moments)


def _curves(path: Path, clips: pd.Series, peaks: pd.Series) -> list[NDArray[np.float64]]:
    """(k, 2) seconds and scores around each peak; of a month, not all scores are kept."""
    asked = list(zip(clips, peaks, strict=True))
    found = [[np.zeros((0, 2))] for _ in asked]
    try:
        with open_parquet(path) as file:
            for batch in file.iter_batches(columns=["clip", "time", "score"]):
                names = pa.array(clips.unique(), batch["clip"].type)
                rows = batch.filter(pc.is_in(batch["clip"], names)).to_pandas()
                parts = {
                    name: one[["time", "score"]].to_numpy() for name, one in rows.groupby("clip")
                }
                for place, (clip, peak) in enumerate(asked):
                    if clip in parts:
                        near = np.abs(parts[clip][:, 0] - peak) <= AROUND
                        found[place].append(parts[clip][near])
    except (OSError, pa.ArrowException) as error:
        raise SdorError(damaged(path, error)) from error
    return [np.concatenate(one) for one in found]


def _changed(folder: Path, looks: pd.DataFrame) -> list[Changed] | None:
    """What the last round of marks moved in the list of a camera; None without a list before."""
    if list_before(folder) is None:
        return None
    moved = changes_since(folder)
    moved = moved[moved["change"] != "same"]
    sources = dict(zip(looks["clip"], looks["source"], strict=True))
    named = moved["clip"].map(lambda clip: sources.get(clip, clip))
    columns = moved["change"], moved["before"], moved["now"], named, moved["begin"]
    return [Changed(*one) for one in zip(*columns, strict=True)]


def _clips(camera: Scene, root: Path, looks: pd.DataFrame) -> dict[str, Clip]:
    """Clips by name, with those that a recorder deleted since they were looked at."""
    seen = [
        Clip(name=name, kind="video", path=root / source, source=source)
        for name, source in zip(looks["clip"], looks["source"], strict=True)
    ]
    return {clip.name: clip for clip in [*seen, *camera.clips]}
