"""Features of every frame (section 4.1), and the frozen trunk's maps for partial training."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdor.compute import Compute, memory_in_words
from sdor.errors import SdorError
from sdor.files import atomic, damaged, open_parquet, schema_metadata
from sdor.frames import FrameStore
from sdor.inputs import Inputs
from sdor.jobs import track
from sdor.weights import load_backbone

BATCH_SIZE = {1: 32, 16: 4}  # by the frames that the network looks at: about 1 GiB of activations
ROW_GROUP = 1024  # frames


def extract_features(
    store: FrameStore,
    weights: Path,
    output: Path,
    *,
    layer: str,
    compute: Compute,
    about: dict[str, Any],
) -> None:
    """Run the trained backbone over all frames and write one feature a frame to Parquet.

    Parameters
    ----------
    layer : "pool", "logits" or "softmax" (see `Backbone.features`).

    The file has the columns clip, frame and feature (fixed-size list of float32), a row group for
    each thousand frames, so that memory does not grow with the video.
    """
    backbone = load_backbone(weights)
    compute.place(backbone)
    inputs = Inputs(store, compute, window=backbone.architecture.frames)
    waiting: list[NDArray[np.float32]] = []
    index = store.index()
    with atomic(output) as temporary, ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(compute.autocast())
        stack.enter_context(memory_in_words())
        writer: pq.ParquetWriter | None = None
        written = 0
        for batch in _all_frames(inputs, "features"):
            waiting.append(backbone.features(batch, layer).cpu().numpy())
            rows = sum(map(len, waiting))
            if rows < ROW_GROUP and written + rows < len(index):
                continue
            values = np.concatenate(waiting)
            waiting.clear()
            if writer is None:
                schema = _feature_schema(values.shape[1]).with_metadata(schema_metadata(about))
                writer = stack.enter_context(pq.ParquetWriter(temporary, schema, compression=None))
            part = index.iloc[written : written + rows]
            writer.write_table(_feature_table(part, values, writer.schema))
            written += rows


def extract_trunk_maps(store: FrameStore, weights: Path, output: Path, *, compute: Compute) -> None:
    """Run the frozen trunk over all frames once, for training that leaves it as it is.

    Writes an .npy array (frames, h, w, C), or (frames, t, h, w, C) for a 3-D network; bfloat16 is
    stored by its bytes as uint16.
    """
    backbone = load_backbone(weights)
    compute.place(backbone)
    inputs = Inputs(store, compute, window=backbone.architecture.frames)
    written = False
    with (
        atomic(output) as temporary,
        temporary.open("wb") as file,
        torch.inference_mode(),
        compute.autocast(),
        memory_in_words(),
    ):
        for batch in _all_frames(inputs, "trunk maps"):
            maps = backbone.trunk_maps(batch).movedim(1, -1).to(compute.activation_dtype)
            values = maps.contiguous().cpu()
            stored = (values.view(torch.uint16) if compute.bf16 else values).numpy()
            if not written:
                header = np.lib.format.header_data_from_array_1_0(stored)
                header["shape"] = (len(store), *stored.shape[1:])
                np.lib.format.write_array_header_1_0(file, header)
                written = True
            file.write(stored.tobytes())


def open_trunk_maps(path: Path, compute: Compute) -> Inputs:
    """The cached maps as training inputs (rows of maps, channels last)."""
    try:
        maps = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise SdorError(damaged(path, error)) from error
    dtype = torch.bfloat16 if maps.dtype == np.uint16 else None
    return Inputs(maps, compute, dtype=dtype)


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
    indices = []
    done = 0
    try:
        for batch in file.iter_batches(batch_size=4096):
            values = batch.column("feature").flatten().to_numpy()
            features[done : done + batch.num_rows] = values.reshape(-1, dims)
            indices.append(batch.select(["clip", "frame"]).to_pandas())
            done += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise SdorError(damaged(path, error)) from error
    return pd.concat(indices, ignore_index=True), features


def _all_frames(inputs: Inputs, label: str) -> Iterator[Tensor]:
    """Batches of all frames, in order."""
    batches = inputs.in_order(BATCH_SIZE[inputs.window])
    return track(inputs.batches(batches), total=len(batches), unit="batch", label=label)


def _feature_schema(dims: int) -> pa.Schema:
    return pa.schema(
        [
            ("clip", pa.string()),
            ("frame", pa.int64()),
            ("feature", pa.list_(pa.float32(), dims)),
        ]
    )


def _feature_table(rows: pd.DataFrame, values: NDArray[np.float32], schema: pa.Schema) -> pa.Table:
    feature = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    columns = [pa.array(rows["clip"]), pa.array(rows["frame"]), feature]
    return pa.Table.from_arrays(columns, schema=schema)
