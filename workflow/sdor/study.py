"""What a config asks for: complete settings, the scenes that are there, why others are not run."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdor.config import Document, complete, data_root, methods
from sdor.errors import SdorError
from sdor.fingerprint import file_sha256
from sdor.scenes import DataNotFound, Scene, load_scene

WEIGHTS_WORDS = ("auto", "torchvision", "npm", "random")
PROJECT_SCENES = Path(__file__).resolve().parents[2] / "config" / "scenes"


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
    scenes, not_run = {}, {}
    for name in settings["scenes"]:
        try:
            scenes[name] = find_scene(settings, name, where)
        except DataNotFound as error:
            if settings["missing_data"] == "stop":
                hint = "set data_root (or SDOR_DATA_ROOT), or missing_data: skip"
                raise SdorError(f"{error}; {hint}") from error
            not_run[name] = str(error).removeprefix(f"scene {name}: ")
    return Study(settings, methods(settings, where), scenes, not_run)


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
        return {"setting": setting}
    if not Path(setting).is_file():
        raise SdorError(
            f"weights.{backbone}: {setting}: no such file; give a path or one of "
            f"{', '.join(WEIGHTS_WORDS)}"
        )
    return {"setting": setting, "sha256": file_sha256(setting)}
