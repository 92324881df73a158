"""Bytes of a video to upright RGB frames at a uniform rate, or the reason why not."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from openjepa.modalities.containers import truncation
from openjepa.modalities.film import Film, pyav
from openjepa.modalities.modality import BadSample, TooLong
from openjepa.modalities.timeline import Ints, Timeline

if TYPE_CHECKING:
    import av

LARGEST = 4 * 2**30  # bytes of frames decoded at a time
HD = 720  # rows from which on colours are BT.709 where the file does not say, as players take it
UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED

Choose = Callable[[int], Sequence[int]]  # how many frames there are -> those that are wanted, ascending


def read_frames(data: bytes, fps: float | None, wanted: float, smallest: int, choose: Choose) -> tuple[UInt8[np.ndarray, "k h w 3"], int]:
    """The frames that `choose` picks of n at a uniform rate, upright RGB, and n.

    Frame i of the n is the last one that is shown not later than i / fps seconds after the first; without a
    rate it is the file's own frame i. The shorter side is shrunk to `wanted` pixels, and never enlarged.
    Only what the picked frames need is decoded; the result is the same to the bit as picking from all.
    BadSample says why a video cannot be used: damage is told where it is decoded, a broken end always.
    """
    av = pyav()
    if not data:
        raise BadSample("the file is empty")
    if missing := truncation(data):
        raise BadSample(f"truncated: {missing}")
    try:
        with Film(data) as film:
            if min(film.size) < smallest:
                w, h = film.size
                raise BadSample(f"too small: frames of {w} x {h} pixels, the shorter side must have at least {smallest}")
            times = film.times()
            n = times.count(fps)
            w, h = target(film.size, wanted)
            picked = choose(n)
            if 3 * w * h * len(picked) > LARGEST:
                raise TooLong(f"too long to be decoded as a whole: {len(picked):,} frames of {w} x {h} pixels; clip by clip it can be")
            return collect(film, times, times.shown(fps, picked), (w, h)), n
    except BadSample:
        raise
    except (av.FFmpegError, ArithmeticError, LookupError, MemoryError, OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise BadSample(f"cannot be decoded ({type(error).__name__}: {said})") from None


def target(size: tuple[int, int], wanted: float) -> tuple[int, int]:
    """Width and height with the shorter side at `wanted` pixels, or as they are if it has fewer."""
    scale = min(1.0, math.ceil(wanted) / min(size)) if math.isfinite(wanted) else 1.0
    return round(size[0] * scale), round(size[1] * scale)


def collect(film: Film, times: Timeline, shown: Ints, size: tuple[int, int]) -> UInt8[np.ndarray, "k h w 3"]:
    """The frames `shown` (ascending, some perhaps several times), each shrunk to width and height `size` as it is decoded, and upright."""
    out: UInt8[np.ndarray, "k h w 3"] | None = None
    shrink = shrinker(*size)
    for i, frame in film.frames(times, np.unique(shown)):
        # the display matrix turns counter-clockwise, as rot90 does
        pixels = np.rot90(shrink(frame), round(frame.rotation / 90))
        if out is None:
            out = np.empty((len(shown), *pixels.shape), np.uint8)
        if out.shape[1:] != pixels.shape:
            raise BadSample("it is turned by 90 degrees midway")
        out[np.searchsorted(shown, i) : np.searchsorted(shown, i, "right")] = pixels
    assert out is not None
    return out


def shrinker(w: int, h: int) -> "Callable[[av.VideoFrame], UInt8[np.ndarray, 'h w 3']]":
    """A function from a frame to its pixels at w x h: triangle filter, the same bytes on every processor."""
    from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

    reformatter, how = VideoReformatter(), Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT

    def shrink(frame: "av.VideoFrame") -> UInt8[np.ndarray, "h w 3"]:
        space = Colorspace.ITU709 if frame.colorspace == UNSPECIFIED and frame.height >= HD else None
        plane = reformatter.reformat(frame, w, h, "rgb24", src_colorspace=space, interpolation=how, threads=1).planes[0]
        rows: UInt8[np.ndarray, "h line"] = np.frombuffer(memoryview(plane), np.uint8).reshape(h, plane.line_size)
        return rows[:, : 3 * w].reshape(h, w, 3)

    return shrink
