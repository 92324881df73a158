import contextlib
import io
import math
import os
import struct
import sys
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image as Picture

from openjepa.modalities import film as films
from openjepa.modalities.containers import still, truncation
from openjepa.modalities.film import Film, spans
from openjepa.modalities.frames import read_frames
from openjepa.modalities.modality import BadSample
from openjepa.modalities.timeline import Packet, Timeline, timeline
from openjepa.modalities.video import Video

av = pytest.importorskip("av")
BIT = 8  # pixels of the side of a block that shows one bit
HEIGHT, WIDTH = 48, 80

# -- made videos: every frame shows its own number


def numbered(n: int, h: int = HEIGHT, w: int = WIDTH) -> np.ndarray:
    """Frames [n h w 3] that move and change colour, with their number as 14 black and white blocks in the upper left."""
    y, x = np.mgrid[0:h, 0:w]
    out = np.empty((n, h, w, 3), np.uint8)
    for k in range(n):
        out[k] = np.stack([200 * y / h + 20, 200 * x / w + 20, 127 + 90 * np.sin(6 * (x / w + y / h) + k / 3)], -1)
        for bit in range(14):
            row, column = divmod(bit, 7)
            out[k, row * BIT : (row + 1) * BIT, column * BIT : (column + 1) * BIT] = 235 if k >> bit & 1 else 20
    return out


