import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from sdor.video.ffmpeg import ffmpeg_binary

VideoWriter = Callable[..., Path]
SceneWriter = Callable[..., Path]
# Test runs do not belong on anybody's server.
os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(autouse=True)
def _nothing_of_another_test() -> Iterator[None]:
    """What a store's address and a run's name are told to all later processes by."""
    yield
    for name in ("MLFLOW_TRACKING_URI", "SDOR_RUN", "SDOR_NOW"):
        os.environ.pop(name, None)


@pytest.fixture
def data_root() -> Path:
    """Folder of the released video; tests that ask for it carry the mark `data`."""
    folder = os.environ.get("SDOR_DATA_ROOT")
    if not folder:
        pytest.skip("SDOR_DATA_ROOT is not set: no released video on this machine")
    return Path(folder)


@pytest.fixture(scope="session")
def write_video() -> VideoWriter:
    """Writes uint8 frames [T, H, W, 1 or 3] as a video; FFV1, which loses nothing, by default."""

    def write(path: Path, frames: np.ndarray, *options: str, fps: int = 25) -> Path:
        grey = frames.shape[3] == 1
        command = [ffmpeg_binary(), "-y", "-loglevel", "error", "-f", "rawvideo"]
        command += ["-pix_fmt", "gray" if grey else "rgb24", "-r", str(fps)]
        command += ["-s", f"{frames.shape[2]}x{frames.shape[1]}", "-i", "pipe:"]
        lossless = ("-c:v", "ffv1", "-pix_fmt", "gray" if grey else "bgr0")
        command += [*(options or lossless), str(path)]
        subprocess.run(command, input=frames.tobytes(), check=True)
        return path

    return write


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file called like video that holds a tone alone."""
    path = tmp_path_factory.mktemp("sound") / "sound.mp4"
    command = [ffmpeg_binary(), "-loglevel", "error", "-f", "lavfi", "-i", "sine=d=1", str(path)]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def write_scene(tmp_path: Path) -> SceneWriter:
    """Writes a scene file into tmp_path/scenes; its video is looked for in tmp_path/data."""

    def write(name: str = "gate", **document: object) -> Path:
        path = tmp_path / "scenes" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(document))
        return path

    return write
