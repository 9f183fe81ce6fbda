"""The final ensemble as one model: frames in, mean score out, no code of ours needed to load it."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sdor.method.scorer import Scorer, load_scorer
from sdor.networks.backbones import Backbone, pooled
from sdor.video.store import FrameStore


@dataclass(frozen=True)
class ModelFiles:
    """What the ensemble of a run is put together from.

    Attributes
    ----------
    models : of all iterations. weights : of the backbone.
    frames : clip: its stored frames, in the scene's order.
    trainable : what differs between the models.
    """

    models: Sequence[str]
    weights: str
    frames: Mapping[str, str]
    trainable: Literal["all", "layer4", "head"]


class Ensemble(nn.Module):
    """The mean of phi_1 … phi_T (Eq. 9); what was not trained is held and computed once.

    Parameters
    ----------
    members : phi_1 … phi_T.
    trainable : what differs between them: "all", "layer4" or "head".
    """

    def __init__(self, members: Sequence[Scorer], trainable: str) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.trainable = trainable
        self.window = members[0].window

    def forward(self, frames: Tensor) -> Tensor:
        """uint8 frames (B, H, W, C), or windows (B, T, H, W, C) → anomaly scores (B,) float32."""
        return torch.stack(list(self._scores(frames))).mean(0)

    def _scores(self, frames: Tensor) -> Iterator[Tensor]:
        members: list[Any] = list(self.members)
        first = members[0].psi
        if self.trainable == "all":
            for member in members:
                yield member(frames)
        elif self.trainable == "layer4":
            maps = first.trunk_maps(frames)
            for member in members:
                yield member.score_features(pooled(member.psi.top_maps(maps)))
        else:
            features = pooled(first.maps(frames))
            for member in members:
                yield member.score_features(features)


def load_ensemble(files: ModelFiles) -> Ensemble:
    """The trained models of all iterations as one, in evaluation mode on the CPU.

    Raises
    ------
    SdorError : a model or the weights are damaged, or not of one network.
    """
    scorers = [
        load_scorer(Path(path), Path(files.weights), trainable=files.trainable)
        for path in files.models
    ]
    trained = set(scorers[0].trained_state())
    first = scorers[0].state_dict(keep_vars=True)
    members = scorers[:1]
    for scorer in scorers[1:]:
        own = scorer.state_dict(keep_vars=True)
        # A copy in which the frozen tensors are those of the first one.
        frozen = {id(own[name]): first[name] for name in first if name not in trained}
        members.append(copy.deepcopy(scorer, frozen))
    for scorer in members:
        _drop_classifier(scorer.psi)
    return Ensemble(members, files.trainable).eval().requires_grad_(False)


def examples(files: ModelFiles, *, window: int) -> npt.NDArray[np.uint8]:
    """Some frames of the first clip (an exported batch of one would stay a batch of one).

    Parameters
    ----------
    window : frames that the network looks at around each one.

    Returns
    -------
    uint8 frames (4, H, W, C), or windows (4, T, H, W, C) for a 3-D network.
    """
    store, rows = FrameStore({clip: Path(path) for clip, path in files.frames.items()}), range(4)
    return store.gather_windows(rows, window) if window > 1 else store.gather(rows)


def _drop_classifier(psi: Backbone) -> None:
    """Leave out what no score needs; of VGG-16 it is nine tenths."""
    needed = {module for part in psi.feature_modules() for module in part.modules()}
    for name, child in list(psi.net.named_children()):
        if needed.isdisjoint(child.modules()):
            setattr(psi.net, name, nn.Identity())