def number(frame: np.ndarray, scale: float = 1.0) -> int:
    """The number that a frame shows."""
    side = BIT * scale
    middle = lambda i: int((i + 0.5) * side)  # noqa: E731
    return sum((frame[middle(bit // 7), middle(bit % 7)].mean() > 127) << bit for bit in range(14))


@contextlib.contextmanager
def ordinary_priority() -> Iterator[None]:
    """Run by root, libsvtav1 leaves this thread, and all that it starts later, with real-time priority: a browser then starves everything."""
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def encode(
    frames: np.ndarray,
    container: str = "mp4",
    codec: str = "libx264",
    fps: int = 24,
    times: list[int] | None = None,
    tick: Fraction = Fraction(1, 1000),
    gop: int = 12,
    b_frames: int | None = 2,
    pixels: str = "yuv420p",
    muxer: dict[str, str] | None = None,
    **options: str,
) -> bytes:
    """A video file of the frames, at `fps` or shown at `times`."""
    buffer = io.BytesIO()
    with ordinary_priority(), av.open(buffer, "w", format=container, options=muxer or {}) as out:
        stream = out.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.codec_context.gop_size, stream.codec_context.thread_count = pixels, gop, 1
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        if times is not None:
            stream.codec_context.time_base = tick
        for i, pixels_of in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels_of, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[i], tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return buffer.getvalue()


def kind(name: str, frames: np.ndarray | None = None) -> bytes:
    """A video of 40 numbered frames with several keyframes, in a container and codec; those with B-frames have them."""
    container, codec, options = KINDS[name]
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot make {codec}")
    return encode(numbered(40) if frames is None else frames, container, codec, **options)


OPEN_GOP = "keyint=12:min-keyint=12:bframes=3:scenecut=0:open-gop=1"
KINDS: dict[str, tuple[str, str, dict]] = {
    "h264 mp4": ("mp4", "libx264", {}),
    "h264 mkv": ("matroska", "libx264", {}),
    "h264 mov": ("mov", "libx264", {}),
    "h264 avi": ("avi", "libx264", {}),
    "h264 fragmented": ("mp4", "libx264", {"muxer": {"movflags": "frag_keyframe+empty_moov"}}),
    "h264 open gop": ("mp4", "libx264", {"x264-params": OPEN_GOP}),
    "h264 refreshed": ("mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=12"}),
    "hevc mp4": ("mp4", "libx265", {"x265-params": f"{OPEN_GOP}:log-level=none:pools=1:frame-threads=1"}),
    "mpeg4 avi": ("avi", "mpeg4", {}),
    "mpeg2 mpg": ("mpeg", "mpeg2video", {}),
    "vp8 webm": ("webm", "libvpx", {"b_frames": None, "auto-alt-ref": "1", "lag-in-frames": "10"}),
    "vp9 webm": ("webm", "libvpx-vp9", {"b_frames": None, "lag-in-frames": "10", "cpu-used": "8"}),
    "av1 mp4": ("mp4", "libsvtav1", {"b_frames": None, "preset": "12"}),
    "mjpeg avi": ("avi", "mjpeg", {"b_frames": None, "pixels": "yuvj420p"}),
    "ffv1 mkv": ("matroska", "ffv1", {"b_frames": None}),
}


def read(data: bytes, fps: float | None = None, choose=range, wanted: float = math.inf, smallest: int = 8) -> np.ndarray:
    return read_frames(data, fps, wanted, smallest, choose)[0]


def numbers(data: bytes, fps: float | None = None) -> list[int]:
    return [number(frame) for frame in read(data, fps)]


def reason(data: bytes, **options: object) -> str:
    with pytest.raises(BadSample) as caught:
        read(data, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="no scheduling classes here")
def test_making_videos_leaves_the_priority_of_the_tests_alone():
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    kind("av1 mp4", numbered(2))
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before


# -- which frames


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_once_and_in_order(name: str):
    assert numbers(kind(name)) == list(range(40))


@pytest.mark.parametrize("name", KINDS)
def test_a_part_is_decoded_to_the_same_bits_as_the_whole(name: str):
    """Starting in the middle, across keyframes, before and after B-frames, with gaps."""
    data, rng = kind(name), np.random.default_rng(0)
    for fps in (None, 7.0):
        whole, n = read_frames(data, fps, math.inf, 8, range)
        choices = [range(first, first + 3) for first in range(0, n - 2, 2 if fps else 5)]
        choices += [sorted(rng.choice(n, 3, replace=False).tolist()) for _ in range(4)]
        for chosen in choices:
            part, count = read_frames(data, fps, math.inf, 8, lambda n, chosen=chosen: chosen)
            assert count == n and np.array_equal(part, whole[list(chosen)]), (fps, chosen)


def test_the_rate_is_that_of_a_slow_loop_over_the_definition():
    """Variable frame rate: frame i is the last that is shown no later than i / fps after the first."""
    rng = np.random.default_rng(1)
    times = np.cumsum([0, *rng.choice([7, 20, 33, 50, 400], 39)]) + 60
    for container in ("mp4", "matroska"):
        data = encode(numbered(40), container, times=times.tolist())
        with av.open(io.BytesIO(data)) as opened:
            slack = min(Fraction(1, 1000), opened.streams.video[0].time_base)
        seconds = [Fraction(int(time - times[0]), 1000) for time in times]
        for fps in (1.0, 4.0, 11.0, 29.97, 120.0):
            want, place, step = [], Fraction(0), 1 / Fraction(str(fps))
            while place <= seconds[-1] + slack:
                want.append(max(i for i, shown in enumerate(seconds) if shown <= place + slack))
                place += step
            assert numbers(data, fps) == want, (container, fps)
        assert numbers(data) == list(range(40))


def test_times_rounded_to_milliseconds_lose_no_frame():
    """At its own 30 frames per second each frame of a Matroska file comes once, although 67 ms is later than 2 / 30 s."""
    data = encode(numbered(40), "matroska", fps=30)
    assert numbers(data, 30.0) == list(range(40))
    assert numbers(data, 15.0) == list(range(0, 40, 2))


def test_without_times_frames_are_evenly_spaced():
    """AVI keeps none, and B-frames are stored out of order."""
    data = kind("h264 avi")
    with Film(data) as film:
        assert film.times().packets is None
    assert numbers(data, 12.0) == list(range(0, 40, 2))
    assert numbers(data, 4.0) == list(range(0, 40, 6))


def test_a_still_stretch_repeats_its_frame():
    data = encode(numbered(3), times=[0, 100, 2100])
    assert numbers(data, 4.0) == [0, 1, 1, 1, 1, 1, 1, 1, 1]
    assert numbers(encode(numbered(1)), 4.0) == [0]


def test_times_that_cannot_be_trusted():
    def packets(*times: int | None) -> list[Packet]:
        return [Packet(pts, dts, dts == 0) for dts, pts in enumerate(times)]

    tick = Fraction(1, 10)
    assert timeline(packets(0, 2, 1, 3), tick, Fraction(1)) is not None
    assert timeline(packets(0, 2, None, 3), tick, Fraction(1)) is None
    assert timeline(packets(0, 2, 2, 3), tick, Fraction(1)) is None
    assert timeline(packets(0, 2, 1, 10**12), tick, Fraction(1)) is None
    assert timeline([Packet(0, 5, True), Packet(1, 4, False)], tick, None) is None
    assert timeline([], tick, None) is None


def test_starts_and_spans_agree_with_a_slow_loop():
    """Random films with leading pictures: packet i is decoded from the last keyframe before it in both orders."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        n = int(rng.integers(4, 30))
        pts = np.argsort(np.argsort(np.arange(n) + rng.uniform(0, 3, n)))
        keys = rng.random(n) < 0.3
        keys[0] = True
        found = timeline([Packet(int(p), i, bool(k)) for i, (p, k) in enumerate(zip(pts, keys, strict=True))], Fraction(1), None)
        assert found is not None and found.packets is not None and found.starts is not None
        assert found.times.tolist() == [p for p in range(n) if p >= pts[0]]
        for shown, packet, start in zip(found.times, found.packets, found.starts, strict=True):
            assert pts[packet] == shown
            assert start == max(i for i in range(packet + 1) if keys[i] and pts[i] <= shown)
        stretches = spans(found.starts, found.packets)
        needed = {i for a, b in zip(found.starts, found.packets, strict=True) for i in range(a, b + 1)}
        assert {i for a, b in stretches for i in range(a, b + 1)} == needed
        assert all(b + 1 < c for (_, b), (c, _) in zip(stretches, stretches[1:], strict=False))


def test_hidden_packets_and_missing_references_are_not_frames():
    """Before the first keyframe there is nothing to refer to."""
    packets = [Packet(3, 0, True), Packet(1, 1, False), Packet(2, 2, False), Packet(5, 3, False, shown=False), Packet(4, 4, False)]
    found = timeline(packets, Fraction(1), None)
    assert found is not None and found.times.tolist() == [3, 4]
    cut = encode(numbered(40), "mpegts", "mpeg2video")
    with av.open(io.BytesIO(cut)) as container:
        second = [packet.pos for packet in container.demux(video=0) if packet.size and packet.is_keyframe][1]
    for start in (second, second - 188 * 8):  # from a keyframe on, whose leading pictures lack theirs, and from before one
        shown = numbers(cut[start // 188 * 188 :])
        assert shown == list(range(12, 40))


def test_frames_that_are_never_shown_are_not_counted():
    """VP8 stores some only for others to refer to; here a hidden copy of a keyframe, just before it."""
    buffer, plain = io.BytesIO(), kind("vp8 webm")
    with av.open(io.BytesIO(plain)) as source, av.open(buffer, "w", format="webm") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size]:
            if packet.is_keyframe and packet.pts:
                hidden = av.Packet(bytes([bytes(packet)[0] & ~16]) + bytes(packet)[1:])
                hidden.pts = hidden.dts = packet.pts - 5
                hidden.time_base, hidden.stream = packet.time_base, stream
                out.mux(hidden)
            packet.stream = stream
            out.mux(packet)
    data = buffer.getvalue()
    assert numbers(data) == list(range(40))
    assert np.array_equal(read(data), read(plain))
    assert [number(x) for x in read(data, None, lambda n: range(11, 14))] == [11, 12, 13]


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"h264 avi", "h264 refreshed"}))
def test_only_what_a_clip_needs_is_decoded(name: str, monkeypatch: pytest.MonkeyPatch):
    """From the keyframe before it: at most 12 frames back. Not where times or keyframes cannot be trusted."""
    data, decoded = kind(name), []
    monkeypatch.setattr(films, "whole", lambda frame: decoded.append(frame.pts) or frame)
    for first in (27, 37):  # after a keyframe with frames that are shown before it but decoded later, and at the end
        decoded.clear()
        assert [number(x) for x in read(data, None, lambda n, first=first: range(first, first + 3))] == list(range(first, first + 3))
        assert len(decoded) <= 12 + 3


def test_three_hours_take_no_more_memory_than_a_minute():
    """One frame per second: the place of a clip is found without decoding what is before it."""
    data = encode(numbered(10_800, 16, 56), "matroska", "mpeg4", fps=1, gop=60, b_frames=0)
    part, n = read_frames(data, 4.0, math.inf, 8, lambda n: range(4 * 9000, 4 * 9000 + 16))
    assert n == 4 * 10_799 + 1 and [number(x) for x in part] == [9000 + k // 4 for k in range(16)]
    many = lambda n: range(10**8)  # noqa: E731
    assert "too long to be decoded as a whole" in reason(data, choose=many)


# -- their pixels


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_phone(degrees: int):
    """The matrix in the track header, by the MP4 standard's formula: clockwise by so much."""
    frames = numbered(4, 48, 80)
    flat = encode(frames)
    data = bytearray(flat)
    at = data.index(b"tkhd") + 4 + 40
    cos, sin = round(math.cos(math.radians(degrees))), round(math.sin(math.radians(degrees)))
    data[at : at + 36] = struct.pack(">9i", cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    upright = read(bytes(data))
    want = np.rot90(read(flat), -degrees // 90, axes=(1, 2))
    assert np.array_equal(upright, want)
    small = read(bytes(data), wanted=24)
    assert small.shape[1:3] == ((24, 40) if degrees % 180 == 0 else (40, 24))


@pytest.mark.parametrize(("h", "w"), [(96, 160), (160, 96), (98, 150)])
def test_frames_are_shrunk_as_pillow_does(h: int, w: int):
    data = encode(numbered(3, h, w), codec="ffv1", container="matroska", b_frames=None, pixels="bgr0")
    full = read(data)
    assert np.array_equal(full, numbered(3, h, w))
    for wanted in (40, 57.3, 95.2, 300):
        side = min(math.ceil(wanted), h, w)
        small = read(data, wanted=wanted)
        height, width = small.shape[1:3]
        assert min(height, width) == side and abs(width / height - w / h) < 0.03
        want = np.stack([np.array(Picture.fromarray(x).resize((width, height), Picture.Resampling.BILINEAR)) for x in full])
        assert abs(small.astype(int) - want).max() <= 5


@pytest.mark.parametrize(("rows", "space", "tagged"), [(480, 5, False), (720, 1, False), (480, 1, True), (720, 5, True)])
def test_colours_are_those_of_the_source(rows: int, space: int, tagged: bool):
    """BT.601 and BT.709, said or, by the number of rows, unsaid."""
    colours = np.array([(200, 40, 40), (40, 180, 60), (30, 60, 210), (220, 200, 30)], np.uint8)
    source = np.repeat(np.repeat(colours[None, None], rows, 1), 64, 2).reshape(1, rows, 256, 3)
    frame = av.VideoFrame.from_ndarray(source[0], "rgb24").reformat(format="yuv420p", dst_colorspace=space)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=24, options={"qp": "1"})
        stream.height, stream.width, stream.pix_fmt = rows, 256, "yuv420p"
        frame.colorspace = (6 if space == 5 else 1) if tagged else 2
        stream.codec_context.colorspace = frame.colorspace
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    got = read(buffer.getvalue())[0]
    assert abs(got[:, 16::64].astype(int) - colours).max() <= 6


def test_an_8k_frame():
    data = encode(np.full((1, 4320, 7680, 3), 99, np.uint8), "matroska", "mjpeg", b_frames=None, pixels="yuvj420p")
    got = read(data, wanted=224)
    assert got.shape == (1, 224, 398, 3) and abs(got.astype(int) - 99).max() <= 3


# -- what cannot be used


def test_empty_and_foreign_files():
    assert reason(b"") == "the file is empty"
    assert "cannot be decoded" in reason(b"these are words\n" * 500)
    assert "cannot be decoded" in reason(bytes(5000))


def sound(container: str, codec: str, cover: bool = False) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=16000, layout="mono")
        if cover:
            picture = out.add_stream("mjpeg", rate=25)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuvj420p"
            picture.disposition = 1024
            out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
            out.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), "s16", "mono")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return buffer.getvalue()


def test_sound_alone_is_no_video():
    assert reason(sound("wav", "pcm_s16le")) == "no video in it, only audio"
    assert reason(sound("mp4", "aac")) == "no video in it, only audio"
    assert reason(sound("mp4", "aac", cover=True)) == "no video in it, only audio and a cover picture"


def test_a_video_without_frames():
    data = kind("h264 fragmented")
    assert reason(data[: data.index(b"moof") - 4]) == "its video has no frames"


@pytest.mark.parametrize("name", ["h264 mp4", "h264 fragmented", "h264 mov", "h264 mkv", "vp9 webm", "h264 avi", "mpeg4 avi"])
def test_a_file_that_breaks_off_is_truncated(name: str):
    data = kind(name)
    for share in (0.05, 0.3, 0.5, 0.8, 0.97):
        assert reason(data[: int(share * len(data))]).startswith("truncated"), share
    if name != "h264 fragmented":  # which ends with an index that nobody needs
        assert reason(data[:-1]).startswith("truncated")


@pytest.mark.parametrize("name", ["h264 mp4", "h264 mkv", "vp9 webm", "h264 avi", "mjpeg avi", "ffv1 mkv"])
def test_a_file_filled_up_with_zeros_is_refused(name: str):
    """What an interrupted download into a file of the full size leaves."""
    data = kind(name)
    for share in (0.3, 0.5, 0.8):
        kept = int(share * len(data))
        assert reason(data[:kept] + bytes(len(data) - kept))


def test_what_follows_a_whole_video_does_not_matter():
    """Phones append their own data."""
    for name in ("h264 mp4", "h264 mkv", "mpeg4 avi"):
        assert numbers(kind(name) + b"SEFT of some maker" * 3) == list(range(40))


def test_truncation_reads_the_sizes_that_containers_state():
    for name in KINDS:
        data = kind(name)
        assert truncation(data) is None, name
        if name.endswith(("mp4", "mov", "mkv", "webm", "avi")):
            assert truncation(data[:-100]) is not None, name
    large = struct.pack(">I4sQ", 1, b"mdat", 5000) + bytes(1000)  # a size in 8 bytes
    assert truncation(large) == "its mdat ends 3,984 bytes after the file does"
    assert truncation(b"") is None and truncation(b"\x1a\x45\xdf\xa3") == "it ends inside its header"


def test_a_damaged_stretch_is_found_where_it_is_decoded():
    data = bytearray(encode(numbered(120), gop=10))
    with av.open(io.BytesIO(bytes(data))) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    middle = places[60]
    data[middle + 8 : middle + 200] = bytes(192)
    assert reason(bytes(data))
    first = read(bytes(data), None, lambda n: range(5, 12))
    assert [number(x) for x in first] == list(range(5, 12))


def test_a_frame_of_which_a_part_is_guessed_is_refused():
    """H.264 carries on after a damaged slice, with grey or with what was there before, and only marks the frame."""
    data, rng, said = kind("h264 mp4"), np.random.default_rng(3), []
    for place in rng.integers(data.index(b"mdat") + 800, data.index(b"moov") - 8, 40):
        broken = bytearray(data)
        broken[place] ^= 1 << int(rng.integers(8))
        try:
            read(bytes(broken))
        except BadSample as error:
            said.append(str(error))
    assert sum(words.startswith("damaged: only a part of the frame") for words in said) >= 5, said


def test_too_small_and_too_large(monkeypatch: pytest.MonkeyPatch):
    data = kind("h264 mp4")
    assert reason(data, smallest=56) == "too small: frames of 80 x 48 pixels, the shorter side must have at least 56"
    monkeypatch.setattr(films, "MAX_PIXELS", 3000)
    assert reason(data) == "decompression bomb: frames of 80 x 48 pixels, more than 3,000"


@pytest.mark.parametrize("name", ["h264 mp4", "h264 mkv", "mpeg4 avi"])
def test_damage_gives_badsample_or_frames(name: str):
    """20 cases each, cut, with flipped bits, or with a hole: nothing else escapes, nothing hangs."""
    data, rng = kind(name), np.random.default_rng(7)
    for case in range(20):
        broken = bytearray(data)
        at = int(rng.integers(1, len(broken)))
        if case % 4 == 0:
            del broken[at:]
        elif case % 4 == 1:
            broken[at : at + 300] = bytes(len(broken[at : at + 300]))
        else:
            for i in rng.integers(0, len(broken), 1 if case % 4 == 2 else 6):
                broken[i] ^= 1 << int(rng.integers(8))
        began = time.process_time()
        try:
            got = read(bytes(broken), 8.0)
        except BadSample:
            pass
        else:
            assert got.dtype == np.uint8 and got.ndim == 4 and got.shape[3] == 3 and len(got)
        assert time.process_time() - began < 5


def test_containers_are_closed(monkeypatch: pytest.MonkeyPatch):
    good, silent = kind("h264 mp4"), sound("mp4", "aac")
    opened, original = [], av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: opened.append(original(*a, **k)) or opened[-1])
    monkeypatch.setattr(films, "KEPT", 0)  # as for a large file, which is opened again
    read(good)
    for data in (silent, good.replace(b"avc1", b"none")):
        reason(data)
    assert len(opened) >= 4
    for container in opened:
        with pytest.raises((AssertionError, ValueError)):
            list(container.demux())


