"""The settings of the method, typed.

A config is a flat mapping that was checked against its schema, which holds every default; here each
stage finds the settings that it uses under one name.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import UnionType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Settings:
    """Settings that are read from a complete document by the types of their fields."""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Take the fields of this class out of a document that may hold more.

        Settings within settings stand under their name, or flat among the others.
        """
        return cls(
            **{
                name: _typed(kind, document.get(name, document))
                for name, kind in get_type_hints(cls).items()
                if name in document or _is_settings(kind)
            }
        )

    def as_document(self) -> dict[str, Any]:
        """The settings as a mapping that `read` takes."""
        return asdict(self)


def _is_settings(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Settings)


def _typed(kind: Any, value: Any) -> Any:
    """A value of a document as a field's type says: settings, some or none, or a plain value."""
    kinds = [one for one in (kind, *get_args(kind)) if _is_settings(one)]
    if not kinds or not isinstance(value, Mapping):
        return tuple(value) if isinstance(value, list) else value
    if get_origin(kind) in (None, UnionType):
        return kinds[0].read(value)
    return {name: _typed(kinds[0], one) for name, one in value.items()}


@dataclass(frozen=True)
class InitialSettings(Settings):
    """Of the initial scores (section 3.1); the schema describes each."""

    pca: int
    sp_bags: int
    sp_bag_size: int
    iforest_trees: int
    iforest_samples: int
    rescale: Literal["minmax", "rank"]


@dataclass(frozen=True)
class LabelSettings(Settings):
    """Of the choice of pseudo labels (section 4.1)."""

    anomalous_fraction: float
    normal_fraction: float
    sampling: Literal["score", "uniform"]


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """Of one iteration's training (section 3.2, Eq. 8)."""

    c1: float
    c2: float
    hidden_units: int
    trainable: Literal["all", "layer4", "head"]
    loss: str  # the schema lists what `loss_of` knows
    learning_rate: float
    momentum: float
    weight_decay: float
    batch_size: int
    batch: Literal["balanced", "proportional"]
    steps_per_epoch: int | Literal["auto"]
    epochs: int
    batchnorm: Literal["train", "frozen"]


@dataclass(frozen=True)
class Method(Settings):
    """All settings of one variant."""

    backbone: str
    input_size: int
    masks: bool
    anomaly_rate: float | None
    features: Literal["pool", "logits", "softmax"]
    iterations: int
    labels_from: Literal["last", "ensemble"]
    restart: Literal["imagenet", "warm"]
    initial: InitialSettings
    labels: LabelSettings
    training: TrainingSettings

    def as_document(self) -> dict[str, Any]:
        """The flat document that `read` takes."""
        whole = asdict(self)
        parts = [whole.pop(name) for name in ("initial", "labels", "training")]
        return {key: value for part in (whole, *parts) for key, value in part.items()}

    @property
    def view(self) -> str:
        """Name of the frames that it sees: their size, and whether masks are left off."""
        return f"{self.input_size}{'' if self.masks else '-unmasked'}"


@dataclass(frozen=True)
class ComputeSettings(Settings):
    """Of where networks run, and in which precision."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "bf16", "fp32"]
