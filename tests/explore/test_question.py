import pytest
import torch

from openjepa.explore.question import Box, numbers, question, spiral, tokens_of, windows
from openjepa.modalities.image import Image

IMAGE = Image(size=(15, 35), patch=(3, 5))  # 5 x 7 places


def test_a_box_holds_the_tokens_inside_it():
    """Against two loops."""
    box, grid = Box((1, 0, 2), (2, 3, 2)), (4, 3, 5)
    slow = [(t * 3 + y) * 5 + x for t in range(4) for y in range(3) for x in range(5) if 1 <= t < 3 and 0 <= y < 3 and 2 <= x < 4]
    assert numbers(box, grid).tolist() == slow


def test_strict_hides_what_is_asked_and_peek_does_not():
    holes = (Box((0, 0), (2, 2)), Box((1, 1), (2, 3)))
    strict, peek = question(IMAGE, holes), question(IMAGE, holes, mode="peek")
    asked = set(numbers(holes[0], IMAGE.grid).tolist()) | set(numbers(holes[1], IMAGE.grid).tolist())
    assert set(strict.context.tolist()) == set(range(35)) - asked
    assert set(peek.context.tolist()) == set(range(35))


def test_a_context_box_shows_itself_alone():
    found = question(IMAGE, (Box((0, 0), (2, 2)),), Box((1, 1), (3, 4)))
    assert set(found.context.tolist()) == set(numbers(Box((1, 1), (3, 4)), IMAGE.grid).tolist()) - {8}


def test_holes_of_several_sizes_are_padded_and_told_apart():
    found = question(IMAGE, (Box((0, 0), (1, 2)), Box((2, 2), (2, 2))))
    assert found.masks.targets.shape == (1, 2, 4)
    assert found.masks.target_valid.tolist() == [[[True, True, False, False], [True] * 4]]
    answers = torch.arange(8.0).reshape(1, 2, 4, 1)
    assert [a.flatten().tolist() for a in found.of_each(answers)] == [[0, 1], [4, 5, 6, 7]]


def test_a_union_asks_once_for_a_place_that_two_holes_share():
    found = question(IMAGE, (Box((0, 1), (1, 2)), Box((0, 2), (2, 1))), together=True)
    assert found.masks.targets.tolist() == [[[1, 2, 9]]]
    answers = torch.tensor([[[[10.0], [20.0], [90.0]]]])
    assert [a.flatten().tolist() for a in found.of_each(answers)] == [[10, 20], [20, 90]]


def test_registers_come_before_the_places():
    """A table's register token is always seen and never asked for."""

    class Registered(Image):
        registers = 1

    found = question(Registered(size=(3, 20), patch=(3, 5)), (Box((0, 1), (1, 2)),))
    assert found.masks.context.tolist() == [[0, 1, 4]]
    assert found.masks.targets.tolist() == [[[2, 3]]]
    assert found.context.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("targets", "context", "said"),
    [
        ((), None, "0 holes"),
        ((Box((4, 0), (2, 1)),), None, "leaves the grid"),
        ((Box((0, 0), (0, 1)),), None, "leaves the grid"),
        ((Box((0,), (1,)),), None, "2 axes"),
        ((Box((0, 0), (5, 7)),), None, "nothing is left to see"),
        ((Box((0, 0), (2, 2)),), Box((0, 0), (1, 1)), "nothing is left to see"),
    ],
)
def test_what_cannot_be_asked_says_why(targets, context, said):
    with pytest.raises(ValueError, match=said):
        question(IMAGE, targets, context)


def test_windows_are_every_place_of_a_box():
    places = windows((5, 7), (2, 3))
    assert places.tolist() == [[y, x] for y in range(4) for x in range(5)]
    assert tokens_of(places, (2, 3), (5, 7))[6].tolist() == numbers(Box((1, 1), (2, 3)), (5, 7)).tolist()


def test_windows_of_a_clip_stay_in_their_time():
    places = windows((3, 2, 4), (2, 2, 2), [(0, 1)])
    assert places.tolist() == [[1, 0, x] for x in range(3)]


def test_a_spiral_visits_every_place_once_nearest_first():
    places = windows((5, 7), (1, 1))
    order = spiral(places, (2, 3))
    away = [(places[i] - torch.tensor((2, 3))).double().norm().item() for i in order]
    assert sorted(order) == list(range(35))
    assert away == sorted(away)
    assert places[order[0]].tolist() == [2, 3]
