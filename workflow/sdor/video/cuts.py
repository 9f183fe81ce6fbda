"""Hard cuts: where one sequence ends and the next begins in a video that joins several.

Some scenes are released as one video (UMN: eleven sequences one after the other). Between sequences
of the same camera only the people and the light change, so a cut is told by *how many parts* of the
picture jump at once, not by how much: walking people change few blocks, and a jump of brightness
that moves all blocks alike is taken out. Fast motion changes many blocks too, but in the frames
around as well; a cut stands alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from sdor.errors import SdorError
from sdor.files import About, read_json
from sdor.study.cameras import cameras_of
from sdor.study.scenes import Joined, Rectangle, Scene
from sdor.video.decode import read_video
from sdor.video.picture import Doubt, Frame, hide

# Columns and rows: fine enough that a person is a block, coarse enough that noise averages out.
GRID = (16, 12)
# Grey values by which a block's mean must move, against the whole picture's, to count as changed.
BLOCK_CHANGE = 5.0
# Share of blocks that change at a cut, beyond the share in the frames around it. On the UMN
# sequences, joined in six codings, the weakest cut has 0.15, the strongest motion 0.06, and a
# caption that appears where no mask hides it 0.11.
CUT_SHARE = 0.12
# Frames before and after that must be calmer. The nearest one is left out: at some cuts two frames
# are blended and the change takes both.
AROUND = (2, 6)


def find_sequences(frames: Iterable[Frame]) -> list[tuple[int, int]]:
    """First and last frame of each sequence, from 1, inclusive; one picture is held at a time."""
    blocks = np.array([_blocks(frame) for frame in frames], dtype=np.int16)
    if not len(blocks):
        return []
    change = np.diff(blocks, axis=0, prepend=blocks[:1])
    change = np.abs(change - np.median(change, axis=(1, 2), keepdims=True))
    share = (change > BLOCK_CHANGE).mean(axis=(1, 2))
    nearest, farthest = AROUND
    around = sliding_window_view(np.pad(share, farthest), 2 * farthest + 1)
    distance = np.abs(np.arange(-farthest, farthest + 1))
    alone = share - around[:, distance >= nearest].max(axis=1)
    cuts = [1]
    for index in np.flatnonzero(alone > CUT_SHARE):
        frame = int(index) + 1
        if frame - cuts[-1] > farthest or cuts[-1] == 1:
            cuts.append(frame)
        elif alone[index] > alone[cuts[-1] - 1]:
            cuts[-1] = frame
    return list(zip(cuts, [*(cut - 1 for cut in cuts[1:]), len(blocks)], strict=True))


def sequence_ranges(joined: Joined, masks: Sequence[Rectangle] = ()) -> list[tuple[int, int]]:
    """First and last frame of each sequence of a joined video, from 1, inclusive.

    The masks' regions are left out: a burnt-in caption that comes and goes is best hidden.

    Raises
    ------
    SdorError : the video is cut off, or has another number of sequences than it should have.
    """
    doubts: list[Doubt] = []
    pictures = read_video(joined.path, doubts=doubts)
    found = find_sequences(hide(picture.pixels, masks) for picture in pictures)
    # Damage is judged with the clip that it is in.
    for doubt in doubts:
        if doubt.kind == "end":
            raise SdorError(f"{joined.path}: {doubt}; copy it anew")
    if len(found) != joined.sequences:
        raise SdorError(
            f"{joined.path}: expected {joined.sequences} sequences, found {len(found)}, "
            f"beginning at frames {', '.join(str(first) for first, _ in found)}; "
            "check joined.sequences in the scene file, or cut the video into one file a clip"
        )
    return found


def located_scene(name: str, config: About, cuts: str | None, now: float = 0.0) -> Scene:
    """A scene or camera by its name, its clips located if they are of a joined video.

    Parameters
    ----------
    config : of the study: scenes, scene_folder and data_root, videos.
    cuts : file of what `sequence_ranges` found in the joined video, if there is one.
    now : of a camera; see `find_cameras`.
    """
    [scene] = cameras_of([name], config, now)
    return locate(scene, read_json(cuts) if cuts else [])


def locate(scene: Scene, ranges: Sequence[tuple[int, int]]) -> Scene:
    """The scene with each clip's range in the joined video, out of those of all its sequences."""
    if scene.joined is None:
        return scene
    clips = []
    for clip in scene.clips:
        assert clip.sequence is not None
        first, last = ranges[clip.sequence - 1]
        clips.append(replace(clip, first=first, last=last, sequence=None))
    return replace(scene, clips=tuple(clips), joined=None)


def _blocks(frame: Frame) -> Frame:
    """Mean grey value of each block of the picture."""
    picture = Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame).convert("L")
    return np.asarray(picture.resize(GRID, Image.Resampling.BOX))
