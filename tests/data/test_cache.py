import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from openjepa.data import cache
from openjepa.data.dataset import BadRow, Cached, Dataset, open_dataset
from openjepa.modalities.image import Image
from tests.data.pictures import MODALITY, picture, png, write


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files were decoded."""
    calls: list[int] = []
    real = Image.decode
    monkeypatch.setattr(Image, "decode", lambda self, data, at=None: (calls.append(len(data)), real(self, data))[1])
    return calls


def folder() -> Path:
    """The one cache there is."""
    (found,) = cache.home().glob("samples-*")
    return found


def rows(dataset: Dataset) -> list[torch.Tensor]:
    return list(dataset.read(range(len(dataset))))


def same(a: Dataset, b: Dataset) -> bool:
    return all(torch.equal(x, y) for x, y in zip(rows(a), rows(b), strict=True))


@pytest.mark.parametrize("mixed", [False, True])
def test_every_file_is_decoded_once_and_the_bits_are_the_same(tmp_path: Path, counted: list[int], mixed: bool):
    data = write(tmp_path / "d", [f"{k}.png" for k in range(7)])
    if mixed:
        picture(3, 50, 30).save(data / "3.png")
    plain, _ = open_dataset(str(data), MODALITY, "off")
    want, views = rows(plain), MODALITY.augment(plain.read([1, 5, 2]), 0, 9, [1, 5, 2])
    counted.clear()
    first, _ = open_dataset(str(data), MODALITY, "on")
    assert len(counted) == 7
    for dataset in (first, open_dataset(str(data), MODALITY, "on")[0], open_dataset(str(data), MODALITY)[0]):
        for _ in range(3):
            assert all(torch.equal(a, b) for a, b in zip(rows(dataset), want, strict=True))
        assert isinstance(dataset.read([0, 1]), list) == mixed
        assert torch.equal(MODALITY.augment(dataset.read([1, 5, 2]), 0, 9, [1, 5, 2]), views)
    assert len(counted) == 7


def test_a_changed_file_or_setting_has_another_cache(tmp_path: Path):
    data = write(tmp_path / "d", ["1.png", "2.png"])
    open_dataset(str(data), MODALITY, "on")
    (data / "2.png").write_bytes(png(7))
    changed, _ = open_dataset(str(data), MODALITY, "on")
    assert torch.equal(changed.read([1])[0], torch.from_numpy(np.array(picture(7))).permute(2, 0, 1))
    open_dataset(str(data), Image(size=(8, 8), patch=(4, 4)), "on")
    open_dataset(str(data), Image(size=(16, 24), patch=(4, 4), flip=True), "on")  # no matter of decoding: shared
    assert len(list(cache.home().glob("samples-*"))) == 3


DAMAGE = {
    "pixels cut": lambda f: os.truncate(f / "samples.bin", 100),
    "no pixels": lambda f: (f / "samples.bin").unlink(),
    "index cut": lambda f: os.truncate(f / "index.npy", 100),
    "index empty": lambda f: os.truncate(f / "index.npy", 0),
    "no index": lambda f: (f / "index.npy").unlink(),
    "info cut": lambda f: os.truncate(f / "info.json", 5),
    "no info": lambda f: (f / "info.json").unlink(),
    "info of something else": lambda f: (f / "info.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_half_cache_is_built_again(tmp_path: Path, damage: str):
    data = str(write(tmp_path / "d", ["1.png", "2.png", "3.png"]))
    open_dataset(data, MODALITY, "on")
    DAMAGE[damage](folder())
    again, _ = open_dataset(data, MODALITY, "on")
    assert same(again, open_dataset(data, MODALITY, "off")[0])
    assert (folder() / "samples.bin").stat().st_size == 3 * 3 * 32 * 40


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = str(write(tmp_path / "d", ["1.png", "2.png"]))

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        open_dataset(data, MODALITY, "on")
    assert list(cache.home().iterdir()) == []
    dataset, entries = open_dataset(data, MODALITY)
    assert len(rows(dataset)) == 2 and not isinstance(dataset, Cached)
    assert [entry.kind for entry in entries] == ["note"] and "No space left on device" in entries[0].reason


def test_leftovers_of_a_killed_build_are_removed_once_they_are_old(tmp_path: Path):
    data = str(write(tmp_path / "d", ["1.png"]))
    open_dataset(data, MODALITY, "on")
    done = folder()
    young, old = (done.with_name(f".{done.name}.{pid}.tmp") for pid in (1, 2))
    for left in (young, old):
        left.mkdir()
        (left / "samples.bin").write_bytes(b"half")
    for path in (old, old / "samples.bin"):
        os.utime(path, (time.time() - 2 * cache.STALE,) * 2)
    (done / "info.json").unlink()
    open_dataset(data, MODALITY, "on")
    assert young.exists() and not old.exists()


def test_bad_files_are_remembered_with_their_reasons(tmp_path: Path, counted: list[int]):
    data = write(tmp_path / "d", ["0.png", "1.png", "2.png"])
    (data / "1.png").write_bytes(png()[:500])
    frames = [Picture.new("RGB", (40, 32), colour) for colour in ("red", "blue")]
    frames[0].save(data / "3.gif", save_all=True, append_images=frames[1:])
    _, first = open_dataset(str(data), MODALITY, "on")
    counted.clear()
    dataset, second = open_dataset(str(data), MODALITY, "on")
    assert not counted and first == second
    assert [(entry.path, entry.kind) for entry in second] == [("1.png", "bad"), ("3.gif", "note")]
    with pytest.raises(BadRow, match=r"truncated|cannot be decoded") as caught:
        dataset.read([0, 1])
    assert caught.value.row == 1
    want = np.stack([np.array(picture(k)).transpose(2, 0, 1) for k in (2, 0)])
    assert np.array_equal(torch.stack(list(dataset.read([2, 0]))).numpy(), want)


def test_only_bad_files(tmp_path: Path):
    for k in range(3):
        (tmp_path / f"{k}.png").write_text("words")
    dataset, entries = open_dataset(str(tmp_path), MODALITY, "on")
    assert len(entries) == 3
    with pytest.raises(BadRow):
        dataset.read([0])


def test_auto_keeps_no_cache_above_its_limit_or_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = str(write(tmp_path / "d", ["1.png", "2.png"]))
    with monkeypatch.context() as patch:
        patch.setattr(cache, "LIMIT", 2 * 3 * 32 * 40 - 1)
        assert not isinstance(open_dataset(data, MODALITY)[0], Cached)
        assert isinstance(open_dataset(data, Image(size=(8, 8), patch=(4, 4)), "on")[0], Cached)
    with monkeypatch.context() as patch:
        patch.setattr(cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100}))
        assert not isinstance(open_dataset(data, MODALITY)[0], Cached)
    assert isinstance(open_dataset(data, MODALITY)[0], Cached)


def test_a_store_goes_to_a_worker_without_its_pixels(tmp_path: Path):
    dataset, _ = open_dataset(str(write(tmp_path / "d", [f"{k}.png" for k in range(20)])), MODALITY, "on")
    want = rows(dataset)
    sent = pickle.dumps(dataset)
    assert len(sent) < 3 * 32 * 40 * 10
    assert all(torch.equal(a, b) for a, b in zip(rows(pickle.loads(sent)), want, strict=True))
