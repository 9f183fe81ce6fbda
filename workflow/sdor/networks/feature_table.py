"""Tables of features: clip, frame and a fixed-size list of float32, read and written in pieces.

They stand apart from the networks that make them: who reads features has no need of torch.
"""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sdor.errors import SdorError
from sdor.files import About, atomic, damaged, open_parquet, schema_metadata

ROW_GROUP = 1024  # frames


def write_features(
    output: Path,
    index: pd.DataFrame,
    batches: Iterable[NDArray[np.float32]],
    about: About,
) -> None:
    """Write features to Parquet as they come: columns clip, frame, feature.

    Parameters
    ----------
    index : clip and frame of every row. batches : their features, (rows, dims) at a time, in order.
    """
    waiting: list[NDArray[np.float32]] = []
    written = 0
    with atomic(output) as temporary, ExitStack() as stack, ThreadPoolExecutor(1) as thread:
        writer: pq.ParquetWriter | None = None
        writing: Future[None] | None = None
        for batch in batches:
            waiting.append(batch)
            rows = sum(map(len, waiting))
            if rows < ROW_GROUP and written + rows < len(index):
                continue
            values = np.concatenate(waiting)
            part = index.iloc[written : written + rows]
            features = pa.FixedSizeListArray.from_arrays(values.reshape(-1), values.shape[1])
            clips, frames = pa.array(part["clip"], pa.string()), pa.array(part["frame"], pa.int64())
            table = pa.table({"clip": clips, "frame": frames, "feature": features})
            if writer is None:
                schema = table.schema.with_metadata(schema_metadata(about))
                writer = stack.enter_context(pq.ParquetWriter(temporary, schema, compression=None))
            if writing:
                writing.result()
            writing = thread.submit(writer.write_table, table.cast(writer.schema))
            waiting.clear()
            written += rows
        if writing:
            writing.result()


def read_features(path: Path) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Read a features file without holding it twice.

    Returns
    -------
    index : table of clip and frame.
    features : (frames, dims) float32.

    Raises
    ------
    SdorError : the file is damaged.
    """
    file = open_parquet(path)
    dims = file.schema_arrow.field("feature").type.list_size
    features = np.empty((file.metadata.num_rows, dims), np.float32)
    done = 0
    try:
        index = file.read(["clip", "frame"]).to_pandas()
        for batch in file.iter_batches(batch_size=4096, columns=["feature"]):
            values = batch.column("feature").flatten().to_numpy()
            features[done : done + batch.num_rows] = values.reshape(-1, dims)
            done += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise SdorError(damaged(path, error)) from error
    return index, features
