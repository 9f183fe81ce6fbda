"""Label audit: the ground truth as one table, held against the frames before anything is trained.

A label list that is shifted or belongs to other files gives wrong numbers without any error; so
whatever does not fit is refused here, with the clip, what was expected and what was found.
"""

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.study.scenes import Scene
from sdor.video.labels import Labels, Tables, frame_labels
from sdor.video.masks import read_pixel_masks
from sdor.video.picture import fault_of, hide


def audit(
    scene: Scene, clips: pd.DataFrame, times: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Frame labels of a scene's labelled clips, and a summary of what was found.

    Parameters
    ----------
    scene : with its clips located, if they come out of a joined video.
    clips : DataFrame: clip, frames (that are looked at), width, height (pixels of the source
        picture) of those clips that could be read, which are all where the scene has ground truth.
    times : DataFrame: clip, frame (from 1), time (seconds of the source; NaN where unknown),
        sampled (whether it is looked at), of all frames.

    Returns
    -------
    table : DataFrame: clip, frame (from 1), anomalous (int8: 1 or 0); of labelled clips the frames
        that are looked at.
    summary : JSON-able: totals, per clip how often labels and pixel masks disagree, how many rows
        of a table are no clip's, and remarks, a line each, on labels that do not end with their
        clip. These are reported, not refused: a label may begin before the anomaly is drawn, a
        table may serve other scenes too.

    Raises
    ------
    SdorError : the ground truth does not fit to the clips, or a mask to the picture.
    """
    labelled: dict[str, Labels] = {}
    disagreements: dict[str, dict[str, int]] = {}
    remarks: list[str] = []
    tables: Tables = {}
    taken = dict(tuple(times.groupby("clip")))
    for name, width, height in zip(
        *(clips[column].tolist() for column in ("clip", "width", "height")), strict=True
    ):
        clip = scene.clip(name)
        with fault_of(clip):
            hide(np.zeros((height, width, 1), np.uint8), scene.masks)
            truth = clip.ground_truth
            if truth is None:
                continue
            labels = drawn = None
            told: list[str] = []
            if truth.pixel_masks is not None:
                size, count = (width, height), len(taken[name])
                masks = read_pixel_masks(clip, truth.pixel_masks, count, size, told)
                labels = drawn = np.array([mask.any() for mask in masks], dtype=np.int8)
            if truth.labels is not None:
                labels = frame_labels(clip, taken[name]["time"].to_numpy(float), tables, told)
        assert labels is not None
        remarks += [f"clip {name}: {words}" for words in told]
        labelled[name] = labels
        if drawn is not None and (labels != drawn).any():
            disagreements[name] = {
                "labelled_without_mask": int((labels > drawn).sum()),
                "mask_without_label": int((labels < drawn).sum()),
            }
    for path, (rows_read, unused) in tables.items():
        if unused and unused == set(rows_read.index):
            raise SdorError(
                f"{path}: no row is of a clip of this scene, so that all would be normal; "
                "check where, or say ground_truth: normal"
            )
    rows = [
        (name, frame, label)
        for name, found in labelled.items()
        for frame, label, kept in zip(
            range(1, len(found) + 1), found, taken[name]["sampled"], strict=True
        )
        if kept
    ]
    table = pd.DataFrame(rows, columns=["clip", "frame", "anomalous"])
    table = table.astype({"clip": object, "frame": np.int64, "anomalous": np.int8})
    summary = {
        "scene": scene.name,
        "clips": len(clips),
        "labelled_clips": len(labelled),
        "frames": int(clips["frames"].sum()),
        "labelled_frames": len(table),
        "anomalous_frames": int(table["anomalous"].sum()),
        "disagreements": disagreements,
        "rows_of_no_clip": {
            f"{path.parent.name}/{path.name}": len(unused)
            for path, (_, unused) in tables.items()
            if unused
        },
        "remarks": remarks,
    }
    return table, summary