def test_a_large_file_is_read_again_instead_of_kept(monkeypatch: pytest.MonkeyPatch):
    data = kind("h264 mkv")
    whole = read(data)
    monkeypatch.setattr(films, "KEPT", 0)
    assert np.array_equal(read(data), whole)
    assert np.array_equal(read(data, None, lambda n: [3, 20, 30]), whole[[3, 20, 30]])


def test_without_pyav_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r'pip install "openjepa\[video\]"') as caught:
        read(b"anything")
    assert not isinstance(caught.value, BadSample)  # else every file would be called bad


def test_pictures_are_told_from_videos():
    for name in KINDS:
        assert not still(kind(name)), name
    for form in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO"):
        buffer = io.BytesIO()
        Picture.fromarray(numbered(1)[0]).save(buffer, form)
        assert still(buffer.getvalue()), form
    assert not still(b"")


def test_a_timeline_counts_without_decoding():
    times = Timeline(np.array([0, 100, 250, 1000]), Fraction(1, 1000))
    assert [times.count(fps) for fps in (None, 1.0, 4.0, 10.0)] == [4, 2, 5, 11]
    assert times.shown(4.0, range(5)).tolist() == [0, 2, 2, 2, 3]


def test_a_playlist_opens_no_other_file(tmp_path):
    """FFmpeg would read what a playlist names; a sample is what its own bytes hold."""
    (tmp_path / "secret.mp4").write_bytes(b"not for the encoder")
    playlist = f"#EXTM3U\n#EXTINF:1,\n{tmp_path / 'secret.mp4'}\n#EXT-X-ENDLIST\n".encode()
    concat = f"ffconcat version 1.0\nfile {tmp_path / 'secret.mp4'}\n".encode()
    for data in (playlist, concat):
        with pytest.raises(BadSample):
            Video(size=(4, 16, 16), patch=(2, 8, 8)).decode(data)
