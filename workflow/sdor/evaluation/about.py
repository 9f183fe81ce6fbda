"""What the numbers of a run came from, as its files say it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from sdor.files import digest_of
from sdor.networks.provenance import Provenance
from sdor.study.settings import Method


@dataclass(frozen=True)
class Subset:
    """What is left of a scene where anomalies were left out: rates are shares of all frames."""

    target: float
    rate: float
    events_kept: int
    events: int
    seed: int = 0


@dataclass(frozen=True)
class About:
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
    method: Method
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
    def read(cls, document: Mapping[str, Any]) -> Self:
        """From what `as_document` gave.

        Raises
        ------
        KeyError, TypeError : it does not say which scene, variant, seed and method it is of.
        """
        about = cls(**{**document, "method": Method.read(document["method"])})
        return replace(
            about,
            weights=Provenance(**about.weights) if isinstance(about.weights, dict) else None,
            subset=Subset(**about.subset) if isinstance(about.subset, dict) else None,
            pooled=tuple(about.pooled),
        )

    @classmethod
    def of_pool(cls, members: Sequence[Self], pool: str, way: str) -> Self:
        """Of the runs of several scenes, judged together.

        Parameters
        ----------
        members : of each scene, of the same variant and seed.
        way : how their scores are pooled, "raw" or "ranks".
        """
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
        """For a JSON file, without what is empty."""
        known = {name: value for name, value in asdict(self).items() if value not in (None, (), "")}
        return {**known, "method": self.method.as_document()}
