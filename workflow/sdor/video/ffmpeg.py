"""The ffmpeg program, for what writes video."""

import re
import shutil

from sdor.errors import SdorError


def ffmpeg_binary() -> str:
    """Path of ffmpeg: the one on the PATH, else the one in the `imageio-ffmpeg` wheel.

    Raises
    ------
    SdorError : neither is there.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise SdorError(
            "ffmpeg not found: install it (conda install ffmpeg, apt install ffmpeg) "
            "or run pip install imageio-ffmpeg"
        ) from error


def last_lines(words: str) -> str:
    """The last of ffmpeg's words in one line."""
    # Addresses of the process differ from run to run and say nothing.
    words = re.sub(r" @ 0x[0-9a-f]+", "", words)
    lines = [" ".join(line.split()) for line in words.splitlines() if line.strip()]
    return "; ".join(lines[-3:]) or "it gives no reason"
