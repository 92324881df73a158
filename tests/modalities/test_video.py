import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from openjepa import draws
from openjepa.modalities.drawn import GAP
from openjepa.modalities.image import Image
from openjepa.modalities.modality import BadSample
from openjepa.modalities.resize import TRIES, crop_boxes
from openjepa.modalities.video import Video, lengthen, resize_clips, span

av = pytest.importorskip("av")
from tests.modalities.test_frames import encode, kind, number, numbered

SMALL = Video(size=(6, 24, 40), patch=(2, 8, 8), fps=None)


def png(pixels: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def clip(t: int, h: int, w: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, t, h, w), dtype=np.uint8))


def numbers(pixels: torch.Tensor) -> list[int]:
    return [number(frame) for frame in pixels.permute(1, 2, 3, 0).numpy()]


# -- clips in time


def test_a_clip_lies_at_every_place_as_often():
    """11 places for 6 of 16 frames; whole clips, the first and the last among them."""
    starts = [span(16, 6, at).start for at in (np.arange(1100) + 0.5) / 1100]
    assert np.bincount(starts).tolist() == [100] * 11
    assert span(16, 6, 0.0) == range(6) and span(16, 6, 1 - 2**-53) == range(10, 16)
    assert span(16, 6, 0.5) == range(5, 11)
    assert span(6, 6, 0.99) == range(6) and span(4, 6, 0.99) == range(4)


def test_a_short_clip_repeats_its_last_frame():
    x = clip(4, 5, 7)
    got = lengthen(x, 6)
    assert torch.equal(got[:, :4], x) and all(torch.equal(got[:, k], x[:, 3]) for k in (4, 5))
    assert torch.equal(SMALL.cut(x, 0.7), got)
    long = clip(9, 5, 7)
    assert torch.equal(SMALL.cut(long, 0.99), long[:, 3:])


def sources() -> dict[str, bytes | list[bytes]]:
    frames = numbered(20)
    return {
        "mp4": kind("h264 mp4"),
        "avi without times": kind("h264 avi"),
        "short": encode(numbered(4)),
        "one frame": encode(numbered(1)),
        "folder": [png(frame) for frame in frames],
        "short folder": [png(frame) for frame in frames[:3]],
        "picture": png(frames[5]),
    }


@pytest.mark.parametrize("name", ["mp4", "avi without times", "short", "one frame", "folder", "short folder", "picture"])
@pytest.mark.parametrize("fps", [None, 9.0])
def test_decoding_a_part_is_cutting_the_whole(name: str, fps: float | None):
    modality, data = Video(size=(6, 24, 40), patch=(2, 8, 8), fps=fps), sources()[name]
    whole = modality.decode(data).pixels
    for at in (0.0, 0.17, 0.5, 0.83, 0.999):
        part = modality.decode(data, at).pixels
        assert part.shape[1] == 6 and torch.equal(part, modality.cut(whole, at))


