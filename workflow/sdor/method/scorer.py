"""The end-to-end anomaly scorer phi = eta(psi(x)) (section 3.2)."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.files import atomic
from sdor.networks.backbones import ARCHITECTURES, Backbone, load_backbone, pooled
from sdor.networks.provenance import read_provenance

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Scorer(nn.Module):
    """phi: a backbone psi, and a head eta of one hidden layer with a linear output (Eqs. 5-7).

    Parameters
    ----------
    backbone : psi with its trained weights, or the width of its features alone: such a scorer
        takes pooled features and no frames.
    hidden_units : width of eta's hidden layer (the paper: 100).
    seed : of the head's initial weights.
    """

    def __init__(self, backbone: Backbone | int, *, hidden_units: int = 100, seed: int = 0) -> None:
        super().__init__()
        self.backbone = None if isinstance(backbone, int) else backbone
        dims = backbone if isinstance(backbone, int) else backbone.dims
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Sequential(
                nn.Linear(dims, hidden_units), nn.ReLU(), nn.Linear(hidden_units, 1)
            )

    @property
    def psi(self) -> Backbone:
        """The backbone (a ValueError where there is none)."""
        if self.backbone is None:
            raise ValueError("this scorer takes pooled features; it has no backbone")
        return self.backbone

    @property
    def window(self) -> int:
        """Frames that one row of the input spans: more than 1 for a 3-D network."""
        return 1 if self.backbone is None else self.backbone.architecture.frames

    def forward(self, frames: Tensor) -> Tensor:
        """uint8 frames (B, H, W, C), or windows (B, T, H, W, C) → anomaly scores (B,) float32."""
        return self.score_features(pooled(self.psi.maps(frames)))

    def score_trunk_maps(self, maps: Tensor) -> Tensor:
        """Cached trunk maps, channels last (B, h, w, C) → anomaly scores (B,)."""
        return self.score_features(pooled(self.last_maps(maps, "layer4")))

    def last_maps(self, batch: Tensor, source: str) -> Tensor:
        """The backbone's last maps, of frames ("all") or of cached trunk maps ("layer4")."""
        if source == "all":
            return self.psi.maps(batch)
        maps: Tensor = self.psi.top_maps(batch.movedim(-1, 1))
        return maps

    def score_features(self, features: Tensor) -> Tensor:
        """Pooled features q (B, D) → anomaly scores eta(q) (B,) float32."""
        # The head costs nothing; in float32 close scores keep their order.
        with torch.autocast(features.device.type, enabled=False):
            score: Tensor = self.head(features.float()).squeeze(1)
        return score

    def hidden(self, features: Tensor) -> Tensor:
        """Pooled features q (B, D) → the hidden layer g(q) after its ReLU (B, hidden units)."""
        layer, relu, _ = self.head
        with torch.autocast(features.device.type, enabled=False):
            activation: Tensor = relu(layer(features.float()))
        return activation

    def saliency(self, maps: Tensor) -> Tensor:
        """Last feature maps (B, D, h, w) or (B, D, t, h, w) → where the score comes from (B, h, w).

        The class activation map of section 4.6, made exact for a head with a hidden layer. With
        h = Wq + b, only the units with h > 0 reach the score, so phi is linear around each frame:
        w_eff = Wᵀ(w ⊙ 1[h > 0]) gives M(i, j) = Σ_k w_eff,k p_k(i, j) and a constant of the frame.
        M + constant comes back: its mean over (i, j) is the score phi(x). Time is averaged.
        """
        layer, _, output = self.head
        with torch.autocast(maps.device.type, enabled=False):
            maps = maps.float()
            maps = maps.mean(2) if maps.dim() == 5 else maps
            active = (layer(pooled(maps)) > 0).float() * output.weight
            effective = active @ layer.weight
            constant = active @ layer.bias + output.bias
            activation = torch.einsum("bd,bdhw->bhw", effective, maps)
            localised: Tensor = activation + constant[:, None, None]
        return localised


class TrainablePart:
    """The part of a scorer that `trainable` names: its weights, its input and its state.

    Parameters
    ----------
    trainable : "all" (from frames), "layer4" (the backbone's last stage and the head, from cached
        trunk maps) or "head" (from pooled features).
    """

    def __init__(self, scorer: Scorer, trainable: str) -> None:
        self.scorer = scorer
        self.score: Callable[[Tensor], Tensor]
        modules: list[nn.Module] = [scorer.head]
        if trainable == "all":
            self.score, modules = scorer.forward, [*scorer.psi.feature_modules(), scorer.head]
        elif trainable == "layer4":
            self.score, modules = scorer.score_trunk_maps, [*scorer.psi.top_modules(), scorer.head]
        else:
            self.score = scorer.score_features
        self.modules = modules
        scorer.requires_grad_(False)
        for module in modules:
            module.requires_grad_(True)
        wanted = {id(tensor) for module in modules for tensor in _tensors(module)}
        self._names = [
            name
            for name, tensor in scorer.state_dict(keep_vars=True).items()
            if id(tensor) in wanted
        ]

    def parameters(self) -> list[nn.Parameter]:
        """The weights that train."""
        return [parameter for module in self.modules for parameter in module.parameters()]

    def train(self, *, batchnorm: str) -> None:
        """Training mode for the part; with "frozen", batch normalisation keeps its statistics."""
        for module in self.modules:
            module.train()
            if batchnorm == "frozen":
                for layer in module.modules():
                    if isinstance(layer, BATCH_NORMS):
                        layer.eval()

    def state(self) -> dict[str, Tensor]:
        """The part's weights and statistics by their names in the scorer."""
        whole = self.scorer.state_dict()
        return {name: whole[name].contiguous() for name in self._names}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave.

        Raises
        ------
        SdorError : the state belongs to another network or part.
        """
        if set(state) != set(self._names):
            raise SdorError("the saved model is of another backbone or trainable part")
        self.scorer.load_state_dict(state, strict=False)


def save_part(part: TrainablePart, path: Path, metadata: dict[str, str]) -> None:
    """Write the trained part; what did not train is the backbone's weights file."""
    with atomic(path) as temporary:
        save_file(part.state(), temporary, metadata)


def load_scorer(
    model: Path,
    weights: Path,
    *,
    hidden_units: int = 100,
    trainable: str = "all",
    from_features: bool = False,
) -> Scorer:
    """phi as trained: the backbone's weights with the trained part laid over them, for evaluation.

    Parameters
    ----------
    from_features : leave the backbone out; the scorer then takes pooled features.

    Raises
    ------
    SdorError : the model is damaged, or of another network.
    """
    scorer = Scorer(psi_of(weights, from_features), hidden_units=hidden_units)
    try:
        state = load_file(model)
    except (OSError, SafetensorError) as error:
        raise SdorError(f"{model}: damaged model ({error}); delete it and run again") from error
    TrainablePart(scorer, trainable).load_state(state)
    return scorer.eval().requires_grad_(False)


def psi_of(weights: Path, from_features: bool) -> Backbone | int:
    """The backbone with its weights, or the width of its features where no more is needed."""
    if from_features:
        return ARCHITECTURES[read_provenance(weights).architecture].dims
    return load_backbone(weights)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
