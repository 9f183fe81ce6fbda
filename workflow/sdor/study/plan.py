"""What a study does beside the method: feedback, evaluation, tracking, and what is compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sdor.study.settings import Settings


@dataclass(frozen=True)
class FeedbackSettings(Settings):
    """Of the expert who is simulated from the ground truth (Figure 3)."""

    rounds: int
    picks: int
    share: float
    neighbours: int
    epochs: int
    replay: float


@dataclass(frozen=True)
class EvaluationSettings(Settings):
    """Of how results are judged."""

    smoothing_sigma: float
    bootstrap_draws: int


@dataclass(frozen=True)
class TrackingSettings(Settings):
    """Of the view of the results in MLflow."""

    enabled: bool
    experiment: str
    models: Literal["main", "all", "none"]


@dataclass(frozen=True)
class Comparison(Settings):
    """Variants that are held against each other, in the order wanted, and the scenes for it."""

    variants: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()

    def on(self, scene: str) -> tuple[str, ...]:
        """Its variants on a scene; none where it is not wanted."""
        return self.variants if scene in self.scenes else ()


@dataclass(frozen=True)
class Pool(Settings):
    """Scenes that are judged together, and the scene with one model for all of them, if any."""

    scenes: tuple[str, ...]
    joint: str | None = None


@dataclass(frozen=True)
class Plan(Settings):
    """What stands beside what in tables and figures.

    Attributes
    ----------
    main : the variant that is "our method" of the paper's tables and figures.
    backbones : of Table 2. anomaly_rates : of Figure 5. ablations : by their titles.
    not_run : scene: why it was not run.
    """

    main: str
    backbones: Comparison = Comparison()
    anomaly_rates: Comparison = Comparison()
    ablations: Mapping[str, Comparison] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All of them: of backbones, of anomaly rates, and every ablation."""
        return self.backbones, self.anomaly_rates, *self.ablations.values()
