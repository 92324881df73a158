"""One open video file: when its frames are shown, and those frames out of the decoder. PyAV's work, with its ends tied."""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from openjepa.modalities.containers import CONTAINED
from openjepa.modalities.decode import MAX_PIXELS
from openjepa.modalities.modality import BadSample
from openjepa.modalities.timeline import Ints, Packet, Timeline, timeline

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

KEPT = 64 * 2**20  # bytes of a file up to which its packets are read once and kept
AVI_FRAMES = 0.95  # share of the frames that the header of an AVI counts; empty ones, which repeat the last, are left out
PER_THREAD = 2**19  # pixels of a frame for which another thread pays: below, one thread takes the least time in all
THREADS = 4
EARLY = Fraction(1, 50), Fraction(1, 4)  # share of its declared length by which a video may end early, or seconds
DECLARING = ("mov", "matroska")  # containers whose declared length is written by who made them, not guessed from a bit rate
SKIPPING = ("h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video")  # decoders that can be told anew with each packet what to leave out
MARKING = ("h264",)  # decoders that mark frames of which they had to guess a part; others are told to give up

Spans = list[tuple[int, int]]  # stretches of packets: first and last of each


class Undecoded(BadSample):
    """A frame did not come out of the decoder, or not all of it."""


def pyav() -> ModuleType:
    """PyAV. ValueError says how to install it."""
    try:
        import av
    except ImportError as error:
        raise ValueError(f'reading videos needs PyAV ({error}); pip install "openjepa[video]"') from None
    return av


class Film:
    """The first video in the bytes of a file. BadSample says why it cannot be used."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.kept: list[av.Packet[VideoStream]] | None = None
        self.container, self.stream = self.open()

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *error: object) -> None:
        self.container.close()

    def open(self) -> "tuple[InputContainer, VideoStream]":
        """The container and its first video stream that is not a cover picture."""
        container: InputContainer = pyav().open(io.BytesIO(self.data), options=CONTAINED, metadata_errors="replace")
        with ExitStack() as undo:  # nobody else can close a container that was never handed over
            undo.callback(container.close)
            stream = choose(container)
            undo.pop_all()
        return container, stream

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its frames in pixels, as stored."""
        context = self.stream.codec_context
        return context.width, context.height

    def packets(self) -> "Iterator[av.Packet[VideoStream]]":
        """The packets of the video in the order of decoding, those of a large file read again."""
        if self.kept is not None:
            yield from self.kept
            return
        self.container.close()
        self.container, self.stream = self.open()
        yield from (packet for packet in self.container.demux(self.stream) if packet.size)

    def times(self) -> Timeline:
        """When its frames are shown, without decoding them where the file tells. BadSample if it ends before it should."""
        stream, index = self.stream, self.stream.index
        packets, kept, end = list[Packet](), list["av.Packet[VideoStream]"](), Fraction(0)
        for packet in self.container.demux():
            if packet.pts is not None and packet.time_base:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream_index != index or not packet.size:
                continue
            if packet.is_corrupt:
                raise BadSample(f"truncated or damaged: only a part of frame {len(packets)} is there")
            hidden = packet.is_discard or (stream.codec_context.name == "vp8" and not memoryview(packet)[0] & 16)
            packets.append(Packet(packet.pts, packet.dts, packet.is_keyframe, not hidden))
            if len(self.data) <= KEPT:
                kept.append(packet)  # type: ignore[arg-type]
        if not any(packet.shown for packet in packets):
            raise BadSample("its video has no frames")
        declared = Fraction(self.container.duration or 0, 1_000_000)
        if declared and self.container.format.name.startswith(DECLARING):
            end = max(end, end - Fraction(self.container.start_time or 0, 1_000_000))
            if end < declared - max(declared * EARLY[0], EARLY[1]):
                raise BadSample(f"truncated: it ends after {float(end):.1f} of {float(declared):.1f} seconds")
        if len(self.data) <= KEPT:
            self.kept = kept
        if len(packets) < AVI_FRAMES * (stream.frames if self.container.format.name == "avi" else 0):
            raise BadSample(f"truncated: {len(packets)} of {stream.frames} frames are there")
        # AVI keeps no times: where frames come in another order than they are decoded, those that PyAV makes up are wrong
        made_up = stream.codec_context.has_b_frames and len({(p.pts or 0) - (p.dts or 0) for p in packets}) == 1
        if made_up and self.container.format.name == "avi":
            return self.count()
        return timeline(packets, Fraction(stream.time_base or 0), declared) or self.count()

    def count(self) -> Timeline:
        """The times of a file that does not tell them: evenly spaced, as many as come out of the decoder."""
        rate = self.stream.average_rate or self.stream.guessed_rate or 25
        n = sum(1 for _ in self.everything())
        if not n:
            raise BadSample("no frame of its video can be decoded")
        return Timeline(np.arange(n), 1 / Fraction(rate))

    def everything(self) -> "Iterator[av.VideoFrame]":
        """All frames in the order in which they are shown."""
        self.kept = None  # a decoder that has ended begins anew with the file
        for packet in self.packets():
            yield from map(whole, self.stream.codec_context.decode(packet))
        yield from map(whole, self.stream.codec_context.decode(None))

    def frames(self, times: Timeline, wanted: Ints) -> "Iterator[tuple[int, av.VideoFrame]]":
        """The `wanted` frames, ascending and each once, with their numbers."""
        if times.packets is None or times.starts is None:
            chosen = set(wanted.tolist())
            yield from ((i, frame) for i, frame in islice(enumerate(self.everything()), max(chosen) + 1) if i in chosen)
            return
        left = wanted
        try:
            for i, frame in self.between(times, left, spans(times.starts[left], times.packets[left])):
                yield i, frame
                left = left[left != i]
        except (Undecoded, pyav().error.InvalidDataError):  # perhaps from a keyframe that is none: begin with the file, leave nothing out
            self.stream.codec_context.flush_buffers()
            self.stream.codec_context.skip_frame = "DEFAULT"
            yield from self.between(times, left, [(0, int(times.packets[left].max()))], skip=False)

    def between(self, times: Timeline, wanted: Ints, todo: Spans, skip: bool = True) -> "Iterator[tuple[int, av.VideoFrame]]":
        """The `wanted` frames from decoding the packets of `todo`; with `skip` only frames that others refer to beside them."""
        from av.video.frame import PictureType

        assert times.packets is not None
        brings = {int(times.packets[i]) for i in wanted}
        numbers = {int(times.times[i]): int(i) for i in wanted}
        checked = 0
        for first, start, frame in self.decoded(todo, brings if skip else None):
            if frame.pts is None or (start is not None and frame.pts < start):
                continue  # shown before the keyframe: it may refer to what was left out
            if first != checked and (frame.pts != start or frame.pict_type != PictureType.I):
                raise Undecoded("damaged: a frame that is marked as a keyframe is none")  # e.g. a picture begins to be refreshed there
            checked = first
            whole(frame)
            if (i := numbers.pop(frame.pts, None)) is not None:
                yield i, frame
        if numbers:
            at = float((min(numbers) - int(times.times[0])) * times.tick)
            raise Undecoded(f"damaged: {len(numbers)} frames are missing, the first at {at:.2f} seconds")

    def decoded(self, todo: Spans, brings: set[int] | None) -> "Iterator[tuple[int, int | None, av.VideoFrame]]":
        """What comes out for the packets of each span: its first packet, when that is shown, and a frame.

        With `brings`, frames to which no other refers are left out where their packet is not in it.
        """
        stretches = iter(todo)
        (first, last), start = next(stretches), None
        for j, packet in enumerate(self.packets()):
            if j < first:
                continue
            context, start = self.stream.codec_context, packet.pts if j == first else start
            if brings is not None and context.name in SKIPPING:
                context.skip_frame = "DEFAULT" if j in brings else "NONREF"
            yield from ((first, start, frame) for frame in context.decode(packet))
            if j == last:
                yield from ((first, start, frame) for frame in context.decode(None))
                context.flush_buffers()
                if (following := next(stretches, None)) is None:
                    return
                first, last = following


