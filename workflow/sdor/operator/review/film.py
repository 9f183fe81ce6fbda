"""Pieces of files as H.264 that every browser plays, made when they are asked for."""

import asyncio
import os
from asyncio.subprocess import DEVNULL
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import ffmpeg

from sdor.operator.previews import Span, preview
from sdor.video.decode import OPTIONS
from sdor.video.ffmpeg import ffmpeg_binary

SIDE = 640  # pixels across a loop
ROOM, MOST = 1 << 30, 200  # bytes and files that are kept
PATIENCE = 0.5  # s after which it is looked again whether somebody waits


async def write_film(pieces: Sequence[Span], output: Path, *, full: bool) -> None:
    """Write pieces of clips, one after another, as H.264 in 4:2:0, without sound.

    Cancelled, it ends the program that writes.

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
        stream = joined.output(str(output), **wanted).global_args("-nostdin")
        succeeds = await _succeeds(stream.compile(ffmpeg_binary(), overwrite_output=True))
        # A file without frames is no failure to ffmpeg.
        if succeeds and b"avc1" in await asyncio.to_thread(output.read_bytes):
            return
    # Folders of images, damage, and files of other shapes are read frame by frame, and are small.
    output.write_bytes(await asyncio.to_thread(preview, pieces))


async def _succeeds(command: Sequence[str]) -> bool:
    """Run a program that nobody hears, and that ends with who waits for it."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _source(piece: Span) -> Any:
    """A piece of a file, as ffmpeg reads it."""
    path, seconds = str(piece.clip.path.absolute()), max(piece.end - piece.begin, 0.2)
    return ffmpeg.input(path, ss=piece.begin, t=seconds, **OPTIONS)


class Films:
    """Films that were asked for, in a folder with a bound: those that were not for long go.

    Parameters
    ----------
    folder : temporary, and of this process alone. ends : whether nobody is answered any more.
    """

    def __init__(self, folder: Path, ends: Callable[[], bool] = lambda: False) -> None:
        self._ends = ends
        self.folder, self._made = folder, OrderedDict[tuple[str, ...], tuple[Path, int]]()
        self._cores = asyncio.Semaphore(os.cpu_count() or 1)
        # Kept as long as somebody makes a film, or waits for it.
        self._at_work = WeakValueDictionary[tuple[str, ...], asyncio.Lock]()
        self._count = 0

    async def film(
        self,
        key: tuple[str, ...],
        make: Callable[[Path], Awaitable[None]],
        gone: Callable[[], Awaitable[bool]],
    ) -> Path | None:
        """The film of a key, made unless it is there; None where nobody waits for it any more.

        Raises
        ------
        SdorError : it cannot be made.
        """

        async def left() -> bool:
            return self._ends() or await gone()

        lock = self._at_work.setdefault(key, asyncio.Lock())
        async with lock:
            if key not in self._made:
                async with self._cores:
                    if await left():
                        return None
                    self._count += 1
                    path = self.folder / f"{self._count}.mp4"
                    try:
                        if not await _finished(asyncio.ensure_future(make(path)), left):
                            return None
                        self._made[key] = path, path.stat().st_size
                    finally:
                        if key not in self._made:
                            path.unlink(missing_ok=True)
            self._made.move_to_end(key)
            self._make_room()
            return self._made[key][0]

    def _make_room(self) -> None:
        sizes = [size for _, size in self._made.values()]
        while len(sizes) > 1 and (sum(sizes) > ROOM or len(sizes) > MOST):
            _, (path, _) = self._made.popitem(last=False)
            path.unlink(missing_ok=True)
            sizes.pop(0)


async def _finished(work: asyncio.Future[None], gone: Callable[[], Awaitable[bool]]) -> bool:
    """Wait for work, which ends where nobody waits for it any more."""
    try:
        while not (await asyncio.wait([work], timeout=PATIENCE))[0]:
            if await gone():
                return False
        await work
        return True
    finally:
        if work.cancel():
            await asyncio.wait([work])
