import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from openjepa.data.dataset import open_dataset
from openjepa.data.manifest import read_row, scan
from openjepa.modalities.image import Image
from tests.data.pictures import packed, png, write


def names(path: Path | str) -> list[str]:
    return [row.name for row in scan(path).rows]


# -- folders


def test_a_folder_is_read_recursively_in_the_order_of_names(tmp_path: Path):
    write(tmp_path, ["b/x.png", "a/deep/er/y.PNG", "a/c.png", "z.png", ".hidden/no.png", "a/._c.png"])
    assert names(tmp_path) == ["a/c.png", "a/deep/er/y.PNG", "b/x.png", "z.png"]
    manifest = scan(tmp_path)
    assert [manifest.read(k) for k in range(4)] == [png(k) for k in (2, 1, 0, 3)]
    assert manifest.classes == ()  # one image lies outside every subfolder


def test_subfolders_are_classes_when_every_image_has_one(tmp_path: Path):
    write(tmp_path, ["dog/2.png", "cat/sub/1.png", "dog/1.png"])
    manifest = scan(tmp_path)
    assert manifest.classes == ("cat", "dog")
    assert [row.label for row in manifest.rows] == ["cat", "dog", "dog"]


def test_samples_are_left_out_by_name(tmp_path: Path):
    write(tmp_path, ["dog/ann_1.png", "cat/ann_2.png", "dog/bob_1.png"])
    whole = scan(tmp_path)
    some = whole.without("bob_|cat/")
    assert [row.name for row in some.rows] == ["dog/ann_1.png"] and some.classes == ("dog",)
    assert len({whole.fingerprint, some.fingerprint, whole.without("bob").fingerprint}) == 3
    for pattern, said in [("carl", "in none of 3 names"), ("_", "in all of 3 names"), ("(", "not a regular expression")]:
        with pytest.raises(ValueError, match=said):
            whole.without(pattern)
    dataset, _ = open_dataset(str(tmp_path), Image(size=(8, 8), patch=(4, 4)), "off", "^dog/a")
    assert [dataset.name(row) for row in range(len(dataset))] == ["cat/ann_2.png", "dog/bob_1.png"]
    with pytest.raises(ValueError, match="has no files"):
        open_dataset("world:tabletop", Image(size=(32, 32), patch=(8, 8)), "off", "a")


def test_odd_names(tmp_path: Path):
    """Spaces, newlines, quotes, and bytes that are not UTF-8."""
    odd = [b"two words.png", b"new\nline.png", b"quo'te\".png", b"caf\xe9.png", b"\xff\xfe/in a\tfolder.png"]
    for at, name in enumerate(odd):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(png(at))
    manifest = scan(tmp_path)
    found = {os.fsencode(row.name): manifest.read(k) for k, row in enumerate(manifest.rows)}
    assert found == {name: png(at) for at, name in enumerate(odd)}
    assert scan(tmp_path).fingerprint == manifest.fingerprint


