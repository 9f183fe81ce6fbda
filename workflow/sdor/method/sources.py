"""What a scorer starts from, as the stages before left it in files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.files import damaged, read_parquet
from sdor.networks.compute import Compute
from sdor.networks.feature_table import read_features
from sdor.networks.inputs import Inputs
from sdor.networks.provenance import read_provenance
from sdor.study.backbones import ARCHITECTURES
from sdor.video.store import FrameStore


@dataclass(frozen=True)
class Sources:
    """Files that a scorer works on.

    Attributes
    ----------
    rows : the clips' frames ("all"), the trunk's maps ("layer4") or the pooled features ("head").
    index : a table of clip, frame and row (among those of `rows`) of the frames that are used.
    weights : the backbone's.
    """

    rows: Sequence[Path]
    index: Path
    weights: Path

    def open(self, source: str, compute: Compute) -> tuple[Inputs, pd.DataFrame]:
        """The rows, one a frame of the scene, and clip, frame and row of the frames that are used.

        Parameters
        ----------
        source : what the rows are: "all", "layer4" or "head".

        Raises
        ------
        SdorError : a file is damaged, or the rows are not of the frames of the index.
        """
        frames = read_parquet(self.index, ["clip", "frame", "row"])
        inputs = self._rows(source, compute)
        if len(inputs) <= int(frames["row"].max()):
            raise SdorError(
                f"{self.rows[0]}: {len(inputs)} rows, but {self.index} has {len(frames)} frames"
            )
        if isinstance(inputs.source, FrameStore):
            stored = inputs.source.index().iloc[frames["row"]]
            if not np.array_equal(stored[["clip", "frame"]], frames[["clip", "frame"]]):
                raise SdorError(f"{self.index}: of other clips than the stored frames; delete it")
        return inputs, frames

    def _rows(self, source: str, compute: Compute) -> Inputs:
        if source == "all":
            window = ARCHITECTURES[read_provenance(self.weights).architecture].frames
            store = FrameStore({path.stem: path for path in self.rows})
            return Inputs(store, compute, window=window)
        path = self.rows[0]
        if source == "head":
            return Inputs(read_features(path)[1], compute)
        try:
            return Inputs(np.load(path, mmap_mode="r"), compute)
        except (OSError, ValueError, EOFError) as error:
            raise SdorError(damaged(path, error)) from error
