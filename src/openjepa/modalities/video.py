"""Videos: bytes of a file or of a folder of frames to clips, clips to views, views to tubelets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from openjepa.draws import Rows, key, uniform
from openjepa.modalities import decode as pictures
from openjepa.modalities.containers import still
from openjepa.modalities.frames import Choose, read_frames
from openjepa.modalities.image import Image
from openjepa.modalities.modality import BadSample, Decoded
from openjepa.modalities.resize import SMALL, TRIES, covering_boxes, crop_boxes, resize
from openjepa.modalities.rgb import RGB


@dataclass(frozen=True, kw_only=True)
class Video(RGB):
    """RGB clips at a uniform rate; one crop for all frames of a clip (V-JEPA, arXiv:2404.08471, and its code: scale, ratio, flip).

    A sample is a video file, a folder of pictures that are its frames in the order of their names (each is taken
    as one frame, whatever `fps` is), or, with pictures="clips", one picture, which is a video that stands still:
    so that photos and videos train the same encoder.
    """

    kind: ClassVar[str] = "videos"
    stills: ClassVar[frozenset[str]] = Image.suffixes  # of single pictures, which `decode` takes too
    suffixes: ClassVar[frozenset[str]] = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"}) | stills
    timed: ClassVar[bool] = True
    decoded_by: ClassVar[tuple[str, ...]] = ("size", "crop_scale", "fps")

    size: tuple[int, int, int] = (16, 224, 224)  # frames of a clip, height, width
    patch: tuple[int, int, int] = (2, 16, 16)
    crop_ratio: tuple[float, float] = (3 / 4, 1.35)  # width over height of a training crop
    flip: bool = True  # mirror half of the training clips
    fps: float | None = 4.0  # frames per second of a clip; None takes every frame of the file
    pictures: Literal["frames", "clips"] = "frames"  # those in a folder: frames of one video, or each a video that stands still

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise ValueError(f"fps is {self.fps}; it must be frames per second above 0, or None for all frames of the file")

    @property
    def folded(self) -> frozenset[str]:
        return self.stills if self.pictures == "frames" else frozenset()

    def decode(self, data: bytes | Sequence[bytes], at: float | None = None) -> Decoded:
        """All frames at `fps`, uint8 [3 n h w], or with `at` the `size[0]` of a clip; upright, the shorter side shrunk to `wanted`.

        Where there are fewer frames than in a clip the last is repeated when cut, and a note says so. BadSample says
        why it cannot be used.
        """
        pixels, _, note = self.pick(data, range if at is None else lambda n: span(n, self.size[0], at))
        return Decoded(pixels if at is None else lengthen(pixels, self.size[0]), note)

    def cut(self, sample: UInt8[Tensor, "3 n h w"], at: float) -> UInt8[Tensor, "3 t h w"]:
        """The clip at `at`: all its places are as likely, whole clips where there are enough frames."""
        part = span(sample.shape[1], self.size[0], at)
        return lengthen(sample[:, part.start : part.stop], self.size[0])

    def clips(self, data: bytes | Sequence[bytes], count: int) -> list[UInt8[Tensor, "3 t h w"]]:
        """Clips at (i + 1/2) / count, for evaluation with several; the file is opened once and shared frames are decoded once."""

        def choose(n: int) -> list[int]:
            return sorted({place for i in range(count) for place in span(n, self.size[0], (i + 0.5) / count)})

        pixels, n, _ = self.pick(data, choose)
        places = choose(n)
        spans = [span(n, self.size[0], (i + 0.5) / count) for i in range(count)]
        starts = [places.index(part.start) for part in spans]
        return [lengthen(pixels[:, first : first + len(part)], self.size[0]) for first, part in zip(starts, spans, strict=True)]

    def pick(self, data: bytes | Sequence[bytes], choose: Choose) -> tuple[UInt8[Tensor, "3 k h w"], int, str | None]:
        """The frames that `choose` picks (ascending) of those there are, how many these are, and a note."""
        if not isinstance(data, bytes):
            return self.from_folder(data, choose), len(data), self.remark(len(data))
        if still(data):
            one = pictures.decode(data, self.wanted, self.smallest)
            return one.pixels[:, None], 1, one.note
        pixels, n = read_frames(data, self.fps, self.wanted, self.smallest, choose)
        # a view: the channels stay last in memory, as Pillow wants them again for cropping
        return torch.from_numpy(pixels).permute(3, 0, 1, 2), n, self.remark(n)

    def from_folder(self, data: Sequence[bytes], choose: Choose) -> UInt8[Tensor, "3 k h w"]:
        """Frames that are pictures of their own."""
        if not data:
            raise BadSample("a folder without frames")
        picked = choose(len(data))
        out: UInt8[Tensor, "k h w 3"] | None = None
        for k, i in enumerate(picked):
            try:
                pixels = pictures.decode(data[i], self.wanted, self.smallest).pixels.permute(1, 2, 0)
            except BadSample as error:
                raise BadSample(f"frame {i}: {error}") from None
            if out is None:
                out = torch.empty(len(picked), *pixels.shape, dtype=torch.uint8)
            if pixels.shape != out.shape[1:]:
                (h, w), (height, width) = pixels.shape[:2], out.shape[1:3]
                raise BadSample(
                    f"frame {i} has {w} x {h} pixels, frame {picked[0]} {width} x {height}; frames of one video share their size; "
                    "photos that stand for themselves are read with --modality.pictures clips"
                )
            out[k] = pixels
        assert out is not None
        return out.permute(3, 0, 1, 2)

    def remark(self, n: int) -> str | None:
        """A note on a sample of n frames that is shorter than a clip."""
        if n >= self.size[0]:
            return None
        return f"{n} frame{'s' if n > 1 else ''}, fewer than the {self.size[0]} of a clip; the last is repeated"

    def augment(self, samples: Sequence[Tensor] | Tensor, seed: int, step: int, rows: Rows) -> UInt8[Tensor, "b 3 t h w"]:
        """One training view per clip: RandomResizedCrop and, if set, flip, the same for all its frames; pure in (seed, step, row)."""
        u = uniform(seed, step, rows, 2 * TRIES + 3, "clip")
        boxes = crop_boxes(sizes(samples), u, self.crop_scale, self.crop_ratio)
        return resize_clips(samples, boxes, self.size, (u[:, -1] < 0.5) & self.flip)

    def covering(self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...], at: float) -> UInt8[Tensor, "b 3 t h w"]:
        """See RGB; the same part of all frames."""
        frames, height, width = size
        return resize_clips(samples, covering_boxes(sizes(samples), (height, width), at), (frames, height, width))

    def example(self, seed: int, row: int) -> UInt8[Tensor, "3 t h w"]:
        """A made clip a little larger than a view."""
        generator = torch.Generator().manual_seed(key(seed, row, "example") % 2**63)
        t, h, w = self.size
        return torch.randint(0, 256, (3, t, h + 5, w + 3), dtype=torch.uint8, generator=generator)


def span(n: int, length: int, at: float) -> range:
    """The frames of a clip at `at` in [0, 1) of a video of n frames; all n if there are fewer than `length`."""
    room = max(0, n - length)
    start = min(int(at * (room + 1)), room)
    return range(start, min(start + length, n))


def lengthen(clip: UInt8[Tensor, "3 n h w"], length: int) -> UInt8[Tensor, "3 t h w"]:
    """The clip with its last frame repeated up to `length` frames."""
    missing = length - clip.shape[1]
    return torch.cat([clip, clip[:, -1:].expand(-1, missing, -1, -1)], 1) if missing > 0 else clip


def sizes(clips: Sequence[Tensor] | Tensor) -> NDArray[np.int64]:
    """Height and width of each clip, [b 2]."""
    return np.array([clip.shape[2:] for clip in clips], np.int64)


def resize_clips(
    clips: Sequence[Tensor] | Tensor, boxes: NDArray[np.float64], size: tuple[int, int, int], flip: NDArray[np.bool_] | None = None
) -> UInt8[Tensor, "b 3 t h w"]:
    """The box of each clip at `size`, the same for all its frames; the bits are those of `resize` frame by frame."""
    frames, plane = size[0], (size[1], size[2])
    for clip in clips:
        if clip.shape[1] != frames:
            raise ValueError(f"a clip of {clip.shape[1]} frames where a view has {frames}; cut it in time first")
    small = [i for i, clip in enumerate(clips) if max(clip.shape[2:]) <= SMALL]
    if len(small) == len(clips):  # frames as channels: one pair of weights serves all of them
        flat = clips.flatten(1, 2) if isinstance(clips, Tensor) else [clip.flatten(0, 1) for clip in clips]
        whole: Tensor = resize(flat, boxes, plane, flip).unflatten(1, (3, frames))
        return whole
    out = torch.empty(len(clips), frames, *plane, 3, dtype=torch.uint8).permute(0, 4, 1, 2, 3)
    if small:
        out[small] = resize_clips([clips[i] for i in small], boxes[small], size, None if flip is None else flip[small])
    for i in set(range(len(clips))) - set(small):
        some = None if flip is None else flip[i : i + 1].repeat(frames)
        out[i] = resize(list(clips[i].unbind(1)), boxes[i : i + 1].repeat(frames, 0), plane, some).transpose(0, 1)
    return out
