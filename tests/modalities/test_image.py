import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from PIL import PngImagePlugin, TiffImagePlugin

from openjepa import draws
from openjepa.modalities.image import BadSample, Image
from openjepa.modalities.resize import TRIES, crop_boxes, resize, resize_batch, resize_one

SMALL = Image(size=(24, 40), patch=(8, 8))


def noise(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def smooth(h: int, w: int) -> np.ndarray:
    y, x = np.mgrid[0:h, 0:w]
    return np.stack([255 * y / h, 255 * x / w, 127 + 100 * np.sin(6 * (x / w + y / h))], -1).astype(np.uint8)


def saved(picture: Picture.Image | np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    (Picture.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data: bytes, modality: Image = SMALL) -> np.ndarray:
    return modality.read(data).permute(1, 2, 0).numpy()


# -- crops and resizing


def pillow(image: torch.Tensor, box: np.ndarray, size: tuple[int, int], cut: bool) -> torch.Tensor:
    """Pillow's own antialiased resize of a box, of the picture or of what was cut out of it."""
    top, left, h, w = box
    picture = Picture.fromarray(image.permute(1, 2, 0).numpy().copy())
    if cut:
        picture, top, left = picture.crop((left, top, left + w, top + h)), 0, 0
    resized = picture.resize(size[::-1], Picture.Resampling.BILINEAR, box=(left, top, left + w, top + h))
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def test_resize_is_pillows_to_one_grey_level():
    """Up, down, odd boxes and, uncut, fractional boxes, one picture at a time."""
    whole = np.array([[0, 0, 61, 47], [3, 5, 17, 11], [40, 2, 21, 43], [60, 46, 1, 1]], float)
    part = np.array([[0, 0, 61, 47], [3.5, 5, 17, 11.5], [10.5, 7.25, 30.5, 33.5], [0.5, 0, 60.5, 46.5]])
    images = torch.stack([torch.from_numpy(noise(61, 47, k)).permute(2, 0, 1) for k in range(4)])
    for size in ((23, 29), (7, 83), (61, 47)):
        for boxes, flip in ((whole, False), (whole, True), (part, None)):
            want = torch.stack([pillow(*pair, size, cut=flip is not None) for pair in zip(images, boxes, strict=True)])
            want = want.flip(-1) if flip else want
            got = resize_batch(images, boxes, size, None if flip is None else np.full(4, flip))
            assert (got.int() - want.int()).abs().max() <= 1
            assert torch.equal(torch.stack([resize_one(*pair, size, flip) for pair in zip(images, boxes, strict=True)]), want)


def test_nothing_outside_a_training_crop_enters():
    image = torch.zeros(3, 60, 50, dtype=torch.uint8)
    image[:, 10:40, 5:30] = 200
    box = np.array([[10.0, 5, 30, 25]])
    assert (resize_batch(image[None], box, (9, 7), np.array([False])) == 200).all()
    assert (resize_one(image, box[0], (9, 7), False) == 200).all()


def test_resize_of_its_own_size_changes_nothing():
    image = torch.from_numpy(noise(31, 37)).permute(2, 0, 1)[None]
    box = np.array([[0.0, 0, 31, 37]])
    assert torch.equal(resize_batch(image, box, (31, 37), np.array([False])), image)
    assert torch.equal(resize_batch(image, box, (31, 37), np.array([True])), image.flip(-1))


def test_boxes_agree_with_a_slow_loop():
    sizes = np.array([[61, 47], [32, 32], [20, 300], [300, 20], [9, 10]] * 40)
    scale, ratio = (0.3, 1.0), (3 / 4, 4 / 3)
    u = draws.uniform(3, 5, range(len(sizes)), 2 * TRIES + 3, "crop")
    for (height, width), numbers, got in zip(sizes, u, crop_boxes(sizes, u, scale, ratio), strict=True):
        for k in range(TRIES):
            area = height * width * (scale[0] + (scale[1] - scale[0]) * numbers[k])
            shape = ratio[0] * (ratio[1] / ratio[0]) ** numbers[TRIES + k]
            w, h = round(np.sqrt(area * shape)), round(np.sqrt(area / shape))
            if w <= width and h <= height:
                want = [int(numbers[-3] * (height - h + 1)), int(numbers[-2] * (width - w + 1)), h, w]
                break
        else:
            w, h = min(width, round(height * ratio[1])), min(height, round(width / ratio[0]))
            want = [(height - h) // 2, (width - w) // 2, h, w]
        assert got.tolist() == want


def test_crops_cover_scale_ratio_and_every_corner():
    n, side = 20_000, 200
    u = draws.uniform(0, 0, range(n), 2 * TRIES + 3, "crop")
    top, left, h, w = crop_boxes(np.full((n, 2), side), u, (0.3, 0.8), (3 / 4, 4 / 3)).T
    area, ratio = h * w / side**2, np.log(w / h)
    assert area.min() == pytest.approx(0.3, abs=0.01) and area.max() == pytest.approx(0.8, abs=0.01)
    assert area.mean() == pytest.approx(0.55, abs=0.02)  # a little below: large boxes of extreme ratio do not fit
    assert ratio.mean() == pytest.approx(0, abs=0.01) and abs(ratio).max() == pytest.approx(np.log(4 / 3), abs=0.02)
    assert ((top >= 0) & (left >= 0) & (top + h <= side) & (left + w <= side)).all()
    room = (top + 0.5) / (side - h + 1)
    assert room.mean() == pytest.approx(0.5, abs=0.01) and room.min() < 0.02 and room.max() > 0.98
    across = (left + 0.5) / (side - w + 1)
    assert abs(np.corrcoef([area, ratio, room, across]) - np.eye(4)).max() < 0.03


def test_a_view_depends_on_seed_step_and_row_alone():
    images = [torch.from_numpy(noise(h, w, k)).permute(2, 0, 1) for k, (h, w) in enumerate([(50, 60), (130, 70), (50, 60), (41, 43)])]
    modality = Image(size=(24, 40), patch=(8, 8), flip=True)
    together = modality.augment(images, 1, 2, [5, 6, 7, 8])
    for k, image in enumerate(images):
        assert torch.equal(modality.augment([image], 1, 2, [5 + k])[0], together[k])
    backwards = modality.augment(images[::-1], 1, 2, [8, 7, 6, 5])
    assert torch.equal(backwards.flip(0), together)
    assert not torch.equal(modality.augment(images, 2, 2, [5, 6, 7, 8]), together)
    assert not torch.equal(modality.augment(images, 1, 3, [5, 6, 7, 8]), together)
    assert not torch.equal(modality.augment(images, 1, 2, [5, 6, 7, 9])[3], together[3])


def test_a_list_and_a_stack_give_the_same_bits():
    """What the cache hands over in one piece and the decoder one by one."""
    for h, w in ((32, 32), (120, 100)):
        images = [torch.from_numpy(noise(h, w, k)).permute(2, 0, 1) for k in range(5)]
        assert torch.equal(SMALL.augment(images, 0, 0, range(5)), SMALL.augment(torch.stack(images), 0, 0, range(5)))


def test_half_of_the_crops_are_mirrored_if_asked():
    """A ramp from left to right: which way it rises in the view says whether it was mirrored."""
    ramp = torch.linspace(0, 255, 64).byte().expand(400, 3, 64, 64)
    rises = lambda modality: (modality.augment(ramp, 0, 0, range(400)).float().diff(dim=-1).mean((1, 2, 3)) > 0).float().mean()  # noqa: E731
    assert rises(SMALL) == 1
    assert 0.42 < rises(Image(size=(24, 40), patch=(8, 8), flip=True)) < 0.58


def test_center_is_the_middle_of_the_resized_picture():
    image = torch.from_numpy(noise(50, 200)).permute(2, 0, 1)
    whole = Picture.fromarray(noise(50, 200)).resize((40, 10), Picture.Resampling.BILINEAR)
    want = torch.from_numpy(np.array(whole)).permute(2, 0, 1)[:, :, 10:30]
    assert (SMALL.center([image], (10, 20))[0].int() - want.int()).abs().max() <= 1
    small = torch.from_numpy(noise(30, 90)).permute(2, 0, 1)
    whole = Picture.fromarray(noise(30, 90)).resize((60, 20), Picture.Resampling.BILINEAR)
    want = torch.from_numpy(np.array(whole)).permute(2, 0, 1)[:, :, 20:40]
    assert (SMALL.center([small], (20, 20))[0].int() - want.int()).abs().max() <= 1
    exact = torch.from_numpy(noise(24, 40)).permute(2, 0, 1)
    assert torch.equal(SMALL.center([exact])[0], exact)


def test_crops_lie_along_the_longer_side():
    wide, tall = (torch.from_numpy(noise(h, w)).permute(2, 0, 1) for h, w in ((24, 90), (74, 40)))
    for got, left, top in zip(SMALL.crops([wide, tall], 3), (0, 25, 50), (0, 25, 50), strict=True):
        assert torch.equal(got[0], wide[:, :, left : left + 40]) and torch.equal(got[1], tall[:, top : top + 24])
    (one,) = SMALL.crops([wide, tall], 1)
    assert torch.equal(one, SMALL.center([wide, tall]))


def test_large_and_small_pictures_in_one_batch():
    images = [torch.from_numpy(noise(h, w, h)).permute(2, 0, 1) for h, w in ((40, 40), (200, 150), (40, 40), (96, 97))]
    boxes = np.array([[0.0, 0, *image.shape[1:]] for image in images])
    got = resize(images, boxes, (24, 40), np.array([False, True, True, False]))
    for image, box, flip, view in zip(images, boxes, (False, True, True, False), got, strict=True):
        assert (view.int() - resize_one(image, box, (24, 40), flip).int()).abs().max() <= 1


# -- values


def test_standardising_and_back():
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    z = SMALL.prepare(x)
    for c, (mean, std) in enumerate(zip(SMALL.mean, SMALL.std, strict=True)):
        torch.testing.assert_close(z[0, c], (x[0, c] / 255.0 - mean) / std)
    assert torch.equal(SMALL.unnormalize(z), x)
    assert torch.equal(SMALL.patchify(x[:, :, :, :].contiguous()).values, SMALL.patchify(z).values)


# -- modes


def test_modes_are_converted():
    rgb = smooth(40, 50)
    grey = rgb[..., 0]
    assert np.array_equal(pixels(saved(rgb)), rgb)
    assert np.array_equal(pixels(saved(grey)), grey[..., None].repeat(3, -1))
    palette = Picture.fromarray(rgb).quantize(64)
    assert np.array_equal(pixels(saved(palette)), np.array(palette.convert("RGB")))
    cmyk = Picture.fromarray(rgb).convert("CMYK")
    assert np.array_equal(pixels(saved(cmyk, "TIFF")), np.array(cmyk.convert("RGB")))
    assert abs(pixels(saved(cmyk, "JPEG", quality=95)).astype(int) - rgb).mean() < 5
    bilevel = Picture.fromarray(grey > 100)
    assert set(np.unique(pixels(saved(bilevel)))) == {0, 255}


def test_sixteen_bits_keep_their_upper_byte():
    """Pillow's own convert clips them to white."""
    values = (np.arange(40 * 50).reshape(40, 50) * 32).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(pixels(saved(Picture.fromarray(values), kind))[..., 1], (values >> 8).astype(np.uint8))


def test_sixteen_bits_that_are_dark_stay_dark():
    """A 16-bit picture whose values all fit one byte is black, not a byte picture."""
    values = np.full((40, 50), 200, np.uint16)
    assert pixels(saved(Picture.fromarray(values))).max() == 0


def test_floats_in_a_tiff():
    values = np.linspace(0, 1, 40 * 50, dtype=np.float32).reshape(40, 50)
    assert abs(pixels(saved(Picture.fromarray(values), "TIFF"))[..., 0] - 255 * values).max() <= 1


def test_transparent_is_white():
    rgba = np.dstack([smooth(40, 50), np.zeros((40, 50), np.uint8)])
    rgba[:20, :, 3] = 255
    got = pixels(saved(rgba))
    assert np.array_equal(got[:20], rgba[:20, :, :3]) and (got[20:] == 255).all()
    la = np.dstack([rgba[..., 0], rgba[..., 3]])
    got = pixels(saved(Picture.fromarray(la, "LA")))
    assert np.array_equal(got[:20, :, 0], la[:20, :, 0]) and (got[20:] == 255).all()
    palette = Picture.fromarray(smooth(40, 50)).quantize(16)
    got = pixels(saved(palette, transparency=int(np.array(palette)[0, 0])))
    assert (got[0, 0] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientations(orientation: int, kind: str):
    """Turned back as the EXIF standard's table says, written out by hand."""
    turn = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x, 1),
    }[orientation]
    stored = smooth(40, 56)
    stored[:12, :12] = 255
    if kind == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        data = saved(stored, kind, tiffinfo=tags)
    else:
        exif = Picture.Exif()
        exif[274] = orientation
        data = saved(stored, kind, exif=exif, **({"quality": 98, "subsampling": 0} if kind == "JPEG" else {}))
    got, want = pixels(data), turn(stored)
    assert got.shape == want.shape and abs(got.astype(int) - want).mean() < 3


def test_exif_turns_a_picture_that_is_also_shrunk():
    exif = Picture.Exif()
    exif[274] = 6
    for kind in ("JPEG", "PNG"):
        got = SMALL.read(saved(smooth(800, 1200), kind, exif=exif))
        assert got.shape[1] > got.shape[2]
        want = np.rot90(smooth(*got.shape[:0:-1]), -1)
        assert abs(got.permute(1, 2, 0).numpy().astype(int) - want).mean() < 5


def test_settings_that_make_no_sense():
    for setting in ({"crop_scale": (0, 1)}, {"crop_scale": (0.5, 0.3)}, {"crop_ratio": (2, 1)}, {"channels": 1}, {"std": (1, 1, 0)}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            Image(**setting)  # type: ignore[arg-type]


def test_an_animation_gives_its_first_frame_and_a_note():
    frames = [Picture.new("RGB", (40, 30), colour) for colour in ("red", "blue", "green")]
    for kind in ("GIF", "PNG", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {}))
        decoded = SMALL.decode(data)
        assert decoded.note == "it has several frames; the first is used"
        assert abs(decoded.pixels[:, 5, 5].int() - torch.tensor([255, 0, 0])).max() <= 2
    assert SMALL.decode(saved(smooth(40, 50))).note is None


# -- large pictures


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_large_pictures_are_decoded_small_but_large_enough(kind: str):
    """Every crop of at least crop_scale of the area still has as many pixels per axis as the view."""
    modality = Image(size=(32, 32), patch=(8, 8))
    wanted = 32 / np.sqrt(0.3)
    got = modality.read(saved(smooth(480, 900), kind))
    assert wanted <= min(got.shape[1:]) < 2 * wanted + 1 or min(got.shape[1:]) == 480 // 8
    want = smooth(*got.shape[1:])
    assert abs(got.permute(1, 2, 0).numpy().astype(int) - want).mean() < 4
    same = Image(size=(224, 224), patch=(16, 16)).read(saved(smooth(300, 400), kind))
    assert same.shape == (3, 300, 400)


def test_a_jpeg_is_shrunk_inside_its_decoder(monkeypatch: pytest.MonkeyPatch):
    """`reduce` would first decode every pixel."""
    monkeypatch.setattr(Picture.Image, "reduce", lambda *a: pytest.fail("decoded in full"))
    assert SMALL.read(saved(smooth(800, 800), "JPEG")).shape == (3, 100, 100)


# -- what cannot be used


def reason(data: bytes, modality: Image = SMALL) -> str:
    with pytest.raises(BadSample) as caught:
        modality.decode(data)
    return str(caught.value)


def test_empty_and_foreign_files():
    assert reason(b"") == "the file is empty"
    assert reason(b"these are words\n" * 50) == "not an image that Pillow can identify"
    assert reason(b"\xff\xd8\xff\xe0" + bytes(200)).startswith(("not an image", "cannot be decoded"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
def test_truncated_files_never_become_half_grey_pictures(kind: str, share: float):
    data = saved(noise(64, 80), kind)
    assert reason(data[: int(share * len(data))])


def test_a_truncated_progressive_jpeg():
    data = saved(noise(64, 80), "JPEG", progressive=True, quality=90)
    assert "truncated" in reason(data[: len(data) // 2])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_filled_up_with_zeros_is_truncated(kind: str):
    """What an interrupted download into a file of the full size leaves."""
    data = saved(noise(64, 80), kind)
    half = len(data) // 2
    assert reason(data[:half] + bytes(len(data) - half))
    if kind != "WEBP":  # has no end mark
        assert pixels(data + bytes(64)).shape == (64, 80, 3)


def test_a_jpeg_cut_and_closed_is_truncated():
    """Pillow fills the rest with grey and says nothing."""
    data = saved(noise(64, 80), "JPEG", quality=90)
    assert "truncated" in reason(data[: len(data) // 2] + b"\xff\xd9")
    grey = np.full((64, 80, 3), 128, np.uint8)
    assert np.array_equal(pixels(saved(grey, "JPEG")), grey)  # a picture that is grey is whole


def bomb(side: int) -> bytes:
    """A PNG whose header promises side x side pixels and whose body has none."""
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))  # noqa: E731
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [11_000, 30_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(side: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda *a: pytest.fail("went on to decode"))
    assert "decompression bomb" in reason(bomb(side))


def test_too_small():
    assert reason(saved(noise(5, 50))) == "too small: 50 x 5 pixels, the shorter side must have at least 8"
    assert "at least 56" in reason(saved(noise(55, 200)), Image())
    assert Image().read(saved(noise(56, 200))).shape == (3, 56, 200)


def test_nothing_but_badsample_escapes():
    """Any single damaged byte: pixels or BadSample."""
    rng = np.random.default_rng(0)
    for kind, _ in itertools.product(("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"), range(40)):
        data = bytearray(saved(smooth(24, 40), kind))
        data[rng.integers(len(data))] = rng.integers(256)
        try:
            got = SMALL.decode(bytes(data)).pixels
        except BadSample:
            continue
        assert got.dtype == torch.uint8 and len(got) == 3
