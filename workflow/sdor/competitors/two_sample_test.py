"""The classifier two-sample test (Liu, Li & Póczos, BMVC 2018), a competing method.

It is unmasking with a past: frames of the clip's history join the first class. What the paper
leaves open follows the code that its authors released:

- With history, both classes are weighted by their own size (21 and 10). A classifier that answers
  with the larger class then has the accuracy 21/31, where it has 11/21 without history.
- The pool of history is drawn at the first window that uses it, from the scored frames before it;
  each later window that uses history offers it the frame just before the window. History is used
  when the mean score of the first half of the window before is not below the mean score of all
  frames from the first scored one up to that window's first.
"""

from collections.abc import Sequence

import numpy as np

from sdor.competitors.unmasking import NO_FRAMES, Channel, IntArray, Windows, unmasking_scores
from sdor.method.scores import FloatArray

POOL, HISTORY, REPLACE = 50, 10, 0.3  # frames, frames, probability


def two_sample_scores(
    channel: Channel,
    lengths: Sequence[int],
    windows: Windows,
    *,
    seed: int,
    label: str = "two-sample test",
) -> FloatArray:
    """Anomaly score of each frame on one channel, as `unmasking_scores` gives it, with a past.

    10 frames out of a pool of 50 earlier ones join the first class, in windows that start at least
    50 + stride + w frames into the clip and that follow scores not below the long-run mean. Each
    clip has its own random draws, out of `seed`.
    """
    return unmasking_scores(
        channel,
        lengths,
        windows,
        label=label,
        past=lambda clip: History([seed, clip], windows).draw,
    )


class History:
    """Earlier frames of a clip for the first class, while the clip is gone through.

    Parameters
    ----------
    seed : of this clip's draws.
    """

    def __init__(self, seed: Sequence[int], windows: Windows) -> None:
        self._pool = NO_FRAMES
        self._rng = np.random.default_rng(seed)
        self._half = windows.half
        self._first = POOL + windows.stride + windows.half
        self._previous = 0

    def draw(self, start: int, scores: FloatArray) -> tuple[IntArray, IntArray]:
        """Frames of the clip for the window at `start`, and the pool that they come from.

        Parameters
        ----------
        scores : (frames of the clip,) as the windows before left them.
        """
        previous, self._previous = self._previous, start
        scored = self._half + 1
        if start < self._first:
            return NO_FRAMES, self._pool
        recent = scores[previous : previous + self._half + 1].mean()
        if recent < scores[scored : previous + 1].mean():
            return NO_FRAMES, self._pool
        if not len(self._pool):
            self._pool = np.sort(self._rng.choice(np.arange(scored, start), POOL, replace=False))
        elif self._rng.random() < REPLACE:
            self._pool = np.append(self._pool[1:], start - 1)
        return self._rng.choice(self._pool, HISTORY, replace=False), self._pool
