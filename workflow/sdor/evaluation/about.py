"""What the numbers of a run came from, as its files say it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from sdor.files import digest_of
from sdor.networks.provenance import Provenance
from sdor.study.settings import Settings, Variant


@dataclass(frozen=True)
class Subset(Settings):
    """What is left of a scene where anomalies were left out: rates are shares of all frames."""

    target: float
    rate: float
    events_kept: int
    events: int
    seed: int = 0


@dataclass(frozen=True)
class About(Settings):
    """One run, and what its numbers came from.

    Attributes
    ----------
    overrides : what the variant changes in the method of the config.
    fingerprints, versions, device, weights : of code, data, libraries, hardware and networks.
    subset : where anomalies were left out.
    pooled : the scenes that were judged together, and the way in which.
    """

    scene: str
    variant: str
    seed: int
    method: Variant
    overrides: Mapping[str, object] = field(default_factory=dict)
    description: str = ""
    weights: Provenance | None = None
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    subset: Subset | None = None
    pooled: tuple[str, ...] = ()
    way: str = ""

    @classmethod
    def of_pool(cls, members: Sequence[Self], pool: str, way: str) -> Self:
        """Of one run of each of several scenes, whose scores are pooled "raw" or by "ranks"."""
        scenes = tuple(one.scene for one in members)
        videos = [one.fingerprints.get("video", "") for one in members]
        return replace(
            members[0],
            scene=pool,
            description=f"Scenes {', '.join(scenes)}, judged together",
            fingerprints={**members[0].fingerprints, "video": digest_of(videos)},
            pooled=scenes,
            way=way,
        )

    def as_document(self) -> dict[str, Any]:
        """For a JSON file: the method stands there as in a config."""
        return {**asdict(self), "method": self.method.as_document()}
