"""Bytes of an image file to upright RGB pixels, or the reason why not."""

import io
import math
import struct
import warnings

import numpy as np
import torch
from PIL import Image as Picture
from PIL import UnidentifiedImageError

from openjepa.modalities.modality import BadSample, Decoded

MAX_PIXELS = 100_000_000  # a larger picture is taken for a decompression bomb; a JPEG, decoded small, may have 1.7 times as many
LARGEST = 8  # how far a picture is shrunk at most while it is decoded; JPEG knows 1, 2, 4 and 8
ZEROS = bytes(16)  # a file that ends so was perhaps not written to its end
EOI, SOS = b"\xff\xd9", b"\xff\xda"  # JPEG: end of the image, start of a scan
UPRIGHT = {  # EXIF orientation -> what undoes it
    2: Picture.Transpose.FLIP_LEFT_RIGHT,
    3: Picture.Transpose.ROTATE_180,
    4: Picture.Transpose.FLIP_TOP_BOTTOM,
    5: Picture.Transpose.TRANSPOSE,
    6: Picture.Transpose.ROTATE_270,
    7: Picture.Transpose.TRANSVERSE,
    8: Picture.Transpose.ROTATE_90,
}

# Pillow warns about odd metadata of pictures that are fine. Not catch_warnings: that is not safe in threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Picture.DecompressionBombWarning, module=r"PIL\.")  # `inspect` decides


def decode(data: bytes, wanted: float = math.inf, smallest: int = 1) -> Decoded:
    """The first picture in `data`, upright, as RGB; transparency lies on white, 16-bit values keep their upper byte.

    A large one comes at 1/2, 1/4 or 1/8 of its size, as long as its shorter side keeps `wanted` pixels.
    BadSample says why a file cannot be used, e.g. a shorter side under `smallest` pixels.
    """
    if not data:
        raise BadSample("the file is empty")
    try:
        image: Picture.Image = Picture.open(io.BytesIO(data))
        inspect(image, data, smallest)
        note = remark(image)
        factor = min(LARGEST, 2 ** int(math.log2(max(1.0, min(image.size) / wanted))))
        jpeg = image.format in ("JPEG", "MPO")
        if jpeg:
            load_jpeg(image, data, factor)
        image.load()
        turn = UPRIGHT.get(orientation(image))
        image = to_rgb(image)
        if factor > 1 and not jpeg:
            image = image.reduce(factor)
        pixels = np.array(image if turn is None else image.transpose(turn))
    except BadSample:
        raise
    except UnidentifiedImageError:
        raise BadSample("not an image that Pillow can identify") from None
    except Picture.DecompressionBombError as error:
        raise BadSample(f"decompression bomb: {error}") from None
    except Exception as error:  # noqa: BLE001  decoders raise OSError, SyntaxError, struct.error and more for damaged files
        raise BadSample(f"cannot be decoded ({type(error).__name__}: {error})") from None
    # a view: the channels stay last in memory, as Pillow wants them again for cropping
    return Decoded(torch.from_numpy(pixels).permute(2, 0, 1), note)


def inspect(image: Picture.Image, data: bytes, smallest: int) -> None:
    """Refuse what the header and the last bytes already tell."""
    w, h = image.size
    if w * h > MAX_PIXELS and image.format not in ("JPEG", "MPO"):  # for these Pillow has drawn the line at 179 million
        raise BadSample(f"decompression bomb: {w} x {h} pixels, more than {MAX_PIXELS:,}")
    if min(w, h) < smallest:
        raise BadSample(f"too small: {w} x {h} pixels, the shorter side must have at least {smallest}")
    if data.endswith(ZEROS) and not finished(data.rstrip(b"\0"), image.format):
        raise BadSample("truncated: it ends in zeros, as after an interrupted download or copy")


def finished(data: bytes, format: str | None) -> bool:
    """Whether `data`, padding aside, has the end that its format wants. Raw formats may end in black."""
    if format in ("JPEG", "MPO"):
        return data.rfind(EOI) > data.rfind(SOS)  # not the end of the thumbnail in the header
    if format == "PNG":
        return data.endswith(b"IEND\xaeB`\x82")
    return format not in ("WEBP", "AVIF")


def remark(image: Picture.Image) -> str | None:
    """A note on a file with several pictures. An MPO is one photograph, with a second eye or a preview."""
    several = image.format != "MPO" and getattr(image, "is_animated", False)
    return "it has several frames; the first is used" if several else None


def load_jpeg(image: Picture.Image, data: bytes, factor: int) -> None:
    """Decode inside the JPEG decoder at 1 / factor, and refuse what ran out of data.

    Pillow raises when a file ends early, but not when an end mark follows the cut: the rest is then
    mid-grey. So if the last pixel is, decode again with more data put in: a whole picture stays as it is.
    """
    size = image.width // factor, image.height // factor
    image.draft("", size)
    image.load()
    corner = image.getpixel((image.width - 1, image.height - 1))
    if corner not in ((128, 128, 128), 128):
        return
    end = data.rfind(EOI)
    longer = Picture.open(io.BytesIO(data[:end] + bytes(range(1, 251)) * 64 + EOI))
    longer.draft("", size)
    if longer.tobytes() != image.tobytes():
        raise BadSample("truncated: the data end before the picture does")


def orientation(image: Picture.Image) -> int:
    """EXIF orientation of a loaded picture, 1 (upright) if there is none or it is damaged."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error):
        return 1


def to_rgb(image: Picture.Image) -> Picture.Image:
    """RGB of any mode: CMYK, grey, palette, alpha on white, 16 and 32 bits to their upper 8."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        highest = 65535 if image.mode != "I" else int(values.max())  # 32-bit files hold 8, 16 or 32 bits
        shift = 0 if highest <= 255 else 8 if highest <= 65535 else 23
        return Picture.fromarray((values >> shift).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        return Picture.fromarray((values * (255 if values.max() <= 1 else 1)).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        return Picture.alpha_composite(Picture.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
