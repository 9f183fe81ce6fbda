"""Silent loops and pictures of events in a stream, of which the last minute is kept."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import ffmpeg
import numpy as np

from sdor.errors import SdorError
from sdor.files import atomic, opening
from sdor.method.flow import RATE
from sdor.operator.previews import PICTURE, Heat, drawn, encoded
from sdor.study.scenes import Rectangle
from sdor.video.ffmpeg import ffmpeg_binary, last_lines
from sdor.video.picture import Picture
from sdor.video.sampling import ROUNDING

KEPT, LEAD = 60.0, 3.0  # seconds that are kept, and that are shown before an event


class Loops:
    """Pictures of the last minute, and a folder for the loops made of them."""

    def __init__(self, folder: Path) -> None:
        ffmpeg_binary()  # says at once that there is none
        with opening(folder / "loop"):
            self._folder = folder
        self._kept: list[tuple[float, bytes]] = []
        self._size = 0, 0

    def add(self, seconds: float, picture: Picture) -> None:
        """Keep a picture, by its seconds in its stretch; ten a second."""
        if self._kept and not self._kept[-1][0] <= seconds + ROUNDING:
            self._kept = []
        if self._kept and seconds < self._kept[-1][0] + 1 / RATE - ROUNDING:
            return
        pixels = picture.pixels
        self._size = pixels.shape[1], pixels.shape[0]
        scale = PICTURE / max(pixels.shape[:2])
        height, width = (2 * max(round(side * scale / 2), 1) for side in pixels.shape[:2])
        small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        self._kept.append((seconds, cv2.imencode(".jpg", small)[1].tobytes()))
        while self._kept[0][0] < seconds - KEPT:
            del self._kept[0]

    def picture(self, seconds: float, heat: Heat, masks: Sequence[Rectangle]) -> bytes | None:
        """What was shown at some second, with heat (0 to 1), as a JPEG; None where it is gone."""
        near = min(self._kept[:], key=lambda one: abs(one[0] - seconds), default=None)
        if near is None or abs(near[0] - seconds) > 1 / RATE:
            return None
        pixels = cv2.imdecode(np.frombuffer(near[1], np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            return None
        size = pixels.shape[1], pixels.shape[0]
        return drawn(np.asarray(pixels, np.uint8), size, heat, masks, self._size)

    def write(self, name: str, begin: float, end: float, picture: bytes | None) -> Path | None:
        """The loop of an event as an MP4 file that browsers play; None where none of it is kept.

        Its picture is written beside it.

        Raises
        ------
        SdorError : ffmpeg fails.
        """
        shown = [jpeg for at, jpeg in self._kept[:] if begin - LEAD <= at <= end]
        if not shown:
            return None
        read = (cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR) for one in shown)
        frames = [one for one in read if one is not None]
        frames = [one for one in frames if one.shape == frames[0].shape]
        # What was read as red, green and blue was stored as if it were blue, green and red.
        raw = {"format": "rawvideo", "pix_fmt": "rgb24", "framerate": RATE}
        source = ffmpeg.input("pipe:", s=f"{frames[0].shape[1]}x{frames[0].shape[0]}", **raw)
        path, content = self._folder / f"{name}.mp4", b"".join(one.tobytes() for one in frames)
        try:
            made = encoded(source, len(frames) / RATE, content)
        except ffmpeg.Error as error:
            words = last_lines(error.stderr.decode(errors="replace"))
            raise SdorError(f"{path}: ffmpeg makes no preview ({words})") from error
        with atomic(path) as temporary:
            temporary.write_bytes(made)
        if picture:
            with atomic(path.with_suffix(".jpg")) as temporary:
                temporary.write_bytes(picture)
        return path
