"""How far a look at hours of video is, in a line every half a minute."""

import time
from collections.abc import Callable, Sequence

from sdor.progress import counted

FIRST, EVERY = 5.0, 30.0  # seconds of work before the first line, and between two
Length = tuple[float, int]  # seconds and frames
Say = Callable[[str], None]


class Pace:
    """Says what there is to do at once, and then how far it is.

    Parameters
    ----------
    camera : its name. every, new : lengths of all clips, and of those that are looked at now.
    say : prints a line.
    """

    def __init__(
        self,
        camera: str,
        every: Sequence[Length],
        new: Sequence[Length],
        say: Callable[[str], None],
    ) -> None:
        self._camera, self._say = camera, say
        self._total = sum(seconds for seconds, _ in new)
        self._clip, self._before, self._within = "", 0.0, 0.0
        self._started = time.monotonic()
        self._due = self._started + FIRST
        frames = sum(frames for _, frames in every)
        video = duration(sum(seconds for seconds, _ in every))
        line = (
            f"camera {camera}: {counted(len(every), 'file')}, {video} of video, {frames:,} frames"
        )
        seen = len(every) - len(new)
        before = f"{counted(seen, 'file')} {'was' if seen == 1 else 'were'} looked at before"
        say(f"{line}; {before}" if seen else line)

    def at(self, clip: str, seconds: float) -> None:
        """Tell that so many seconds of a clip were looked at."""
        if clip != self._clip:
            self._clip, self._before = clip, self._before + self._within
        self._within = seconds
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + EVERY
        done = self._before + seconds
        rate = done / (now - self._started)
        line = f"camera {self._camera}: {duration(done)} of {duration(self._total)} looked at"
        if not self._total:  # folders of images do not say how long they are
            line = f"camera {self._camera}: {duration(done)} looked at"
        if not rate:  # of a clip of one frame
            self._say(line)
            return
        left = max(self._total - done, 0.0) / rate
        more = f"; about {duration(left)} left" if self._total else ""
        self._say(f"{line}, {rate:.1f} x real time{more}")


def duration(seconds: float) -> str:
    """How long something is: 3.3 s, 52 s, 1 min 40 s, 25 min, 12 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return " ".join([f"{minutes} min"] * (minutes > 0) + [f"{rest} s"] * (rest > 0))
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join([f"{hours:,} h"] * (hours > 0) + [f"{minutes} min"] * (minutes > 0))
