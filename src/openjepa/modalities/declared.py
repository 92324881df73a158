"""How long a sound file says it is: what decoders do not tell when its end is missing."""

import struct
from collections.abc import Callable

MATROSKA, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def cut_off(data: bytes) -> str | None:
    """What a file's own header says is missing at its end: wav, aiff, ogg, mp3, mp4, mkv. libsndfile and FFmpeg would take what is there."""
    if data[:4] in (b"RIFF", b"RIFX", b"FORM"):
        order, name = ("<" if data[:4] == b"RIFF" else ">"), (b"SSND" if data[:4] == b"FORM" else b"data")
        return first_short(data, 12, lambda at: (data[at : at + 4], 8 + struct.unpack_from(order + "I", data, at + 4)[0]), name)
    if data[:4] == b"OggS":
        last = data.rfind(b"OggS")
        segments = data[last + 26] if last + 27 <= len(data) else 256
        size = 27 + segments + sum(data[last + 27 : last + 27 + segments])
        return None if last + size <= len(data) else "the last page ends early"
    if data[4:8] == b"ftyp":
        return first_short(data, 0, lambda at: (data[at + 4 : at + 8], struct.unpack_from(">I", data, at)[0]), b"mdat")
    if (end := mp3_end(data)) > 1.01 * len(data):  # not every encoder counts to the byte
        return f"{end - len(data)} of {end} bytes are missing"
    if data[:4] == MATROSKA and (end := matroska_end(data)) > len(data):
        return f"{end - len(data)} of {end} bytes are missing"
    return None


def matroska_end(data: bytes) -> int:
    """Length that a matroska or webm file says it has; 0 where it does not say."""
    at = 4
    for identity in (b"", SEGMENT):  # the head, then all the rest
        if data[at : at + len(identity)] != identity or at + len(identity) >= len(data):
            return 0
        at += len(identity)
        width = 9 - data[at].bit_length()  # a size has its own length in its first bits; all ones: not known
        size = int.from_bytes(data[at : at + width], "big") & (1 << 7 * width) - 1
        if width > 8 or size == (1 << 7 * width) - 1:
            return 0
        at += width + size
    return at


def first_short(data: bytes, at: int, head: Callable[[int], tuple[bytes, int]], name: bytes) -> str | None:
    """Walk over chunks to the one called `name`, and say how much of it is missing. Sizes over 2 GB mean "until the end"."""
    while at + 8 <= len(data):
        found, size = head(at)
        if found == name and 8 <= size < 0x7FFFF000 and at + size > len(data):
            return f"{at + size - len(data)} of {size} bytes of sound are missing"
        if found == name or size < 8:
            break
        at += size + (size % 2 if name != b"mdat" else 0)
    return None


def mp3_end(data: bytes) -> int:
    """Length that an mp3 file says it has, in the Xing or Info tag of its first frame; 0 where it does not say."""
    at = 0
    if data[:3] == b"ID3" and len(data) >= 10:
        at = 10 + sum((byte & 127) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    if data[at : at + 1] != b"\xff":
        return 0
    for side in (13, 21, 36):  # behind what is the length of the frame's side information
        tag = at + side
        if data[tag : tag + 4] in (b"Xing", b"Info") and len(data) >= tag + 16 and data[tag + 7] & 2:  # bit 0: frames, bit 1: bytes
            first = tag + 8 + 4 * (data[tag + 7] & 1)
            return at + int.from_bytes(data[first : first + 4], "big")
    return 0
