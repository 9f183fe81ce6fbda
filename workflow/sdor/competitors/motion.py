"""Motion of every frame as space-time cubes of frame differences (Ionescu et al., ICCV 2017)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sdor.video.store import FrameStore

HEIGHT, WIDTH = 120, 160  # pixels of the grey frames
CUBE, DEPTH = 10, 5  # pixels of a cube's side, and the frames that it spans
GRID = 2  # spatial bins along each axis
DOWN, ACROSS = HEIGHT // CUBE // GRID, WIDTH // CUBE // GRID  # cubes in a bin: 6 x 8
BINS, CUBES = GRID * GRID, DOWN * ACROSS
DIMS = CUBES * DEPTH * CUBE * CUBE  # numbers a bin
# Sum over a cube of motion, where 1 is black to white: 0.03 a pixel. Below is the camera's noise.
STILL = 15.0
IntArray = NDArray[np.integer[Any]]


class MotionCubes:
    """A channel of motion: rows [n, 4, 24000] for frame numbers of the scene, made on demand.

    The motion at frame t is |I_t - I_{t+1}|, I in [0, 1]. A cube is 10x10 pixels of it over the
    5 frames t - 2 … t + 2, scaled to unit length; a cube where nothing moves stays zero. The 12x16
    cubes of a frame are gathered into 2x2 spatial bins (row-major) of 6x8 cubes each.

    Scaled to unit length, a cube of mere noise weighs as much as a walker, and noise tells any two
    moments apart. So a frame is blurred (3x3 pixels, sigma 1) and a cube of less motion than
    `still` counts as none, as in Lu, Shi & Jia (ICCV 2013), with the value of the code that Liu et
    al. (BMVC 2018) released.

    At the ends of a clip the first and the last motion are repeated, also for the last frame, which
    has no successor. A clip of a single frame does not move.

    Parameters
    ----------
    store : grey frames, uint8 of 120x160 pixels.
    still : motion, summed over a cube, up to which it is zero.

    Raises
    ------
    SdorError : the frames have another size, or colour.
    """

    def __init__(self, store: FrameStore, still: float = STILL) -> None:
        store.expect_grey(WIDTH, HEIGHT)
        self.store = store
        self.still = still

    def rows(self, frames: IntArray) -> NDArray[np.float32]:
        """Cubes around the given frames of the scene (numbered from 0).

        Returns
        -------
        (n, 4, 24000) float32. The numbers of a cube stand together.
        """
        spans = self._before_the_end(self.store.window_rows(frames, DEPTH))
        wanted, position = np.unique(spans, return_inverse=True)
        position = position.reshape(spans.shape)
        slices = self._slices(wanted)
        amounts = slices.sum(axis=3)[position].sum(axis=1)
        lengths = np.sqrt(np.square(slices).sum(axis=3)[position].sum(axis=1))
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=amounts > self.still)
        cubes = slices[position].transpose(0, 2, 3, 1, 4) * scale[..., np.newaxis, np.newaxis]
        rows: NDArray[np.float32] = cubes.reshape(len(spans), BINS, DIMS)
        return rows

    def _before_the_end(self, frames: IntArray) -> IntArray:
        """The frames, but the one before it for the last frame of a clip."""
        flat = frames.ravel()
        before, _, after = self.store.window_rows(flat, 3).T
        moved: IntArray = np.where(after == flat, before, flat).reshape(frames.shape)
        return moved

    def _slices(self, frames: IntArray) -> NDArray[np.float32]:
        """|I_t - I_{t+1}| cut into the slices of cubes: (n, bins, cubes, pixels) float32."""
        pairs = self.store.window_rows(frames, 3)[:, 1:]
        wanted, position = np.unique(pairs, return_inverse=True)
        pixels = self.store.gather(wanted)[..., 0].astype(np.float32) / 255
        blurred = gaussian_filter(pixels, (0, 1, 1), radius=(0, 1, 1), mode="nearest")
        now, then = position.reshape(pairs.shape).T
        motion = np.abs(blurred[now] - blurred[then])
        cut = motion.reshape(-1, GRID, DOWN, CUBE, GRID, ACROSS, CUBE)
        slices: NDArray[np.float32] = cut.transpose(0, 1, 4, 2, 5, 3, 6).reshape(
            -1, BINS, CUBES, CUBE * CUBE
        )
        return slices
