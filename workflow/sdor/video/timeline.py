"""When each frame of a scene was taken: samples of frames, smoothing and the way between them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from sdor.files import read_parquet
from sdor.progress import logger
from sdor.video.sampling import ROUNDING, period_of

FloatArray = npt.NDArray[np.floating[Any]]
Rows = npt.NDArray[np.int64]
UNKNOWN_RATE = 10.0  # frames a second, where nothing tells: that of UCSD's and many other archives
STEPS = 20  # within which a pattern of steps repeats, at the usual rates of video


@dataclass(frozen=True)
class Timeline:
    """The frames of a scene, in the order of its store, in seconds.

    Attributes
    ----------
    clips : names. clip_of : (frames,) number of each frame's clip.
    seconds : (frames,) from the beginning of the clip's source, or of the clip where they follow
        from its rate; they rise within a clip.
    frame : (frames,) its number in its clip, from 1; None where those of all clips are complete.
    """

    clips: tuple[str, ...]
    clip_of: Rows
    seconds: FloatArray
    frame: Rows | None = None

    @classmethod
    def read(cls, files: Iterable[str | Path], rates: Mapping[str, float | None]) -> "Timeline":
        """Of stored frames, from the tables beside them; clips without frames are left out.

        Parameters
        ----------
        files : each is called like its clip.
        rates : frames a second of clips whose scene file tells it.

        Raises
        ------
        SdorError : a file is damaged.
        """
        tables = {Path(path).stem: read_parquet(path, ["time", "sampled"]) for path in files}
        tables = {name: one for name, one in tables.items() if len(one)}
        times = {name: one["time"].to_numpy(dtype=float) for name, one in tables.items()}
        every, kept = cls.of(times, rates), pd.concat(tables.values())["sampled"].to_numpy(bool)
        frame = every.index()["frame"].to_numpy()
        return cls(every.clips, every.clip_of[kept], every.seconds[kept], frame[kept])

    @classmethod
    def of(
        cls, times: Mapping[str, FloatArray], rates: Mapping[str, float | None] | None = None
    ) -> "Timeline":
        """From the seconds (frames,) of each clip; unknown ones follow from its rate."""
        seconds = [_rising(name, one, (rates or {}).get(name)) for name, one in times.items()]
        lengths = [len(one) for one in seconds]
        return cls(tuple(times), np.repeat(np.arange(len(times)), lengths), np.concatenate(seconds))

    def __len__(self) -> int:
        return len(self.seconds)

    def index(self) -> pd.DataFrame:
        """Clip and frame (from 1 in its clip) of each frame."""
        names, frame = np.array(self.clips, dtype=object), self.frame
        if frame is None:
            frame = np.arange(len(self)) - self._starts()[self.clip_of] + 1
        return pd.DataFrame({"clip": names[self.clip_of], "frame": frame})

    def sampled(self, rate: float | None) -> Rows:
        """The frames that are looked at when it is so many a second (None: all).

        They are the first of each period of 1 / rate seconds since the clip's begin; of a clip with
        fewer frames a second, all.
        """
        if rate is None:
            return np.arange(len(self))
        since = self.seconds - self.seconds[self._starts()][self.clip_of]
        new = np.diff(period_of(since, rate), prepend=-1) != 0
        new[self._starts()] = True
        return np.flatnonzero(new)

    def before(self, rows: Rows, lag: float) -> Rows:
        """Of each frame, the last one of its clip that is at least `lag` seconds older.

        Of a frame less than `lag` seconds after the clip's begin, the first frame of the clip: the
        frame itself, for that one.
        """
        found = np.empty(len(rows), dtype=np.int64)
        for start, stop in self.spans():
            here = (rows >= start) & (rows < stop)
            wanted = self.seconds[rows[here]] - lag + ROUNDING
            at = np.searchsorted(self.seconds[start:stop], wanted, side="right") - 1
            found[here] = start + np.maximum(at, 0)
        return found

    def smoothed(
        self,
        values: FloatArray,
        rows: Rows,
        seconds: float,
        known: npt.NDArray[np.bool_] | None = None,
    ) -> FloatArray:
        """Values (rows, …) of sampled frames, smoothed in time inside each clip.

        Parameters
        ----------
        seconds : sigma of the Gaussian, which becomes samples by the median distance of the rows.
        known : (rows,) false where a value is no part of the scene; the others make up for it.
        """
        made = np.empty(values.shape, dtype=values.dtype)
        weights = np.ones(len(rows)) if known is None else known.astype(np.float64)
        for start, stop in self.spans():
            here = slice(*np.searchsorted(rows, [start, stop]))
            sigma = seconds / self._distance(rows[here])
            weight = weights[here].reshape(-1, *[1] * (values.ndim - 1))
            total = gaussian_filter1d(values[here] * weight, sigma, axis=0, mode="nearest")
            share = gaussian_filter1d(weight, sigma, axis=0, mode="nearest")
            made[here] = np.divide(total, share, out=np.zeros_like(total), where=share > 0)
        return made

    def spread(self, values: FloatArray, rows: Rows, onto: Rows | None = None) -> FloatArray:
        """Values (rows, …) of sampled frames on all frames, or on those given: linear in time.

        Before the first sampled frame of a clip and after its last, it is that one's. A clip of
        which no frame is sampled has values only if no frame of it is asked for.
        """
        wanted = np.arange(len(self)) if onto is None else onto
        right = np.searchsorted(rows, wanted)
        inside = np.minimum(right, len(rows) - 1)
        right = np.where(self.clip_of[rows[inside]] == self.clip_of[wanted], inside, right - 1)
        left = np.where(rows[right] > wanted, right - 1, right)
        left = np.where(self.clip_of[rows[left]] == self.clip_of[wanted], left, right)
        begin, end = self.seconds[rows[left]], self.seconds[rows[right]]
        share = np.divide(
            self.seconds[wanted] - begin, end - begin, out=np.zeros(len(wanted)), where=end > begin
        ).reshape(-1, *[1] * (values.ndim - 1))
        made: FloatArray = (1 - share) * values[left] + share * values[right]
        return made

    def spans(self) -> list[tuple[int, int]]:
        """Each clip's first frame, and the first one behind it."""
        starts = self._starts()
        ends = [*starts[1:].tolist(), len(self)][: len(starts)]
        return list(zip(starts.tolist(), ends, strict=True))

    def _starts(self) -> Rows:
        return np.flatnonzero(np.diff(self.clip_of, prepend=-1))

    def _distance(self, rows: Rows) -> float:
        """Seconds from one sampled frame to the next: the median.

        Of many steps at a time, so that any piece of a clip has the same: ten a second of 25 frames
        are two and three frames apart.
        """
        steps = min(STEPS, len(rows) - 1)
        taken = self.seconds[rows]
        return float(np.median(taken[steps:] - taken[:-steps])) / steps if steps > 0 else 1.0


def seconds_of(number: int, time: float) -> float:
    """Seconds of a frame, numbered from 1, in its source: of its file, or by a usual rate."""
    return time if math.isfinite(time) else (number - 1) / UNKNOWN_RATE


def _rising(name: str, times: FloatArray, rate: float | None) -> FloatArray:
    """A clip's seconds: by its rate, as the file has them, or by a usual rate."""
    if rate is None and len(times) and np.isfinite(times).all() and (np.diff(times) > 0).all():
        return times
    if rate is None:
        gaps = np.diff(times[np.isfinite(times)])
        rate = float(1 / np.median(gaps)) if len(gaps) and np.median(gaps) > 0 else UNKNOWN_RATE
        words = "clip %s: its frames have no times that rise, %g a second taken; if it is another "
        words += "rate, give it as the clip's fps (clip_fps of the estimator)"
        logger.warning(words, name, rate)
    return np.arange(len(times)) / rate
