"""The final ensemble as one model for MLflow: frames in, mean score out, no code of ours needed."""

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sdor.files import read_parquet
from sdor.method.scorer import Scorer, load_scorer
from sdor.networks.backbones import Backbone, pooled
from sdor.study.fingerprint import versions_of
from sdor.video.store import FrameStore

EXAMPLES = 4  # frames; an exported batch of one would stay a batch of one


@dataclass(frozen=True)
class Example:
    """Frames of the scene that show what the model takes.

    Attributes
    ----------
    frames : uint8 (B, H, W, C), or windows (B, T, H, W, C) for a 3-D network.
    rows : clip, frame (from 1) and score (of `ensemble.parquet`) of each.
    """

    frames: npt.NDArray[np.uint8]
    rows: list[dict[str, Any]]


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


def load_ensemble(models: Sequence[Path], weights: Path, *, method: Mapping[str, Any]) -> Ensemble:
    """The trained models of all iterations as one, in evaluation mode on the CPU.

    Raises
    ------
    SdorError : a model or the weights are damaged, or not of one network.
    """
    trainable = method["trainable"]
    scorers = (load_scorer(path, weights, trainable=trainable) for path in models)
    members = [next(scorers)]
    trained = set(members[0].trained_state())
    shared = {
        name: tensor
        for name, tensor in members[0].state_dict(keep_vars=True).items()
        if name not in trained
    }
    for scorer in scorers:
        own = scorer.state_dict(keep_vars=True)
        # A copy of the scorer in which the frozen tensors are those of the first one.
        members.append(copy.deepcopy(scorer, {id(own[name]): shared[name] for name in shared}))
    for scorer in members:
        _drop_classifier(scorer.psi)
    return Ensemble(members, trainable).eval().requires_grad_(False)


def examples(frame_files: Mapping[str, Path], ensemble_path: Path, *, window: int) -> Example:
    """The frames of highest and lowest score, read from a memory map.

    Parameters
    ----------
    frame_files : the stored frames of every clip, in the scene's order.
    window : frames that the network looks at around each one.
    """
    store = FrameStore(frame_files)
    scores = read_parquet(ensemble_path, ["clip", "frame", "score"])
    order = np.argsort(-scores["score"].to_numpy(), kind="stable")
    chosen = scores.iloc[[*order[: EXAMPLES // 2], *order[-(EXAMPLES // 2) :]]]
    index = store.index().reset_index(names="row")
    rows = chosen.merge(index, on=["clip", "frame"])["row"].to_numpy()
    frames = store.gather_windows(rows, window) if window > 1 else store.gather(rows)
    named = zip(chosen["clip"], chosen["frame"], chosen["score"], strict=True)
    return Example(
        frames,
        [
            {"clip": clip, "frame": int(frame), "score": float(score)}
            for clip, frame, score in named
        ],
    )


def save_ensemble(ensemble: Ensemble, example: Example, folder: Path, **identity: Any) -> None:
    """Write an MLflow model: an exported graph with its weights, which loads without this package.

    Parameters
    ----------
    folder : must not be there yet.
    identity : of the model in the store, for MLflow's own record of it.
    """
    import mlflow.pytorch  # seconds, which only this takes
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    inputs = TensorSpec(np.dtype(np.uint8), (-1, *example.frames.shape[1:]))
    output = TensorSpec(np.dtype(np.float32), (-1,))
    with _quiet():
        mlflow.pytorch.save_model(
            ensemble,
            folder,
            mlflow_model=Model(**identity),
            signature=ModelSignature(Schema([inputs]), Schema([output])),
            input_example=example.frames,
            serialization_format="pt2",
            pip_requirements=[
                f"{name}=={version}"
                for name, version in versions_of("mlflow", "numpy", "torch").items()
            ],
        )


def _drop_classifier(psi: Backbone) -> None:
    """Leave out what no score needs; of VGG-16 it is nine tenths."""
    needed = {module for part in psi.feature_modules() for module in part.modules()}
    for name, child in list(psi.net.named_children()):
        if needed.isdisjoint(child.modules()):
            setattr(psi.net, name, nn.Identity())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes of the exporter and of MLflow, which ask nothing of the user."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "torch.export", "torch._export")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
