"""What a scorer starts from, as the stages before left it in files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.errors import SdorError
from sdor.files import read_array, read_parquet
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
        path, window = self.rows[0], 1
        rows: FrameStore | NDArray[Any]
        if source == "all":
            rows = FrameStore({path.stem: path for path in self.rows})
            window = ARCHITECTURES[read_provenance(self.weights).architecture].frames
        elif source == "head":
            rows = read_features(path)[1]
        else:
            rows = read_array(path)
        if len(rows) <= int(frames["row"].max()):
            raise SdorError(f"{path}: {len(rows)} rows, but {self.index} has {len(frames)} frames")
        if isinstance(rows, FrameStore):
            stored = rows.index().iloc[frames["row"]]
            if not np.array_equal(stored[["clip", "frame"]], frames[["clip", "frame"]]):
                raise SdorError(f"{self.index}: of other clips than the stored frames; delete it")
        return Inputs(rows, compute, window=window), frames