def choose(container: "InputContainer") -> "VideoStream":
    """The first video stream that is not a cover picture, ready to be decoded."""
    from av.stream import Disposition

    video = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not video:
        others = sorted({stream.type for stream in container.streams if stream.type != "video"})
        cover = " and a cover picture" if container.streams.video else ""
        raise BadSample(f"no video in it, only {' and '.join(others) or 'nothing'}{cover}")
    context = video[0].codec_context
    if context is None:
        raise BadSample("its video is of a kind that PyAV does not know")
    w, h = context.width, context.height
    if w * h > MAX_PIXELS:
        raise BadSample(f"decompression bomb: frames of {w} x {h} pixels, more than {MAX_PIXELS:,}")
    if not w * h:
        raise BadSample("damaged: it does not say how large its frames are")
    context.options = {"max_pixels": str(MAX_PIXELS)} | ({} if context.name in MARKING else {"err_detect": "crccheck+explode"})
    context.thread_type = "AUTO"
    context.thread_count = min(THREADS, max(1, w * h // PER_THREAD))
    return video[0]


def whole(frame: "av.VideoFrame") -> "av.VideoFrame":
    """The frame, if the decoder did not have to guess a part of it."""
    if frame.is_corrupt:
        raise Undecoded(f"damaged: only a part of the frame at {frame.time or 0:.2f} seconds can be decoded")
    return frame


def spans(starts: Ints, packets: Ints) -> Spans:
    """The stretches of packets, first and last, that hold all of starts[i] to packets[i]; those that meet made one."""
    found: Spans = []
    for first, last in sorted(zip(starts.tolist(), packets.tolist(), strict=True)):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return found
