"""What the bytes of a media file tell before anything is decoded: is it a picture, is it all there."""

# Files that hold what they play. FFmpeg also knows playlists, which open other files and addresses: never for data
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,flac,ogg,wav,avi,asf,flv,mpegts,mpeg,mpegvideo,amr,caf"
CONTAINED = {"format_whitelist": FORMATS, "protocol_whitelist": ""}  # options of av.open

MARKS = (  # the first bytes of picture files
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\0",  # TIFF, either byte order
    b"MM\0*",
    b"\0\0\0\x0cjP  ",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"\0\0\x01\0",  # ICO
    *(b"P%d" % kind for kind in range(1, 7)),  # PBM, PGM, PPM
)
BRANDS = (b"avif", b"avis", b"mif1", b"heic")  # pictures in the container of mp4
NEEDED = (b"moov", b"mdat", b"moof")  # boxes of an mp4 that may not end early; what follows them may be anything
SEGMENT = b"\x18\x53\x80\x67"  # EBML element that holds all the rest of a Matroska file


def still(data: bytes) -> bool:
    """Whether these are the bytes of a picture, not of a video."""
    return data.startswith(MARKS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP") or (data[4:8] == b"ftyp" and data[8:12] in BRANDS)


def truncation(data: bytes) -> str | None:
    """What is missing of a video file by its own account of its parts: mp4 and mov, mkv and webm, avi. None for others."""
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
        return boxes(data)
    if data[:4] == b"\x1a\x45\xdf\xa3":
        start = data.find(SEGMENT, 0, 4096)
        return short(data, "segment", start + 4, *ebml_size(data, start + 4)) if start > 0 else "it ends inside its header"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return short(data, "RIFF list", 7, 1, int.from_bytes(data[4:8], "little"))  # 7: the last byte may be padding
    return None


def boxes(data: bytes) -> str | None:
    """What is missing of an mp4, from its top-level boxes: each is a size of 4 bytes, a name, and the content."""
    at, seen = 0, set()
    while at + 8 <= len(data):
        size, name, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:  # a large one: the size follows in 8 bytes
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size == 0:  # up to the end of the file
            size = len(data) - at
        if name in NEEDED and (found := short(data, name.decode(), at, 0, size)):
            return found
        seen.add(name)
        if size < head:  # not a box: something else follows the video
            break
        at += size
    return None if b"moov" in seen else "its index (moov) is missing"


def ebml_size(data: bytes, at: int) -> tuple[int, int | None]:
    """Length in bytes of the EBML size at `at`, and its value; None where the writer did not know it."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if not first or at + length > len(data):
        return 1, None
    value = int.from_bytes(data[at : at + length], "big") - (1 << 7 * length)
    return length, None if value == (1 << 7 * length) - 1 else value


def short(data: bytes, part: str, start: int, head: int, size: int | None) -> str | None:
    """Words for a part of `size` bytes that begins `head` bytes after `start` and does not fit into the file."""
    missing = start + head + size - len(data) if size is not None else 0
    return f"its {part} ends {missing:,} bytes after the file does" if missing > 0 else None
