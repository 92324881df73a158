"""Bytes of a sound file to mono samples at one rate, or the reason why not.

soundfile reads wav, flac, ogg, opus, mp3 and their kin; PyAV what it cannot: aac, m4a, the sound of mp4, webm, mkv.
A part in time equals that part of the whole to the bit. Files that can be entered anywhere (PCM, flac, vorbis) are
read just there; the others are decoded from their beginning, piece by piece, and what is not wanted is dropped.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from openjepa.modalities.containers import CONTAINED
from openjepa.modalities.declared import cut_off
from openjepa.modalities.modality import BadSample
from openjepa.modalities.resample import bank, resample

RATES = 1_000, 768_000  # Hz; others are damage
CHANNELS = 64  # at most
PIECE = 2**18  # numbers decoded at a time
KEEP = 2**24  # samples that a file without a known length keeps while it is counted; longer ones are decoded twice
LONGEST = 2**28  # samples of a whole sound, 1 GiB: more is a bomb, or a file to take parts of
LOUDEST = 16.0  # floats beyond are not in [-1, 1] and a little over, but scaled otherwise
ANYWHERE = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS"}  # exact after a seek


@dataclass(frozen=True)
class Stream:
    """One sound to be read: `pieces(begin)` are its samples in [-1, 1] from number `begin` on, mono, one after the other."""

    rate: int
    total: int | None  # samples; None where only decoding tells
    pieces: Callable[[int], Iterator[NDArray[np.float64]]]
    least: int = 0  # a file with fewer samples is truncated
    note: str | None = None


def decode(data: bytes, rate: int, at: float | None = None, length: int | None = None) -> tuple[Float32[Tensor, "1 n"], str | None]:
    """Mono samples in [-1, 1] at `rate` Hz, the mean of all channels, and a note if there is more to know.

    With `at` in [0, 1) only the `length` samples there, see `span`. BadSample says why a file cannot be used.
    """
    if not data:
        raise BadSample("the file is empty")
    if missing := cut_off(data):
        raise BadSample(f"truncated: {missing}")
    stream = open_soundfile(data) or open_av(data)
    if not RATES[0] <= stream.rate <= RATES[1]:
        raise BadSample(f"{stream.rate} samples per second; from {RATES[0]} to {RATES[1]} are possible")
    total, pieces = stream.total, stream.pieces
    if total is None:
        total, pieces = counted(stream)
    if not total:
        raise BadSample("no samples in it")
    filters = bank(stream.rate, rate) if stream.rate != rate else None
    long = filters.length(total) if filters else total
    first, count = (0, long) if at is None or length is None else span(long, length, at)
    if count > LONGEST:
        raise BadSample(f"{count} samples at {rate} Hz in one piece, more than {LONGEST}; split the file")
    begin, end = filters.needs(first, count, total) if filters else (first, first + count)
    wanted = exactly(pieces(begin), end - begin)
    if filters:
        samples = resample(wanted, filters, begin, first, count)
    else:
        samples = torch.from_numpy(np.concatenate([piece.astype(np.float32) for piece in wanted]))
    note = stream.note or (None if samples.any() else "it is silent")
    return samples[None], note


def span(total: int, length: int, at: float) -> tuple[int, int]:
    """Begin and length of the part at `at` in [0, 1) of `total` samples: every begin equally far apart, all of a short sound."""
    if not 0 <= at < 1:
        raise ValueError(f"at is {at}; it is a place in time, from 0 to below 1")
    return int(at * (max(total - length, 0) + 1)), min(length, total)


def exactly(pieces: Iterator[NDArray[np.float64]], count: int) -> Iterator[NDArray[np.float64]]:
    """The first `count` samples. BadSample where there are fewer, or some that are no numbers."""
    left = count
    while left:
        piece = next(pieces, None)
        if piece is None:
            raise BadSample(f"truncated: {left} of {count} samples are missing")
        piece = piece[:left]
        loudest = float(np.abs(piece).max(initial=0))
        if not loudest <= LOUDEST:  # or not a number
            raise BadSample(f"samples that are not finite or not in [-1, 1]: up to {loudest:g}")
        left -= len(piece)
        yield piece.clip(-1, 1)


def counted(stream: Stream) -> tuple[int, Callable[[int], Iterator[NDArray[np.float64]]]]:
    """Number of samples, by decoding them all, and where to read them: from memory where they are few."""
    total, kept = 0, []
    for piece in stream.pieces(0):
        total += len(piece)
        if total <= KEEP:
            kept.append(piece.astype(np.float32))
    if total < stream.least:
        raise BadSample(f"truncated: {total} of {stream.least} samples or more")
    if total > KEEP:
        return total, stream.pieces
    whole = np.concatenate([np.zeros(0, np.float32), *kept])
    return total, lambda begin: iter([whole[begin:].astype(np.float64)])


class Bytes(io.BytesIO):
    """A damaged file may make libsndfile seek to before its beginning: where it then stays, without a traceback on the page."""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def open_soundfile(data: bytes) -> Stream | None:
    """Whatever libsndfile knows; None for other formats."""
    soundfile = import_soundfile()

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        """Never seeks: soundfile does after each read, which damages opus and mp3."""

        def seekable(self) -> bool:
            return False

    def pieces(begin: int) -> Iterator[NDArray[np.float64]]:
        try:
            with (soundfile.SoundFile if anywhere else Forward)(Bytes(data)) as file:
                if anywhere:
                    file.seek(begin)
                skip, step = 0 if anywhere else begin, max(1, PIECE // file.channels)
                while len(block := file.read(step, dtype="float32", always_2d=True)):
                    if skip < len(block):
                        yield mono(block[skip:])
                    skip = max(0, skip - len(block))
        except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
            raise BadSample(f"cannot be decoded ({error})") from None

    try:
        with soundfile.SoundFile(Bytes(data)) as file:
            kind, total, rate, channels = file.subtype, file.frames, file.samplerate, file.channels
            anywhere = kind in ANYWHERE and file.seekable() and 0 <= total < 2**40
            if anywhere and file.format == "FLAC" and total:
                file.seek(total - 1)  # fails where the end is missing
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        if "unknown format" in str(error).lower() or "not recognised" in str(error).lower():
            return None
        raise BadSample(f"cannot be decoded ({error})") from None
    if channels > CHANNELS:
        raise BadSample(f"{channels} channels; at most {CHANNELS} are possible")
    if total >= 2**40:  # a flac file that was written to a pipe
        return None
    return Stream(rate, total if anywhere else None, pieces)


def open_av(data: bytes) -> Stream:
    """The first sound track of whatever FFmpeg knows. BadSample where there is none."""
    try:
        import av
    except ImportError:
        raise BadSample('not a sound that libsndfile can identify; for aac, m4a and videos: pip install "openjepa[video]"') from None

    def opened() -> Any:
        return av.open(io.BytesIO(data), options=CONTAINED, metadata_errors="replace")

    def pieces(begin: int) -> Iterator[NDArray[np.float64]]:
        try:
            with opened() as file:
                even = av.AudioResampler(format="fltp")
                for frame in chain(file.decode(file.streams.audio[0]), [None]):
                    for block in even.resample(frame):
                        samples = mono(block.to_ndarray().T.astype(np.float32))
                        if begin < len(samples):
                            yield samples[begin:]
                        begin = max(0, begin - len(samples))
        except (av.FFmpegError, ValueError, RuntimeError) as error:
            raise BadSample(f"cannot be decoded ({error})") from None

    try:
        with opened() as file:
            tracks = file.streams.audio
            if not tracks:
                raise BadSample("no audio track in it")
            track, several = tracks[0], len(tracks) > 1
            if track.codec_context is None:
                raise BadSample("its audio track is of an unknown kind")
            rate, channels = track.rate, track.channels
            declared = float(track.duration * track.time_base) if track.duration and file.format.name.startswith("mov") else 0.0
    except (av.FFmpegError, ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadSample) else BadSample(f"not a sound that can be identified ({error})") from None
    if not rate or not 0 < channels <= CHANNELS:
        raise BadSample(f"{channels} channels at {rate} Hz; it cannot be decoded")
    least = int((0.98 * declared - 0.25) * rate)  # an edit list may leave out some of what is declared
    return Stream(rate, None, pieces, least, "it has several audio tracks; the first is used" if several else None)


def mono(block: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean of the channels of [n channels]."""
    return block.astype(np.float64).mean(1) if block.shape[1] > 1 else block[:, 0].astype(np.float64)


def import_soundfile() -> Any:
    try:
        import soundfile  # type: ignore[import-untyped]
    except (ImportError, OSError) as error:  # OSError: without libsndfile
        raise ValueError(f'reading sound needs soundfile ({error}): pip install "openjepa[audio]"') from None
    return soundfile
