"""The settings of the method, typed.

A config is a flat mapping that was checked against its schema, which holds every default; here each
stage finds the settings that it uses under one name.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import UnionType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

MOTION_SIZE = "360x240"  # pixels of the frames that motion is looked for in


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

    @classmethod
    def fits(cls, document: Mapping[str, Any]) -> bool:
        """Whether a document is of these settings, where several kinds may stand."""
        del document
        return True

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
        return next(one for one in kinds if one.fits(value)).read(value)
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
class Approach(Settings):
    """What every approach has: a network, the frames that it sees, and its iterations."""

    backbone: str
    input_size: int
    masks: bool
    anomaly_rate: float | None
    iterations: int

    @property
    def view(self) -> str:
        """Name of the frames that it sees: their size, and whether masks are left off."""
        return f"{self.input_size}{'' if self.masks else '-unmasked'}"

    def _flat(self, *parts: str) -> dict[str, Any]:
        """The flat document that `read` takes, of settings in parts."""
        whole = asdict(self)
        within = [whole.pop(name) for name in parts]
        return {key: value for part in (whole, *within) for key, value in part.items()}


@dataclass(frozen=True)
class Method(Approach):
    """All settings of a variant of the paper's approach."""

    features: Literal["pool", "logits", "softmax"]
    labels_from: Literal["last", "ensemble"]
    restart: Literal["imagenet", "warm"]
    initial: InitialSettings
    labels: LabelSettings
    training: TrainingSettings

    def as_document(self) -> dict[str, Any]:
        """The flat document that `read` takes."""
        return self._flat("initial", "labels", "training")


@dataclass(frozen=True)
class StartSettings(Settings):
    """Of the detectors that say what to learn first; the schema describes each."""

    detectors: tuple[Literal["speed", "relative_speed", "appearance"], ...]


@dataclass(frozen=True)
class MapSettings(Settings):
    """Of the maps that places are looked at in."""

    fps: float | None
    stages: tuple[Literal["trunk", "top"], ...]
    components: int

    @property
    def name(self) -> str:
        """What the file of such maps is called: "trunk-top-48-5fps", or "top-48-all"."""
        rate = "all" if self.fps is None else f"{self.fps}fps"
        return f"{'-'.join(self.stages)}-{self.components}-{rate}"

    @classmethod
    def named(cls, name: str) -> Self:
        """The settings of that name."""
        *stages, components, rate = name.split("-")
        fps = None if rate == "all" else float(rate.removesuffix("fps"))
        return cls.read({"fps": fps, "stages": stages, "components": int(components)})


@dataclass(frozen=True)
class PlaceLabelSettings(Settings):
    """Of the choice of pseudo labels among places."""

    places: int
    anomalous_fractions: tuple[float, ...]
    normal_fraction: float
    normal: Literal["typical", "lowest"]
    moving_share: float


@dataclass(frozen=True)
class PlaceTrainingSettings(Settings):
    """Of the heads that learn them, and of the scores that they give."""

    places: int
    trainable: Literal["all", "layer4", "head"]
    heads: int
    hidden_units: int
    learning_rate: float
    batch_size: int
    steps: int


@dataclass(frozen=True)
class MotionMethod(Approach):
    """All settings of a variant of the approach "motion"."""

    start: StartSettings
    maps: MapSettings
    labels: PlaceLabelSettings
    training: PlaceTrainingSettings

    @property
    def cells(self) -> str:
        """Name of the frames in which it looks for motion."""
        return f"{MOTION_SIZE}-grey{'' if self.masks else '-unmasked'}"

    @classmethod
    def fits(cls, document: Mapping[str, Any]) -> bool:
        """Whether a document is of this approach."""
        return document.get("approach") == "motion"

    def as_document(self) -> dict[str, Any]:
        """The flat document that `read` takes."""
        return {"approach": "motion", **self._flat("start", "maps", "labels", "training")}


Variant = MotionMethod | Method


@dataclass(frozen=True)
class ComputeSettings(Settings):
    """Of where networks run, and in which precision."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "bf16", "fp32", "int8"]


@dataclass(frozen=True)
class FrameSettings(Settings):
    """Of how decoded frames are kept."""

    store: Literal["raw", "jpeg"]
    quality: int

    @property
    def coding(self) -> dict[str, int]:
        """What a writer has to know beside the name of its file."""
        return {"quality": self.quality} if self.store == "jpeg" else {}

    def named(self, view: str) -> str:
        """The files of a view below the folder of a scene's frames; {clip} stands for the clip."""
        return f"{view}/{{clip}}{'.npy' if self.store == 'raw' else '.arrow'}"


@dataclass(frozen=True)
class EventSettings(Settings):
    """Of the events that a person is shown: a budget of attention, no threshold."""

    budget: int
    per: Literal["scene", "day"]
    lead: float  # s that are watched before an event begins
