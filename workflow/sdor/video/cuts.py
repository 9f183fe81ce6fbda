"""Hard cuts: where one sequence ends and the next begins in a video that joins several.

Some scenes are released as one video (UMN: eleven sequences one after the other). Between sequences
of the same camera only the people and the light change, so a cut is told by *how many parts* of the
picture jump at once, not by how much: walking people change few blocks, and a jump of brightness
that moves all blocks alike is taken out. Fast motion changes many blocks too, but in the frames
around as well; a cut stands alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from sdor.errors import SdorError
from sdor.files import read_json
from sdor.study.scenes import Joined, Rectangle, Scene, find_scene
from sdor.video.decode import Frame, hide, probe, read_video

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


def find_cuts(frames: Iterable[Frame]) -> list[int]:
    """First frame of each sequence, counted from 1; the first is always 1.

    Parameters
    ----------
    frames : uint8 [height, width, channels], in order; only one is held at a time.
    """
    share = _changed_share(frames)
    if not len(share):
        return []
    alone = share - _strongest_around(share)
    cuts = [1]
    for index in np.flatnonzero(alone > CUT_SHARE):
        frame = int(index) + 1
        if frame - cuts[-1] > AROUND[1] or cuts[-1] == 1:
            cuts.append(frame)
        elif alone[index] > alone[cuts[-1] - 1]:
            cuts[-1] = frame
    return cuts


def sequence_ranges(joined: Joined, masks: Sequence[Rectangle] = ()) -> list[tuple[int, int]]:
    """First and last frame of each sequence of a joined video, from 1, inclusive.

    Parameters
    ----------
    masks : regions to leave out; a burnt-in caption that comes and goes is best hidden.

    Raises
    ------
    SdorError : the video is cut off, or the number of sequences found is not the expected one.
    """
    count = 0

    def counted() -> Iterable[Frame]:
        nonlocal count
        for frame in read_video(joined.path):
            count += 1
            yield hide(frame, masks)

    firsts = find_cuts(counted())
    declared = probe(joined.path).frames
    # Some codecs leave a placeholder in the container that is no frame; a cut-off file lacks more.
    if declared is not None and count < 0.99 * declared:
        raise SdorError(
            f"{joined.path}: expected {declared} frames (the file declares them), found {count}; "
            "copy it anew"
        )
    if len(firsts) != joined.sequences:
        raise SdorError(
            f"{joined.path}: expected {joined.sequences} sequences, found {len(firsts)}, "
            f"beginning at frames {', '.join(map(str, firsts)) or 'none'}; "
            "check joined.sequences in the scene file, or cut the video into one file a clip"
        )
    lasts = [first - 1 for first in firsts[1:]] + [count]
    return list(zip(firsts, lasts, strict=True))


def located_scene(name: str, config: Mapping[str, str], cuts: str | None) -> Scene:
    """A scene by its name, with its clips located if they come out of a joined video.

    Parameters
    ----------
    config : scene_folder and data_root of the study.
    cuts : file of what `sequence_ranges` found in the joined video, if there is one.

    Raises
    ------
    SdorError : see `find_scene` and `locate`.
    """
    scene = find_scene(name, config["scene_folder"], config["data_root"])
    return locate(scene, read_json(cuts) if cuts else [])


def locate(scene: Scene, ranges: Sequence[tuple[int, int]]) -> Scene:
    """The scene with each clip's frame range in the joined video; others come back as they are.

    Parameters
    ----------
    ranges : of the sequences, from `sequence_ranges`.
    """
    if scene.joined is None:
        return scene
    clips = []
    for clip in scene.clips:
        assert clip.sequence is not None
        first, last = ranges[clip.sequence - 1]
        clips.append(replace(clip, first=first, last=last, sequence=None))
    return replace(scene, clips=tuple(clips), joined=None)


def _changed_share(frames: Iterable[Frame]) -> npt.NDArray[np.float64]:
    """Share of blocks that changed since the frame before; 0 for the first."""
    shares = []
    before: npt.NDArray[np.float64] | None = None
    for frame in frames:
        picture = Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame).convert("L")
        blocks = np.asarray(picture.resize(GRID, Image.Resampling.BOX), dtype=np.float64)
        change = np.zeros_like(blocks) if before is None else blocks - before
        shares.append(float((np.abs(change - np.median(change)) > BLOCK_CHANGE).mean()))
        before = blocks
    return np.array(shares)


def _strongest_around(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Largest share among the frames near each frame, before and after it."""
    strongest = np.zeros_like(share)
    nearest, farthest = AROUND
    for distance in range(nearest, min(farthest, len(share) - 1) + 1):
        np.maximum(strongest[distance:], share[:-distance], out=strongest[distance:])
        np.maximum(strongest[:-distance], share[distance:], out=strongest[:-distance])
    return strongest
