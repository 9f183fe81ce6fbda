"""Where the score comes from: class activation maps of the final ensemble (section 4.6)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sdor.files import atomic
from sdor.method.training import SCORING_BATCH, make_repeatable, open_inputs, open_part
from sdor.networks.backbones import pooled
from sdor.networks.compute import Compute, memory_in_words
from sdor.networks.feature_table import write_features
from sdor.networks.inputs import batched
from sdor.progress import track


def write_saliency(
    models: Sequence[Path],
    weights: Path,
    rows: list[Path],
    index: Path,
    output: Path,
    *,
    method: dict[str, Any],
    compute: Compute,
) -> None:
    """Write the localised scores of all frames as an .npy array (frames, h, w) of float32.

    Each map is the mean of `Scorer.saliency` over the models, so its own mean over (h, w) is the
    frame's final score (Eq. 9).

    Parameters
    ----------
    models : of iterations 1 … T.
    rows : the trunk's maps if `trainable` is "layer4", else the clips' stored frames.
    index : table of clip, frame and row of the frames that are used.

    Raises
    ------
    SdorError : an input is damaged or does not fit to the others.
    """
    make_repeatable(compute)
    source = "layer4" if method["trainable"] == "layer4" else "all"
    # Models that share the backbone's weights share its maps, which is where the time goes.
    groups = [list(models)] if method["trainable"] == "head" else [[model] for model in models]
    total: NDArray[np.float32] | None = None
    for group in groups:
        parts = [
            open_part(weights, model, method=method, compute=compute, from_features=False)
            for model in group
        ]
        scorers = [part.scorer.eval() for part in parts]
        inputs, frames = open_inputs(parts[0], rows, index, trainable=source, compute=compute)
        batches = batched(frames["row"].to_numpy(), SCORING_BATCH[scorers[0].window])
        done = 0
        stream = track(inputs.batches(batches), total=len(batches), unit="batch", label="saliency")
        with torch.inference_mode(), compute.autocast(), memory_in_words():
            for batch in stream:
                maps = scorers[0].last_maps(batch, source)
                found = torch.stack([scorer.saliency(maps) for scorer in scorers]).sum(0)
                values = found.cpu().numpy() / len(models)
                if total is None:
                    total = np.zeros((len(frames), *values.shape[1:]), np.float32)
                total[done : done + len(values)] += values
                done += len(values)
    assert total is not None
    with atomic(output) as temporary:
        np.save(temporary, total)


def write_hidden(
    model: Path,
    weights: Path,
    rows: list[Path],
    index: Path,
    output: Path,
    *,
    method: dict[str, Any],
    compute: Compute,
    about: dict[str, Any],
) -> None:
    """Write the hidden layer of a trained scorer as features (clip, frame, feature) of all frames.

    These are the features of the trained model that Del Giorno et al. #2 in Table 1 works on.
    """
    make_repeatable(compute)
    source = method["trainable"]
    part = open_part(weights, model, method=method, compute=compute)
    inputs, frames = open_inputs(part, rows, index, trainable=source, compute=compute)
    scorer = part.scorer.eval()
    batches = batched(frames["row"].to_numpy(), SCORING_BATCH[scorer.window])
    stream = track(inputs.batches(batches), total=len(batches), unit="batch", label="features")
    with torch.inference_mode(), compute.autocast(), memory_in_words():
        features = (
            batch if source == "head" else pooled(scorer.last_maps(batch, source))
            for batch in stream
        )
        values = (scorer.hidden(batch).cpu().numpy() for batch in features)
        write_features(output, frames[["clip", "frame"]], values, about)