@pytest.mark.parametrize("name", ["mp4", "short", "folder", "picture"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_several_clips_are_those_at_their_places(name: str, count: int, monkeypatch: pytest.MonkeyPatch):
    data, opened, original = sources()[name], [], av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: opened.append(1) or original(*a, **k))
    found = SMALL.clips(data, count)
    assert len(opened) == (name in ("mp4", "short"))
    assert len(found) == count
    for i, got in enumerate(found):
        assert torch.equal(got, SMALL.decode(data, (i + 0.5) / count).pixels)


def test_the_rate_chooses_frames():
    """40 frames at 24 per second: at 4 per second every sixth."""
    modality = Video(size=(4, 24, 40), patch=(2, 8, 8), fps=4.0)
    whole = modality.decode(kind("h264 mkv"))
    assert numbers(whole.pixels) == [0, 6, 12, 18, 24, 30, 36] and whole.note is None
    assert numbers(modality.decode(kind("h264 mkv"), 0.99).pixels) == [18, 24, 30, 36]
    short = Video(size=(8, 24, 40), patch=(2, 8, 8), fps=4.0).decode(kind("h264 mkv"), 0.5)
    assert numbers(short.pixels) == [0, 6, 12, 18, 24, 30, 36, 36]
    assert short.note == "7 frames, fewer than the 8 of a clip; the last is repeated"


# -- what is not a video file


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_picture_is_a_video_that_stands_still(form: str):
    """The same pixels as an image recipe reads, and no note."""
    data = png(numbered(1, 96, 130)[0], form)
    got = SMALL.decode(data)
    assert got.note is None and got.pixels.shape[1] == 1
    image = Image(size=(24, 40), patch=(8, 8))
    assert torch.equal(got.pixels[:, 0], image.decode(data).pixels)
    part = SMALL.decode(data, 0.3).pixels
    assert part.shape[1] == 6 and all(torch.equal(part[:, k], got.pixels[:, 0]) for k in range(6))


def test_a_folder_of_frames():
    frames = numbered(20)
    modality = Video(size=(6, 24, 40), patch=(2, 8, 8), fps=2.0)  # has no meaning where there are no times
    whole = modality.decode([png(frame) for frame in frames])
    assert np.array_equal(whole.pixels.permute(1, 2, 3, 0).numpy(), frames) and whole.note is None
    assert "3 frames, fewer" in str(modality.decode([png(frame) for frame in frames[:3]]).note)


def test_a_folder_that_is_no_video():
    frames = [png(frame) for frame in numbered(8)]
    for data, said in (
        ([], "a folder without frames"),
        ([*frames[:3], png(numbered(1, 48, 90)[0]), *frames[4:]], "frame 3 has 90 x 48 pixels, frame 0 80 x 48"),
        ([*frames[:5], frames[5][:200], *frames[6:]], "frame 5: "),
        ([*frames[:2], b"", *frames[3:]], "frame 2: the file is empty"),
    ):
        with pytest.raises(BadSample, match=said):
            SMALL.decode(data)


def test_a_part_of_a_folder_opens_no_other_frame():
    frames = [png(frame) for frame in numbered(20)]
    damaged = [b"?" if i < 7 or i > 12 else frame for i, frame in enumerate(frames)]
    assert numbers(SMALL.decode(damaged, 0.5).pixels) == [7, 8, 9, 10, 11, 12]


# -- views


def test_a_crop_is_shared_by_all_frames_of_a_clip():
    """Frame by frame what Image makes of the same box, small clips and large ones in one batch."""
    modality = Video(size=(3, 24, 40), patch=(1, 8, 8), flip=True)
    clips = [clip(3, h, w, k) for k, (h, w) in enumerate([(50, 60), (130, 70), (50, 60), (41, 43), (97, 90)])]
    views = modality.augment(clips, 1, 2, [5, 6, 7, 8, 9])
    u = draws.uniform(1, 2, [5, 6, 7, 8, 9], 2 * TRIES + 3, "clip")
    boxes = crop_boxes(np.array([x.shape[2:] for x in clips]), u, modality.crop_scale, modality.crop_ratio)
    assert 0 < (u[:, -1] < 0.5).sum() < 5  # both ways
    for x, view, (top, left, h, w), mirrored in zip(clips, views, boxes.astype(int), u[:, -1] < 0.5, strict=True):
        for k in range(3):
            part = Picture.fromarray(x[:, k, top : top + h, left : left + w].permute(1, 2, 0).contiguous().numpy())
            want = torch.from_numpy(np.array(part.resize((40, 24), Picture.Resampling.BILINEAR))).permute(2, 0, 1)
            assert (view[:, k].int() - (want.flip(-1) if mirrored else want).int()).abs().max() <= 1


def test_a_view_depends_on_seed_step_and_row_alone():
    modality = Video(size=(3, 24, 40), patch=(1, 8, 8))
    clips = [clip(3, h, w, k) for k, (h, w) in enumerate([(50, 60), (130, 70), (50, 60), (41, 43)])]
    together = modality.augment(clips, 1, 2, [5, 6, 7, 8])
    for k, x in enumerate(clips):
        assert torch.equal(modality.augment([x], 1, 2, [5 + k])[0], together[k])
    assert torch.equal(modality.augment(clips[::-1], 1, 2, [8, 7, 6, 5]).flip(0), together)
    assert not torch.equal(modality.augment(clips, 2, 2, [5, 6, 7, 8]), together)
    assert not torch.equal(modality.augment(clips, 1, 3, [5, 6, 7, 8]), together)


@pytest.mark.parametrize(("h", "w"), [(32, 37), (120, 100)])
def test_a_list_and_a_stack_give_the_same_bits(h: int, w: int):
    clips = [clip(6, h, w, k) for k in range(3)]
    assert torch.equal(SMALL.augment(clips, 0, 0, range(3)), SMALL.augment(torch.stack(clips), 0, 0, range(3)))
    assert torch.equal(SMALL.center(clips), SMALL.center(torch.stack(clips)))


def test_half_of_the_clips_are_mirrored():
    ramp = torch.linspace(0, 255, 64).byte().expand(200, 3, 6, 32, 64)
    rises = lambda modality: (modality.augment(ramp, 0, 0, range(200)).float().diff(dim=-1).mean((1, 2, 3, 4)) > 0).float().mean()  # noqa: E731
    assert 0.4 < rises(SMALL) < 0.6
    assert rises(Video(size=(6, 24, 40), patch=(2, 8, 8), flip=False)) == 1


def test_the_centre_is_that_of_each_frame():
    """The bits of Image's evaluation view, at the training size and at another."""
    image = Image(size=(24, 40), patch=(8, 8))
    clips = [clip(6, 50, 61, 0), clip(6, 130, 120, 1), clip(6, 24, 90, 2)]
    for size in (None, (6, 32, 16)):
        views = SMALL.center(clips, size)
        for x, view in zip(clips, views, strict=True):
            want = image.center(list(x.unbind(1)), None if size is None else size[1:])
            assert torch.equal(view.transpose(0, 1), want)


def test_crops_are_those_of_each_frame():
    clips = [clip(6, 24, 90, 2), clip(6, 130, 120, 1)]
    for got, want in zip(
        SMALL.crops(clips, 2),
        zip(*(Image(size=(24, 40), patch=(8, 8)).crops(list(x.unbind(1)), 2) for x in clips), strict=True),
        strict=True,
    ):
        for view, frames in zip(got, want, strict=True):
            assert torch.equal(view.transpose(0, 1), frames)


def test_a_sample_that_was_not_cut_in_time_is_an_error():
    with pytest.raises(ValueError, match="a clip of 9 frames where a view has 6; cut it in time first"):
        resize_clips([clip(9, 30, 40)], np.array([[0.0, 0, 30, 40]]), (6, 24, 40))


def test_tubelets_know_where_they_are_and_go_back():
    modality = Video(size=(6, 20, 42), patch=(3, 5, 7))
    x = torch.stack([clip(6, 20, 42, k) for k in range(2)])
    tokens = modality.patchify(x)
    assert modality.grid == (2, 4, 6) and tokens.values.shape == (2, 48, 3 * 5 * 7 * 3)
    assert tokens.positions[0, 1 * 24 + 2 * 6 + 3].tolist() == [1, 2, 3]
    want = modality.prepare(x[:, :, 3:6, 10:15, 21:28]).permute(0, 2, 3, 4, 1).flatten(1)
    assert torch.equal(tokens.values[:, 1 * 24 + 2 * 6 + 3], want)
    assert torch.equal(modality.unnormalize(modality.unpatchify(tokens.values)), x)


def test_a_drawing_is_every_frame_and_its_strip_some_of_them():
    x, modality = clip(16, 20, 30), Video(size=(16, 20, 30), patch=(2, 5, 5))
    drawn = modality.draw(x)
    assert torch.equal(drawn.frames, x.permute(1, 2, 3, 0))
    assert torch.equal(modality.draw(modality.prepare(x[None])[0]).frames, drawn.frames)
    strip = drawn.strip(8).frames[0]
    assert strip.shape == (20, 8 * 30 + 7 * GAP, 3) and strip.dtype == torch.uint8
    assert torch.equal(strip[:, :30], x[:, 0].permute(1, 2, 0)) and torch.equal(strip[:, -30:], x[:, 15].permute(1, 2, 0))


def test_examples_are_views_before_their_crop():
    x = SMALL.example(0, 1)
    assert x.shape == (3, 6, 29, 43) and torch.equal(x, SMALL.example(0, 1)) and not torch.equal(x, SMALL.example(0, 2))


def test_settings_that_make_no_sense():
    for setting in ({"fps": 0.0}, {"fps": -1.0}, {"fps": float("inf")}, {"crop_scale": (0, 1)}, {"channels": 1}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            Video(**setting)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="whole number of patches"):
        Video(size=(15, 224, 224))


# -- real files


@pytest.mark.data
def test_real_videos(data_root: Path):
    """Sign language in Matroska (times in milliseconds, full range), three mp4 with B-frames: parts equal the whole."""
    modality = Video(size=(16, 64, 64), patch=(2, 16, 16))
    native = Video(size=(16, 64, 64), patch=(2, 16, 16), fps=None)
    files = sorted((data_root / "demo_media/videos").rglob("*.m*"))
    assert len(files) == 23
    for path in files[::5]:
        data = path.read_bytes()
        if path.suffix == ".mkv":
            with av.open(str(path)) as container:
                frames = sum(1 for _ in container.decode(video=0))
            whole = native.decode(data).pixels
            assert whole.shape == (3, frames, 117, 156)
            for at in (0.0, 0.4, 0.99):
                assert torch.equal(native.decode(data, at).pixels, native.cut(whole, at))
        views = modality.center(modality.clips(data, 3))
        assert views.shape == (3, 3, 16, 64, 64) and views.float().std() > 10


@pytest.mark.data
def test_real_actions(data_root: Path):
    modality = Video(size=(8, 64, 64), patch=(2, 16, 16), fps=8.0)
    for path in sorted((data_root / "gmdcsa24_actions").rglob("*.mp4"))[::8]:
        data = path.read_bytes()
        whole = modality.decode(data).pixels
        assert 6 <= whole.shape[1] <= 9 and min(whole.shape[2:]) == 117
        assert torch.equal(modality.decode(data, 0.5).pixels, modality.cut(whole, 0.5))
