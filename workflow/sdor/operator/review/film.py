"""Pieces of files as H.264 that every browser plays, made when they are asked for."""

import asyncio
import contextlib
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import ffmpeg

from sdor.operator.previews import Span, preview
from sdor.video.ffmpeg import ffmpeg_binary

SIDE = 640  # pixels across a loop
ROOM, MOST = 1 << 30, 200  # bytes and files that are kept


def write_film(pieces: Sequence[Span], output: Path, *, full: bool) -> None:
    """Write pieces of clips, one after another, as H.264 in 4:2:0, without sound.

    Parameters
    ----------
    full : in full size, else `SIDE` pixels across at most; pixels are square.

    Raises
    ------
    SdorError : nothing of them can be read, or there is no ffmpeg.
    """
    widest = "iw*sar" if full else f"min({SIDE},iw*sar)"
    size = {"w": f"2*max(1,round({widest}/2))", "h": f"2*max(1,round({widest}/dar/2))"}
    there = [one for one in pieces if one.clip.path.exists()]
    if there and all(one.clip.kind == "video" for one in there):
        sources = [_source(one).filter("scale", **size).filter("setsar", 1) for one in there]
        joined = ffmpeg.concat(*sources) if len(sources) > 1 else sources[0]
        wanted = {"vcodec": "libx264", "preset": "veryfast", "crf": 23, "pix_fmt": "yuv420p"}
        wanted |= dict.fromkeys(("an", "sn", "dn")) | {"map_metadata": -1, "movflags": "+faststart"}
        stream = joined.output(str(output), **wanted).global_args("-loglevel", "error", "-nostdin")
        with contextlib.suppress(ffmpeg.Error):
            stream.run(ffmpeg_binary(), quiet=True, overwrite_output=True)
            if b"avc1" in output.read_bytes():  # a file without frames is no failure to ffmpeg
                return
    # Folders of images, damage, and files of other shapes are read frame by frame, and are small.
    output.write_bytes(preview(pieces))


def _source(piece: Span) -> Any:
    """A piece of a file, as ffmpeg reads it."""
    path, seconds = str(piece.clip.path.absolute()), max(piece.end - piece.begin, 0.2)
    return ffmpeg.input(path, ss=piece.begin, t=seconds, protocol_whitelist="file")


class Films:
    """Films that were asked for, in a folder with a bound: those that were not for long go.

    Parameters
    ----------
    folder : temporary, and of this process alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._made = folder, OrderedDict[tuple[str, ...], Path]()
        self._cores = asyncio.Semaphore(os.cpu_count() or 1)
        self._at_work = dict[tuple[str, ...], asyncio.Lock]()
        self._count = 0

    async def film(
        self,
        key: tuple[str, ...],
        make: Callable[[Path], None],
        gone: Callable[[], Awaitable[bool]],
    ) -> Path | None:
        """The film of a key, made unless it is there; None where nobody waits for it any more."""
        async with self._at_work.setdefault(key, asyncio.Lock()), self._cores:
            if key not in self._made:
                if await gone():
                    return None
                self._count += 1
                path = self.folder / f"{self._count}.mp4"
                await asyncio.to_thread(make, path)
                self._made[key] = path
            self._made.move_to_end(key)
            self._make_room()
            return self._made[key]

    def _make_room(self) -> None:
        sizes = [path.stat().st_size for path in self._made.values()]
        while len(sizes) > 1 and (sum(sizes) > ROOM or len(sizes) > MOST):
            key, path = self._made.popitem(last=False)
            self._at_work.pop(key, None)
            path.unlink()
            sizes.pop(0)
