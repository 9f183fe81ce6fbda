"""Where the files between the stages lie, and which of them a stage starts from."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sdor.study.scenes import Scene
from sdor.study.settings import FrameSettings, Method, MotionMethod, Variant
from sdor.study.study import Study

RUN = "results/{scene}/{variant}/seed{seed}"
DEL_GIORNO = ("w100", "w10")
CHANNELS = {"appearance": "_appearance", "motion": "_motion", "fused": ""}


@dataclass(frozen=True)
class Run:
    """One run of the method, on a scene, with the settings of a variant, from a seed.

    All paths are relative to the working directory.
    """

    study: Study
    scene: str
    variant: str
    seed: int

    @property
    def method(self) -> Variant:
        """The variant's settings."""
        return self.study.methods[self.variant]

    @property
    def paper(self) -> Method:
        """The variant's settings, where its approach is the paper's."""
        assert isinstance(self.method, Method), f"{self.variant} has another approach"
        return self.method

    @property
    def motion(self) -> MotionMethod:
        """The variant's settings, where its approach is "motion"."""
        assert isinstance(self.method, MotionMethod), f"{self.variant} has another approach"
        return self.method

    @property
    def folder(self) -> str:
        """Everything that is the run's own lies here."""
        return RUN.format(scene=self.scene, variant=self.variant, seed=self.seed)

    @property
    def weights(self) -> str:
        """The trained weights of its backbone."""
        return f"results/weights/{self.method.backbone}.safetensors"

    @property
    def frames(self) -> dict[str, str]:
        """Clip: its frames as the method sees them, in the scene's order."""
        known = {**self.study.cameras, **self.study.scenes}
        return stored_frames(known[self.scene], self.method.view, self.study.frames)

    def features(self, layer: str = "") -> str:
        """Features of all frames, of a layer; of the one that the initial scores start from."""
        own = self.method.features if isinstance(self.method, Method) else "pool"
        return self._of_frames("features", f"-{layer or own}", "parquet")

    @property
    def bins(self) -> str:
        """Features of the quarters of all frames."""
        return self._of_frames("features", "-bins", "npy")

    @property
    def rows(self) -> list[str]:
        """What the trainable part starts from: features or components, trunk maps, or frames."""
        motion = isinstance(self.method, MotionMethod)
        match self.method.training.trainable:
            case "head":
                return [self.maps if motion else self.features("pool")]
            case "layer4":
                return [self._of_frames("trunk", "", "npy")]
            case "all":
                return list(self.frames.values())

    @property
    def mapped_rows(self) -> list[str]:
        """What saliency maps start from: the trunk's maps where they are kept, else frames."""
        kept = self.paper.training.trainable == "layer4"
        return self.rows if kept else list(self.frames.values())

    @property
    def least_frames(self) -> int:
        """How many it needs: a bag of Sp, and one member of A and of N."""
        labels = self.paper.labels
        share = min(labels.anomalous_fraction, labels.normal_fraction)
        return max(self.paper.initial.sp_bag_size, math.ceil(1 / share))

    @property
    def flow(self) -> str:
        """Motion in the cells of the frames."""
        return f"results/{self.scene}/flow/{self.motion.cells}.parquet"

    @property
    def maps(self) -> str:
        """Principal components of the places of the frames that the network looks at."""
        method = self.motion
        folder = f"results/{self.scene}/maps/{method.backbone}-{method.view}"
        return f"{folder}/{method.maps.name}.npy"

    @property
    def times(self) -> dict[str, str]:
        """Clip: the times of its frames, in the scene's order."""
        return {clip: str(Path(file).with_suffix(".parquet")) for clip, file in self.frames.items()}

    @property
    def subset(self) -> dict[str, str]:
        """The frames that are used, where it is not all of the scene."""
        rated = self.method.anomaly_rate is not None
        return {"subset": f"{self.folder}/subset.parquet"} if rated else {}

    @property
    def initial(self) -> str:
        """The initial scores; a compared variant shares those of the first that starts alike."""
        first = self
        if self.variant not in self.study.shown():
            others = (replace(self, variant=one) for one in self.study.variants_of(self.scene))
            first = next((one for one in others if one._start() == self._start()), self)
        return f"{first.folder}/initial.parquet"

    def each(self, name: str, iterations: Iterable[int] | None = None) -> list[str]:
        """A file of each iteration, or of those given."""
        each = range(1, self.method.iterations + 1) if iterations is None else iterations
        return [f"{self.folder}/iteration{t}/{name}" for t in each]

    def scores_before(self, t: int) -> list[str]:
        """The scores by which the pseudo labels of iteration t are chosen."""
        if t == 1:
            return [self.initial]
        every = isinstance(self.method, Method) and self.method.labels_from == "ensemble"
        return self.each("scores.parquet", range(1, t) if every else [t - 1])

    def places_before(self, t: int) -> str:
        """The scores of places by which the pseudo labels of iteration t are chosen."""
        first = str(Path(self.initial).with_suffix(".npy"))
        return self.each("places.npy", [t - 1])[0] if t > 1 else first

    @property
    def seen_first(self) -> dict[str, str]:
        """The maps, where a detector of the initial scores looks at them."""
        return {"maps": self.maps} if "appearance" in self.motion.start.detectors else {}

    def model_before(self, t: int) -> list[str]:
        """The model that a warm restart goes on from; none for a restart from the backbone."""
        cold = t == 1 or self.paper.restart == "imagenet"
        return [] if cold else self.each("model.safetensors", [t - 1])

    def rounds(self, name: str, before: int | None = None) -> list[str]:
        """A file of each round of feedback, or of those before one."""
        end = self.study.feedback.rounds + 1 if before is None else before
        return [f"{self.folder}/feedback/round{r}/{name}" for r in range(1, end)]

    def round_before(self, r: int, name: str) -> str:
        """A file of the round before; before the first round, of the last iteration."""
        return [*self.each(name), *self.rounds(name, before=r)][-1]

    @property
    def competitors(self) -> dict[str, str]:
        """Row of the tables: a competitor's scores; competitors run beside the main variant."""
        if self.variant != self.study.plan.main:
            return {}
        shared = f"results/{self.scene}/competitors/{self.method.backbone}-{self.method.view}"
        files: dict[str, str] = {}
        for name in self.study.competitors:
            folder = shared if name == "unmasking" else f"{self.folder}/competitors"
            if name.startswith("del_giorno"):
                files |= {f"{name}_{one}": f"{folder}/{name}_{one}.parquet" for one in DEL_GIORNO}
                continue
            for channel, suffix in CHANNELS.items():
                row = f"{name.removesuffix('_test')}{suffix}" if suffix else name
                files[row] = f"{folder}/{name}-{channel}.parquet"
        return files

    def _of_frames(self, kind: str, layer: str, suffix: str) -> str:
        made_by = f"{self.method.backbone}{layer}-{self.method.view}"
        return f"results/{self.scene}/{kind}/{made_by}.{suffix}"

    def _start(self) -> tuple[object, ...]:
        """What the initial scores follow from."""
        it = self.method
        if isinstance(it, Method):
            return it.backbone, it.view, it.features, it.anomaly_rate, it.initial
        return it.cells, it.anomaly_rate, it.start, self.maps


