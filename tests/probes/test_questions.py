import pytest
import torch

from openjepa.data.labels import LabelSet
from openjepa.probes.questions import Labelled, held_out_rows, questions
from openjepa.probes.splits import Groups
from tests.probes.made import Made, bright


def side(path, names, values, label="class"):
    data = Made([torch.zeros(3, 8, 12, dtype=torch.uint8)] * len(values), {label: LabelSet(tuple(names), torch.tensor(values))})
    return Labelled(path, data, data.labels)


def test_test_labels_take_trains_numbers_whatever_their_order():
    asked, notes = questions(side("a", ("cat", "dog", "owl"), [0, 1, 2, 0]), side("b", ("owl", "cat", "dog"), [0, 1, 2, 2]), None)
    assert asked[0].names == ("cat", "dog", "owl") and asked[0].test.tolist() == [2, 0, 1, 1] and notes == []


def test_samples_without_a_label_stay_without():
    asked, notes = questions(side("a", ("cat", "dog"), [0, -1, 1]), side("b", ("dog", "cat"), [-1, 0, 1]), None)
    assert asked[0].train.tolist() == [0, -1, 1] and asked[0].test.tolist() == [-1, 1, 0]
    assert notes == ["1 samples of a have no label 'class' and are left out"]


def test_a_class_missing_from_test_is_noted():
    asked, notes = questions(side("a", ("cat", "dog", "owl"), [0, 1, 2]), side("b", ("cat", "dog"), [0, 1]), None)
    assert asked[0].test.tolist() == [0, 1] and "b has no sample of class 'owl': the score is over the other 2 classes" in notes


@pytest.mark.parametrize(
    ("train", "test", "wanted", "message"),
    [
        (Labelled("./photos", Made([]), {}), None, None, r"./photos has no labels.*<folder>/<class>/<image>"),
        (side("a", ("x", "y"), [0, 1]), Labelled("./t", Made([]), {}), None, "./t has no labels"),
        (side("a", ("cat", "dog"), [1, 1]), None, None, "a has one class only, 'dog'; a probe needs samples of at least 2"),
        (side("a", ("cat", "dog"), [-1, -1]), None, None, "no labelled sample"),
        (
            side("a", ("cat", "dog"), [0, 1]),
            side("b", ("dog", "hund", "katze"), [0, 1, 2]),
            None,
            "b has class 'hund', 'katze', which a does not, and lacks 'cat'; train and test must have the same class names",
        ),
        (side("a", ("x", "y"), [0, 1], "shape"), side("b", ("x", "y"), [0, 1], "class"), None, "b has no label 'shape'; it has class"),
        (side("a", ("x", "y"), [0, 1], "shape"), None, ["colour"], "no label 'colour' in a; it has shape"),
    ],
)
def test_labels_that_cannot_be_probed_are_named(train, test, wanted, message):
    with pytest.raises(ValueError, match=message):
        questions(train, test, wanted)


def test_held_out_rows_are_a_fifth_of_each_class_and_never_learnt_from():
    data = bright(60)
    asked, _ = questions(Labelled("a", data, data.labels), None, None)
    kept, held = held_out_rows(asked, seed=0)
    assert sorted(kept + held) == list(range(60))
    assert torch.tensor(held).remainder(3).bincount().tolist() == [4, 4, 4]
    assert held_out_rows(asked, seed=0) == (kept, held) != held_out_rows(asked, seed=1)


def test_held_out_groups_are_whole_and_the_wanted_ones():
    data = bright(60)
    asked, _ = questions(Labelled("a", data, data.labels), None, None)
    groups = Groups(torch.arange(60) // 12, ("a", "b", "c", "d", "e"))
    kept, held = held_out_rows(asked, 0, groups)
    assert len(held) == 12 and len({row // 12 for row in held}) == 1 and sorted(kept + held) == list(range(60))
    assert held_out_rows(asked, 0, groups, ("b", "e"))[1] == [*range(12, 24), *range(48, 60)]
    with pytest.raises(ValueError, match="no group 'f'"):
        held_out_rows(asked, 0, groups, ("f",))
    by_class = Groups(torch.arange(60) % 3, ("x", "y", "z"))
    with pytest.raises(ValueError, match="without the groups y no sample of class 'light' is left to learn from"):
        held_out_rows(asked, 0, by_class, ("y",))
