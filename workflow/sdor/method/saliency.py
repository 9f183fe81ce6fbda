"""Where the score comes from: class activation maps of the final ensemble (section 4.6)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdor.files import About, atomic
from sdor.method.scorer import Scorer, load_scorer
from sdor.method.sources import Sources
from sdor.method.training import SCORING_BATCH
from sdor.networks.backbones import pooled
from sdor.networks.compute import Compute
from sdor.networks.feature_table import write_features
from sdor.networks.inputs import Inputs
from sdor.networks.passes import outputs
from sdor.video.store import Rows


def write_saliency(
    models: Sequence[Path], sources: Sources, output: Path, *, trainable: str, compute: Compute
) -> None:
    """Write the localised scores of all frames as an .npy array (frames, h, w) of float32.

    Each map is the mean of `class_activation` over the models of all iterations, so its own mean
    over (h, w) is the frame's final score (Eq. 9).

    Parameters
    ----------
    sources : their rows are the trunk's maps if `trainable` is "layer4", else the clips' frames.

    Raises
    ------
    SdorError : an input is damaged or does not fit to the others.
    """
    total = localised_scores(models, sources, trainable=trainable, compute=compute)
    with atomic(output) as temporary:
        np.save(temporary, total)


def localised_scores(
    models: Sequence[Path],
    sources: Sources,
    places: Rows | None = None,
    *,
    trainable: str,
    compute: Compute,
) -> NDArray[np.float32]:
    """The maps (frames, h, w) that `write_saliency` writes, of all frames or of some.

    Parameters
    ----------
    places : of the frames in the sources' index, from 0; None: all.
    """
    inputs, frames = sources.open("layer4" if trainable == "layer4" else "all", compute)
    rows = frames["row"].to_numpy()
    rows = rows if places is None else rows[places]
    # Models that share the backbone's weights share its maps, which is where the time goes.
    groups = [list(models)] if trainable == "head" else [[model] for model in models]
    total: Any = np.float32(0)
    for group in groups:
        scorers = [load_scorer(model, sources.weights, trainable=trainable) for model in group]
        for scorer in scorers:
            compute.place(scorer)
        total = total + _localised(scorers, inputs, rows) / len(models)
    maps: NDArray[np.float32] = total
    return maps


def _localised(scorers: Sequence[Scorer], inputs: Inputs, rows: Rows) -> NDArray[np.float32]:
    """Summed localised scores (rows, h, w) of scorers that have their last maps in common."""

    def localised(batch: Tensor) -> Tensor:
        maps = scorers[0].last_maps(batch)
        return torch.stack([class_activation(one.head, maps) for one in scorers]).sum(0)

    size = SCORING_BATCH[scorers[0].backbone.architecture.frames]
    return np.concatenate([*outputs(localised, inputs, rows, size, "saliency")])


def class_activation(head: nn.Sequential, maps: Tensor) -> Tensor:
    """Last feature maps (B, D, h, w) or (B, D, t, h, w) → where the score comes from (B, h, w).

    The class activation map of section 4.6, made exact for a head with a hidden layer. With
    h = Wq + b, only the units with h > 0 reach the score, so phi is linear around each frame:
    w_eff = Wᵀ(w ⊙ 1[h > 0]) gives M(i, j) = Σ_k w_eff,k p_k(i, j) and a constant of the frame.
    M + constant comes back: its mean over (i, j) is the score phi(x). Time is averaged.
    """
    layer, _, output = head
    with torch.autocast(maps.device.type, enabled=False):
        maps = maps.float()
        maps = maps.mean(2) if maps.dim() == 5 else maps
        active = (layer(pooled(maps)) > 0).float() * output.weight
        effective = active @ layer.weight
        constant = active @ layer.bias + output.bias
        activation = torch.einsum("bd,bdhw->bhw", effective, maps)
        localised: Tensor = activation + constant[:, None, None]
    return localised


def write_hidden(
    model: Path,
    sources: Sources,
    output: Path,
    *,
    trainable: str,
    compute: Compute,
    about: About,
) -> None:
    """Write the hidden layer of a trained scorer as features (clip, frame, feature) of all frames.

    These are the features of the trained model that Del Giorno et al. #2 in Table 1 works on.
    """
    scorer = load_scorer(model, sources.weights, trainable=trainable)
    compute.place(scorer)
    inputs, frames = sources.open(trainable, compute)
    rows, size = frames["row"].to_numpy(), SCORING_BATCH[scorer.window]

    def hidden(batch: Tensor) -> Tensor:
        features = scorer.features(batch)
        with torch.autocast(compute.device.type, enabled=False):
            activation: Tensor = scorer.head[:2](features.float())
        return activation

    values = outputs(hidden, inputs, rows, size, "features")
    write_features(output, frames[["clip", "frame"]], values, about)
