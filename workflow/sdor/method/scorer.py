"""The end-to-end anomaly scorer phi = eta(psi(x)) (section 3.2)."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.files import About, atomic
from sdor.networks.backbones import Backbone, load_backbone, pooled
from sdor.study.settings import TrainingSettings

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Scorer(nn.Module):
    """phi: a backbone psi, and a head eta of one hidden layer with a linear output (Eqs. 5-7).

    Parameters
    ----------
    backbone : psi with its trained weights.
    hidden_units : width of eta's hidden layer (the paper: 100).
    trainable : what trains, and what it starts from: "all" (from frames), "layer4" (the backbone's
        last stage and the head, from cached trunk maps) or "head" (from pooled features).
    seed : of the head's initial weights.
    """

    def __init__(
        self, backbone: Backbone, *, hidden_units: int = 100, trainable: str = "all", seed: int = 0
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.trainable = trainable
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Sequential(
                nn.Linear(backbone.dims, hidden_units), nn.ReLU(), nn.Linear(hidden_units, 1)
            )
        self.requires_grad_(False)
        for module in self.trained_modules():
            module.requires_grad_(True)

    @property
    def window(self) -> int:
        """Frames that a row of what it starts from stands for: more than 1 for a 3-D network."""
        return 1 if self.trainable == "head" else self.backbone.architecture.frames

    def forward(self, batch: Tensor) -> Tensor:
        """Anomaly scores (B,) float32 of what the trained part starts from.

        Parameters
        ----------
        batch : uint8 frames (B, H, W, C), or windows (B, T, H, W, C); cached trunk maps, channels
            last; or pooled features q (B, D).
        """
        return self.score_features(self.features(batch))

    def features(self, batch: Tensor) -> Tensor:
        """Pooled features q (B, D) of what the trained part starts from."""
        return batch if self.trainable == "head" else pooled(self.last_maps(batch))

    def last_maps(self, batch: Tensor) -> Tensor:
        """The backbone's last maps, of cached trunk maps if "layer4" trains, else of frames."""
        if self.trainable == "layer4":
            return self.backbone.top_maps(batch.movedim(-1, 1))
        return self.backbone.maps(batch)

    def score_features(self, features: Tensor) -> Tensor:
        """Pooled features q (B, D) → anomaly scores eta(q) (B,) float32."""
        # The head costs nothing; in float32 close scores keep their order.
        with torch.autocast(features.device.type, enabled=False):
            score: Tensor = self.head(features.float()).squeeze(1)
        return score

    def trained_modules(self) -> list[nn.Module]:
        """What trains: the head, and what `trainable` names of the backbone."""
        if self.trainable == "head":
            return [self.head]
        trunk = self.backbone.trunk if self.trainable == "all" else []
        return [*trunk, *self.backbone.top, self.head]

    def train_mode(self, *, batchnorm: str) -> None:
        """Training mode for what trains; "frozen" batch normalisation keeps its statistics."""
        for module in self.trained_modules():
            for layer in module.modules():
                layer.train(batchnorm == "train" or not isinstance(layer, BATCH_NORMS))

    def trained_state(self) -> dict[str, Tensor]:
        """Weights and statistics of what trains, by their names in the scorer."""
        states = [module.state_dict(keep_vars=True) for module in self.trained_modules()]
        trained = {id(tensor) for state in states for tensor in state.values()}
        return {
            name: tensor.detach().contiguous()
            for name, tensor in self.state_dict(keep_vars=True).items()
            if id(tensor) in trained
        }

    def load_trained(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `trained_state` gave.

        Raises
        ------
        SdorError : the state belongs to another network or trainable part.
        """
        if set(state) != set(self.trained_state()):
            raise SdorError("the saved model is of another backbone or trainable part")
        self.load_state_dict(state, strict=False)


def new_scorer(backbone: Backbone, settings: TrainingSettings, *, seed: Sequence[int]) -> Scorer:
    """phi before its training: a copy of the backbone, where it takes part, and a new head.

    Parameters
    ----------
    seed : numbers that the head's initial weights follow from.
    """
    return Scorer(
        backbone if settings.trainable == "head" else copy.deepcopy(backbone),
        hidden_units=settings.hidden_units,
        trainable=settings.trainable,
        seed=int(np.random.default_rng(seed).integers(2**31)),
    )


def save_scorer(scorer: Scorer, path: Path, about: About) -> None:
    """Write what was trained; the rest is the backbone's weights file."""
    with atomic(path) as temporary:
        save_file(scorer.trained_state(), temporary, {"sdor": json.dumps(dict(about))})


def load_scorer(model: Path, weights: Path, *, trainable: str) -> Scorer:
    """phi as trained: the backbone's weights with the trained part laid over them.

    Raises
    ------
    SdorError : the model is damaged, or of another network.
    """
    try:
        state = load_file(model)
        hidden_units = len(state["head.0.bias"])
    except (OSError, SafetensorError, KeyError) as error:
        raise SdorError(f"{model}: damaged model ({error}); delete it and run again") from error
    scorer = Scorer(load_backbone(weights), hidden_units=hidden_units, trainable=trainable)
    scorer.load_trained(state)
    return scorer.eval()
