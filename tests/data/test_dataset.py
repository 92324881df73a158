import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from openjepa.data.dataset import BadRow, Dataset, open_dataset
from tests.data.pictures import MODALITY, packed, picture, png, write


def pixels(seed: int, h: int = 32, w: int = 40) -> torch.Tensor:
    return torch.from_numpy(np.array(picture(seed, h, w))).permute(2, 0, 1)


@pytest.mark.parametrize("cache", ["off", "on", "auto"])
def test_rows_are_the_files_and_labels_their_folders(tmp_path: Path, cache: str):
    dataset, entries = open_dataset(str(write(tmp_path / "d", ["dog/b.png", "cat/c.png", "dog/a.png"])), MODALITY, cache)
    assert isinstance(dataset, Dataset) and not entries
    assert [dataset.name(k) for k in range(len(dataset))] == ["cat/c.png", "dog/a.png", "dog/b.png"]
    read = dataset.read([2, 0, 1])
    assert all(torch.equal(got, pixels(seed)) for got, seed in zip(read, (0, 1, 2), strict=True))
    labels = dataset.labels["class"]
    assert labels.names == ("cat", "dog") and labels.values.tolist() == [0, 1, 1]


def test_folder_and_tar_hold_the_same_samples(tmp_path: Path):
    files = {f"{label}/{k}.png": png(k) for k, label in enumerate(["a", "b", "a"])}
    for name, data in files.items():
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_bytes(data)
    folder, _ = open_dataset(str(tmp_path / "d"), MODALITY, "off")
    tar, _ = open_dataset(str(packed(tmp_path / "x.tar", files)), MODALITY, "off")
    assert folder.fingerprint == tar.fingerprint
    assert torch.equal(torch.stack(list(folder.read([0, 1, 2]))), torch.stack(list(tar.read([0, 1, 2]))))


@pytest.mark.parametrize("cache", ["off", "on"])
def test_mixed_sizes_and_modes_in_one_batch(tmp_path: Path, cache: str):
    """Each as its own picture; the views of all stack."""
    (tmp_path / "d").mkdir()
    made = [picture(0, 20, 33), picture(1, 200, 150).convert("L"), picture(2, 41, 27).quantize(32), picture(3, 30, 30).convert("CMYK")]
    made += [Picture.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 70), picture(5).convert("RGBA")]
    for k, image in enumerate(made):
        image.save(tmp_path / "d" / (f"{k}.tif" if image.mode == "CMYK" else f"{k}.png"))
    dataset, entries = open_dataset(str(tmp_path / "d"), MODALITY, cache)
    images = dataset.read(range(6))
    assert not entries and [len(image) for image in images] == [3] * 6
    assert torch.equal(images[0], pixels(0, 20, 33))
    views = MODALITY.augment(images, 0, 0, range(6))
    assert views.shape == (6, 3, 16, 24)
    for k in range(6):
        assert torch.equal(MODALITY.augment(dataset.read([k]), 0, 0, [k])[0], views[k])


def test_one_image_is_a_data_set(tmp_path: Path):
    dataset, _ = open_dataset(str(write(tmp_path / "d", ["1.png"])), MODALITY)
    assert len(dataset) == 1 and torch.equal(dataset.read([0])[0], pixels(0))


def bad(dataset: Dataset, row: int) -> str:
    with pytest.raises(BadRow) as caught:
        dataset.read([row])
    assert caught.value.row == row
    return str(caught.value)


def test_every_way_a_file_can_be_bad_has_its_reason(tmp_path: Path):
    write(tmp_path, [f"{k}.png" for k in range(6)])
    (tmp_path / "1.png").write_text("these are words\n" * 9)
    (tmp_path / "2.png").write_bytes(png()[:900])
    (tmp_path / "3.png").write_bytes(png(h=4))
    dataset, _ = open_dataset(str(tmp_path), MODALITY, "off")
    (tmp_path / "4.png").unlink()
    (tmp_path / "5.png").unlink()
    os.mkfifo(tmp_path / "5.png")
    assert "not an image" in bad(dataset, 1)
    assert "truncated" in bad(dataset, 2) or "cannot be decoded" in bad(dataset, 2)
    assert "too small: 40 x 4" in bad(dataset, 3)
    assert bad(dataset, 4) == "unreadable: No such file or directory"
    assert "not a regular file" in bad(dataset, 5)
    assert torch.equal(dataset.read([0])[0], pixels(0))


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Simulated: the tests may run as root, who may read everything."""
    dataset, _ = open_dataset(str(write(tmp_path, ["1.png", "2.png"])), MODALITY, "off")
    real = os.open

    def refuse(path: Path, *rest: int) -> int:
        if str(path).endswith("1.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest)

    monkeypatch.setattr(os, "open", refuse)
    assert bad(dataset, 0) == "unreadable: Permission denied"
    assert torch.equal(dataset.read([1])[0], pixels(1))


def test_a_file_replaced_by_a_folder(tmp_path: Path):
    dataset, _ = open_dataset(str(write(tmp_path, ["1.png", "2.png"])), MODALITY, "off")
    (tmp_path / "1.png").unlink()
    (tmp_path / "1.png").mkdir()
    assert bad(dataset, 0).startswith("unreadable")


def test_a_tar_that_disappears(tmp_path: Path):
    dataset, _ = open_dataset(str(packed(tmp_path / "x.tar", {"1.png": png()})), MODALITY, "off")
    shutil.move(tmp_path / "x.tar", tmp_path / "y.tar")
    assert bad(dataset, 0) == "unreadable: No such file or directory"


def test_a_bad_row_survives_the_way_from_a_worker():
    error = pickle.loads(pickle.dumps(BadRow(7, "truncated")))
    assert (error.row, error.reason, str(error)) == (7, "truncated", "truncated")


def test_no_data():
    with pytest.raises(ValueError, match="--data"):
        open_dataset("", MODALITY)


@pytest.mark.data
def test_cifar10_decodes_and_crops(data_root: Path):
    dataset, entries = open_dataset(f"{data_root / 'cifar10.tar'}::cifar10/train", MODALITY, "off")
    assert not entries and len(dataset.labels["class"].names) == 10
    images = dataset.read(range(0, len(dataset), len(dataset) // 20))
    assert {tuple(image.shape) for image in images} == {(3, 32, 32)}
    assert MODALITY.augment(images, 0, 0, range(len(images))).float().std() > 30