def test_symlink_loops_end(tmp_path: Path):
    write(tmp_path / "data", ["a/1.png", "b/2.png"])
    (tmp_path / "data/a/up").symlink_to(tmp_path / "data")
    (tmp_path / "data/b/self").symlink_to(tmp_path / "data/b")
    (tmp_path / "data/b/nowhere.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "data/b/loop.png").symlink_to(tmp_path / "data/b/loop.png")
    manifest = scan(tmp_path / "data")
    assert [row.name for row in manifest.rows] == ["a/1.png", "b/2.png"]
    reasons = {entry.path: entry.reason for entry in manifest.entries}
    assert reasons["b/nowhere.png"].startswith("unreadable: No such file")
    assert "b/loop.png" in reasons


def test_a_linked_folder_elsewhere_is_followed(tmp_path: Path):
    write(tmp_path / "far", ["1.png"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data/near").symlink_to(tmp_path / "far")
    assert names(tmp_path / "data") == ["near/1.png"]


def test_a_folder_with_two_names_is_read_once_under_its_own(tmp_path: Path):
    write(tmp_path, ["m/1.png"])
    (tmp_path / "a").symlink_to(tmp_path / "m")
    assert names(tmp_path) == ["m/1.png"]


def test_one_folder_around_all_others_is_not_a_class(tmp_path: Path):
    assert scan(write(tmp_path, ["photos/dog/1.png", "photos/cat/2.png"])).classes == ("cat", "dog")
    assert scan(packed(tmp_path / "x.tar", {"p/q/dog/1.png": png(1), "p/q/cat/2.png": png(2)})).classes == ("cat", "dog")


def test_a_name_met_twice_in_a_tar_is_its_last_file(tmp_path: Path):
    """As unpacking would leave it."""
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for seed in (1, 2):
            member = tarfile.TarInfo("1.png")
            member.size = len(png(seed))
            tar.addfile(member, io.BytesIO(png(seed)))
    manifest = scan(tmp_path / "x.tar")
    assert len(manifest.rows) == 1 and manifest.read(0) == png(2)


def test_pipes_and_folders_named_like_images_are_passed_over(tmp_path: Path):
    write(tmp_path, ["1.png", "folder.jpg/2.png"])
    os.mkfifo(tmp_path / "pipe.jpg")
    manifest = scan(tmp_path)
    assert [row.name for row in manifest.rows] == ["1.png", "folder.jpg/2.png"]
    assert [(entry.path, entry.reason) for entry in manifest.entries] == [("pipe.jpg", "not a regular file but a pipe, socket or device")]


def test_a_pipe_that_takes_the_place_of_a_file_is_refused_not_waited_for(tmp_path: Path):
    manifest = scan(write(tmp_path, ["1.png"]))
    (tmp_path / "1.png").unlink()
    os.mkfifo(tmp_path / "1.png")
    with pytest.raises(OSError, match="not a regular file"):
        manifest.read(0)


def test_an_unreadable_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, ["1.png", "shut/2.png"])
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    manifest = scan(tmp_path)
    assert [row.name for row in manifest.rows] == ["1.png"]
    assert [(entry.path, entry.reason) for entry in manifest.entries] == [("shut/", "unreadable folder: Permission denied")]


def test_what_is_no_image_is_listed(tmp_path: Path):
    write(tmp_path, ["1.png"])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "notes.txt").write_text("words")
    entries = {entry.path: (entry.kind, entry.reason) for entry in scan(tmp_path).entries}
    assert entries == {"empty.jpg": ("bad", "the file is empty"), "notes.txt": ("note", "not one of the images, by its name")}


# -- what cannot be data


def refusal(spec: Path | str) -> str:
    with pytest.raises(ValueError) as caught:
        scan(spec)
    return str(caught.value)


def test_data_that_is_none(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert "it is empty" in refusal(tmp_path / "empty")
    (tmp_path / "words").mkdir()
    (tmp_path / "words/a.txt").write_text("words")
    assert "none of them usable ('a.txt' not one of the images, by its name)" in refusal(tmp_path / "words")
    assert "--data takes a folder of images" in refusal(tmp_path / "words")
    assert "no folder or tar" in refusal(tmp_path / "gone")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("1.png", png())
    assert "is a zip; unpack it" in refusal(tmp_path / "a.zip")
    (tmp_path / "one.png").write_bytes(png())
    assert f"is one of the images; give the folder it lies in, {str(tmp_path)!r}" in refusal(tmp_path / "one.png")
    (tmp_path / "a.csv").write_text("1,2\n" * 1000)
    assert "is neither a folder nor a tar" in refusal(tmp_path / "a.csv")
    (tmp_path / "a.tar").touch()
    assert "is an empty file" in refusal(tmp_path / "a.tar")
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refusal(tmp_path / "pipe")


def test_a_compressed_tar_is_told_what_to_do(tmp_path: Path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(write(tmp_path / "in", ["1.png"]), "in")
    assert "gunzip" in refusal(tmp_path / "a.tar.gz")


def test_a_prefix_of_a_folder_is_refused(tmp_path: Path):
    """ "::" is for tars; on a folder it was ignored, and everything was taken."""
    write(tmp_path, ["train/1.png", "test/2.png"])
    assert str(tmp_path / "train") in refusal(f"{tmp_path}::train")


# -- tars


def test_a_tar_is_read_by_offset(tmp_path: Path):
    files = {"./set/train/b/2.png": png(2), "./set/train/a/1.png": png(1), "./set/test/a/3.png": png(3), "./set/words.txt": b"words"}
    path = packed(tmp_path / "x.tar", files)
    manifest = scan(path)
    assert [row.name for row in manifest.rows] == ["set/test/a/3.png", "set/train/a/1.png", "set/train/b/2.png"]
    assert [manifest.read(k) for k in range(3)] == [png(3), png(1), png(2)]
    train = scan(f"{path}::set/train")
    assert [row.name for row in train.rows] == ["a/1.png", "b/2.png"]
    assert train.classes == ("a", "b") and train.read(1) == png(2)
    assert scan(f"{path}::set/train/").fingerprint == train.fingerprint
    assert "nothing under 'set/trai'" in refusal(f"{path}::set/trai")
    assert "set/test/a, set/train/a" in refusal(f"{path}::set/trai")
    assert not [entry for entry in manifest.entries if entry.kind == "bad"]


def test_tar_names_that_are_not_utf8(tmp_path: Path):
    path = packed(tmp_path / "x.tar", {"a/caf\udce9.png": png(1), "a/new\nline.png": png(2), "long/" * 40 + "1.png": png(3)})
    manifest = scan(path)
    assert {os.fsencode(row.name): manifest.read(k) for k, row in enumerate(manifest.rows)} == {
        b"a/caf\xe9.png": png(1),
        b"a/new\nline.png": png(2),
        b"long/" * 40 + b"1.png": png(3),
    }


@pytest.mark.parametrize("cut", ["inside the last picture", "inside the last header", "before the last header"])
def test_a_truncated_tar_keeps_what_is_whole_and_says_so(tmp_path: Path, cut: str):
    path = packed(tmp_path / "x.tar", {"1.png": png(1), "2.png": png(2)})
    with tarfile.open(path) as tar:
        last = tar.getmembers()[1]
    os.truncate(
        path, {"inside the last picture": last.offset_data + 100, "inside the last header": last.offset + 200}.get(cut, last.offset)
    )
    manifest = scan(path)
    assert [row.name for row in manifest.rows] == ["1.png"] and manifest.read(0) == png(1)
    assert any("the tar ends early" in entry.reason and entry.kind == "bad" for entry in manifest.entries)


# -- fingerprint


def test_fingerprint_follows_the_content_not_the_place(tmp_path: Path):
    """Moved: the same. One byte in a file, a name, a new file: another."""
    first = scan(write(tmp_path / "here", ["a/1.png", "b/2.png"])).fingerprint
    shutil.copytree(tmp_path / "here", tmp_path / "there/copy")
    moved = tmp_path / "there/copy"
    assert scan(moved).fingerprint == first
    assert scan(f"{tmp_path}/there/../there/copy").fingerprint == first
    data = bytearray((moved / "a/1.png").read_bytes())
    data[-1] ^= 1
    (moved / "a/1.png").write_bytes(data)
    changed = scan(moved).fingerprint
    (moved / "b/2.png").rename(moved / "b/3.png")
    renamed = scan(moved).fingerprint
    (moved / "b/4.png").write_bytes(png(9))
    assert len({first, changed, renamed, scan(moved).fingerprint}) == 4


def test_rows_read_in_parts(tmp_path: Path):
    manifest = scan(packed(tmp_path / "x.tar", {"1.png": png(1), "2.png": png(2)}))
    row = manifest.rows[0]
    assert read_row(manifest.root, row, 0, 7) == png(1)[:7]
    assert read_row(manifest.root, row, row.size - 5, 99) == png(1)[-5:]


@pytest.mark.data
def test_cifar10(data_root: Path):
    manifest = scan(f"{data_root / 'cifar10.tar'}::cifar10/train")
    assert len(manifest.rows) > 1000 and len(manifest.classes) == 10 and not [e for e in manifest.entries if e.kind == "bad"]
    assert manifest.read(0)[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")
