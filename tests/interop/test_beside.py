import pytest

from openjepa.interop.beside import beside


@pytest.mark.parametrize("folder", [True, False])
def test_it_is_there_when_it_is_whole(tmp_path, folder):
    out = tmp_path / "new" / "out.bin"
    with beside(out) as place:
        assert not place.exists() and place.suffix == ".bin"
        place.mkdir() if folder else place.write_text("x")
        assert not out.exists()
    assert out.is_dir() == folder and [p.name for p in out.parent.iterdir()] == ["out.bin"]


def test_after_an_error_nothing_is_left(tmp_path):
    with pytest.raises(OSError, match="full"), beside(tmp_path / "out") as place:
        place.mkdir()
        (place / "half").write_text("x")
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_replaced_but_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    with beside(tmp_path / "empty") as place:
        place.write_text("x")
    assert (tmp_path / "empty").read_text() == "x"
    with pytest.raises(ValueError, match="not empty; give another --out"), beside(tmp_path / "empty"):
        raise AssertionError("must not get here")


def test_one_inside_another(tmp_path):
    """A bundle on the way to a Hugging Face folder of the same name."""
    with beside(tmp_path / "out") as outer:
        outer.mkdir()
        (outer / "kept").write_text("x")
        with beside(tmp_path / "out") as inner:
            inner.mkdir()
        assert (outer / "kept").exists()
