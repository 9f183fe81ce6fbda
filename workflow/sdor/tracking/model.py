"""The final ensemble as one model: frames in, mean score out, no code of ours needed to load it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sdor.method.scorer import Scorer, load_scorer
from sdor.networks.backbones import pooled
from sdor.tracking.runs import RunFiles
from sdor.video.store import FrameStore


class Ensemble(nn.Module):
    """The mean of phi_1 … phi_T (Eq. 9); what was not trained is there once, and computed once."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        super().__init__()
        trained = [scorer.trained_modules() for scorer in scorers]
        self.psi = scorers[0].backbone
        parts = self.psi.trunk + self.psi.top
        # What of the network is no part of psi, its classifier, is left out.
        self.psi.net = nn.Identity()
        self.shared = nn.Sequential(*parts[: len(parts) - len(trained[0]) + 1])
        self.tops = nn.ModuleList(nn.Sequential(*modules[:-1]) for modules in trained)
        self.heads = nn.ModuleList(modules[-1] for modules in trained)

    def forward(self, frames: Tensor) -> Tensor:
        """uint8 frames (B, H, W, C), or windows (B, T, H, W, C) → anomaly scores (B,) float32."""
        maps = self.shared(self.psi.normalise(frames))
        members = zip(self.tops, self.heads, strict=True)
        return torch.stack([head(pooled(top(maps))).squeeze(1) for top, head in members]).mean(0)


def load_ensemble(run: RunFiles) -> tuple[Ensemble, npt.NDArray[np.uint8]]:
    """The trained models of all iterations as one, in evaluation mode on the CPU.

    Returns
    -------
    The ensemble, and as examples of its input the first uint8 frames (4, H, W, C) of the run, or
    windows (4, T, H, W, C) for a 3-D network.

    Raises
    ------
    SdorError : a model or the weights are damaged, or not of one network.
    """
    weights = Path(run.weights)
    scorers = [load_scorer(Path(one), weights, trainable=run.trainable) for one in run.models]
    ensemble = Ensemble(scorers).eval().requires_grad_(False)
    store = FrameStore({clip: Path(path) for clip, path in run.frames.items()})
    rows = np.arange(4)  # an exported batch of one would stay a batch of one
    window = scorers[0].backbone.architecture.frames
    return ensemble, store.gather_windows(rows, window) if window > 1 else store.gather(rows)
