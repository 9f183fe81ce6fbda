"""Where the runs of one variant on one scene lie, and what figures and report read of them.

A file that is missing or damaged is an `SdorError` that names it.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sdor.errors import SdorError
from sdor.files import damaged, read_about, read_parquet
from sdor.study.subset import sampled_frames
from sdor.video.store import FrameStore

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Runs:
    """The runs of one variant on one scene, one a seed, below the folder of all results."""

    scene: str
    variant: str
    seeds: tuple[int, ...]
    results: Path = Path("results")

    @property
    def title(self) -> str:
        """What they are called in print."""
        return f"{self.scene}, variant {self.variant}"

    @property
    def folders(self) -> list[Path]:
        """One folder a seed."""
        return [self.results / self.scene / self.variant / f"seed{seed}" for seed in self.seeds]

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The clips of the scene: clip, split, fps, frames and more."""
        return read_parquet(self.results / self.scene / "clips.parquet")

    @cached_property
    def times(self) -> pd.DataFrame:
        """Clip, frame and time (s in the source; NaN when unknown) of every scored frame."""
        return sampled_frames(read_parquet(self.results / self.scene / "times.parquet"))

    @cached_property
    def remarks(self) -> list[str]:
        """What could not be read of the scene's clips and labels or was doubtful, a line each."""
        folder = self.results / self.scene
        about = [read_about(folder / f"{name}.parquet") for name in ("clips", "ground_truth")]
        return [str(remark) for one in about for remark in one["remarks"]]

    @cached_property
    def ground_truth(self) -> pd.DataFrame:
        """Clip, frame and anomalous of every labelled frame."""
        return read_parquet(self.results / self.scene / "ground_truth.parquet")

    def frame(self, clip: str, number: int, stored: str) -> Picture:
        """A stored frame of a clip, by its number: uint8 [height, width] or [height, width, 3].

        Parameters
        ----------
        stored : the files of frames, such as "224/{clip}.npy".

        Raises
        ------
        SdorError : the frames are damaged, missing, or of another number.
        """
        path = self.results / self.scene / "frames" / stored.format(clip=clip)
        numbers = self.times.loc[self.times["clip"] == clip, "frame"].tolist()
        store = FrameStore({clip: path})
        try:
            if len(store) != len(numbers):
                raise ValueError(f"expected {len(numbers)} frames, found {len(store)}")
            image: Picture = store.gather([numbers.index(number)])[0]
        except ValueError as error:
            raise SdorError(damaged(path, error)) from error
        return image[:, :, 0] if image.shape[2] == 1 else image


def read_scores(path: Path) -> pd.DataFrame:
    """Clip, frame and score of every frame."""
    return read_parquet(path, ["clip", "frame", "score"])