def runs(study: Study) -> Iterator[Run]:
    """All runs of a study: of every scene that is there, variant by variant, seed by seed."""
    for scene in study.scenes:
        for variant in study.variants_of(scene):
            for seed in study.seeds:
                yield Run(study, scene, variant, seed)


def pooled(study: Study) -> Iterator[tuple[str, str, int]]:
    """Pool, variant and seed of what is judged together, where all scenes of the pool have it.

    Pooled are the variants with figures of their own, and those that differ in their backbone.
    """
    for name, pool in study.pools().items():
        known = [study.variants_of(scene) for scene in pool.scenes]
        compared = {one for scene in pool.scenes for one in study.plan.backbones.on(scene)}
        for variant in study.methods:
            wanted = variant in study.shown() or variant in compared
            if wanted and all(variant in variants for variants in known):
                for seed in study.seeds:
                    yield name, variant, seed


def judged(study: Study) -> dict[str, list[str]]:
    """What the findings of a study are made from, by the kind of file."""
    every, seeds = list(runs(study)), study.seeds
    localised = [
        Run(study, name, variant, seed)
        for name, scene in study.scenes.items()
        if scene.has_pixel_masks
        for variant in study.with_saliency(name)
        for seed in seeds
    ]
    marked = [scene for scene in study.feedback_scenes if scene in study.scenes]
    return {
        "metrics": [f"{run.folder}/metrics.json" for run in every],
        "draws": [f"{run.folder}/draws.parquet" for run in every],
        "localisation": [f"{run.folder}/localisation.json" for run in localised],
        "feedback": [
            f"{Run(study, scene, study.plan.main, seed).folder}/feedback.json"
            for scene in marked
            for seed in seeds
        ],
        "pooled": [
            f"results/pools/{pool}/{variant}/seed{seed}/{way}.json"
            for pool, variant, seed in pooled(study)
            for way in ("raw", "ranks")
        ],
    }


def stored_frames(scene: Scene, view: str, kept: FrameSettings) -> dict[str, str]:
    """Clip: its stored frames, in the scene's order."""
    files = f"results/{scene.name}/frames/{kept.named(view)}"
    return {clip.name: files.format(clip=clip.name) for clip in scene.clips}


def motion_frames(scene: Scene, kept: FrameSettings, *, masks: bool) -> dict[str, str]:
    """Clip: its frames in which competitors look for motion, in the scene's order."""
    return stored_frames(scene, "160x120-grey" if masks else "160x120-grey-unmasked", kept)


def cuts(scene: Scene) -> dict[str, str]:
    """The sequences found in a joined video; none for a scene with files of its own."""
    return {"cuts": f"results/{scene.name}/cuts.json"} if scene.joined is not None else {}


def rendered(scene: Scene, clip: str) -> dict[str, str]:
    """Files of a clip that the project renders itself; none for other clips."""
    stem = f"results/{scene.name}/video/{clip}"
    files = {"video": f"{stem}.avi", "labels": f"{stem}.csv", "pixels": f"{stem}_gt"}
    return {} if scene.demo is None else files
