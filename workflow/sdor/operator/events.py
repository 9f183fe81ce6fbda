"""The events of cameras as a table for other programs."""

import pandas as pd

from sdor.method.marks import guarded

COLUMNS = (
    "event rank camera clip source path begin end peak clock first last peak_frame score unusual"
)
COLUMNS += " percentile box preview kind mark"
SIDES = ["x0", "y0", "x1", "y1"]


def events_csv(events: pd.DataFrame) -> str:
    """The events as CSV; where a text could be taken for a formula, an apostrophe is before it.

    Parameters
    ----------
    events : in order, with the columns of `find_events`, and camera, source (file), path (of it,
        absolute), clock (local time of the peak; NaT), x0, y0, x1, y1 (shares of the picture; NaN),
        preview (file, or "").

    Returns
    -------
    Columns: event, rank, camera, clip, source, path; begin, end, peak (s in the source);
    clock (ISO 8601, empty where unknown); first, last, peak_frame (of the source); score, unusual,
    percentile; box (left, top, right, bottom from 0 to 1, with blanks between; empty where
    unknown); preview; kind ("moment", unless `events` says another); mark ("anomaly" where an
    operator marked it so).
    """
    boxes = events[SIDES].to_numpy(dtype=float)
    words = ["" if (box != box).any() else " ".join(f"{one:.3f}" for one in box) for box in boxes]
    clocks = pd.to_datetime(events["clock"])
    known = [one.isoformat(timespec="milliseconds") if one == one else "" for one in clocks]
    kinds = events.get("kind", "moment")
    table = events.assign(box=words, clock=known, kind=kinds, mark=events.get("mark", ""))
    table = table.rename(columns={"peak": "peak_frame", "peak_time": "peak"})[COLUMNS.split()]
    texts = table.select_dtypes(["object", "str"]).columns
    table[texts] = table[texts].map(lambda cell: guarded(cell) if isinstance(cell, str) else cell)
    return table.to_csv(index=False, float_format="%.3f", lineterminator="\n")
