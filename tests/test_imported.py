import sys

import pytest

from openjepa.imported import imported
from openjepa.run import modality_class


class Outer:
    class Inner:
        pass


def test_a_name_gives_the_object_nested_ones_too():
    assert imported(f"{__name__}:Outer.Inner") is Outer.Inner


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("mynet", "'mynet' names nothing to import; write module:object"),
        ("mynet:", "write module:object"),
        (":build", "write module:object"),
        ("nothing_there:build", r"nothing_there:build cannot be imported \(No module named 'nothing_there'\).*on PYTHONPATH"),
        (f"{__name__}:Absent", "Absent"),
    ],
)
def test_what_cannot_be_imported_says_why(spec, match):
    with pytest.raises(ValueError, match=match):
        imported(spec)


def test_the_working_folder_is_looked_into_only_when_asked(tmp_path, monkeypatch):
    """A run.json of others must not choose a file of the folder in which it is opened."""
    (tmp_path / "lies_here.py").write_text("value = 5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ValueError, match="modality lies_here:value cannot be imported"):
        modality_class("lies_here:value")
    assert imported("lies_here:value", here=True) == 5
