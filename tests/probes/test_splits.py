import pytest
import torch

from openjepa.probes.splits import draw_per_class, groups_of, hold_out, hold_out_groups

LABELS = torch.tensor([0] * 40 + [1] * 20 + [2] * 2 + [3])


def test_hold_out_takes_the_share_of_every_class():
    kept, held = hold_out(LABELS, 0.1, seed=0)
    assert LABELS[held].bincount(minlength=4).tolist() == [4, 2, 1, 0]  # the only sample of a class is for learning
    assert torch.equal(torch.cat([kept, held]).sort().values, torch.arange(len(LABELS)))


def test_draw_per_class_counts_and_shares():
    assert LABELS[draw_per_class(LABELS, 1, 0)].tolist() == [0, 1, 2, 3]
    assert LABELS[draw_per_class(LABELS, 5, 0)].bincount().tolist() == [5, 5, 2, 1]
    assert LABELS[draw_per_class(LABELS, 0.1, 0)].bincount().tolist() == [4, 2, 1, 1]


def test_the_seed_and_nothing_else_decides():
    a, b = draw_per_class(LABELS, 3, 0), draw_per_class(LABELS, 3, 1)
    torch.manual_seed(99)
    assert torch.equal(a, draw_per_class(LABELS, 3, 0)) and not torch.equal(a, b)


def test_every_sample_can_be_drawn():
    seen = {int(row) for seed in range(200) for row in draw_per_class(LABELS[:60], 1, seed)}
    assert len(seen) == 60


def test_groups_are_named_by_the_first_group_of_the_pattern():
    names = ["walking/s2_adl01_03.mp4", "falling/s10_fall02_01.mp4", "reading/s2_adl04_00.mp4"]
    groups = groups_of(names, r"/(s\d+)_(adl|fall)")
    assert groups.names == ("s10", "s2") and groups.values.tolist() == [1, 0, 1]
    assert groups.numbers(["s2"]).tolist() == [1]
    with pytest.raises(ValueError, match="no group 's3'; there are s10, s2"):
        groups.numbers(["s3"])


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(s\d+", "is not a regular expression"),
        (r"s\d+", r"marks no group; put brackets around"),
        (r"(s1)_", "does not match 1 of 3 samples, the first is b/s2_y.mp4"),
        (r"s1_|(s2)_", "does not match 2 of 3 samples, the first is a/s1_x.mp4"),  # matches, without its group
        (r"_.*\.(mp4)", "finds only 'mp4' in 3 samples; a split needs at least 2 groups"),
    ],
)
def test_patterns_that_group_nothing_are_named(pattern, message):
    with pytest.raises(ValueError, match=message):
        groups_of(["a/s1_x.mp4", "b/s2_y.mp4", "a/s1_z.mp4"], pattern)


def test_equal_folds_are_held_out_one_at_a_time_and_each_gets_its_turn():
    """ESC-10: 5 folds of 80."""
    labels, folds = torch.arange(400) % 10, torch.arange(400) // 80
    turns = set()
    for seed in range(40):
        kept, held = hold_out_groups(labels, folds, 0.2, seed)
        assert len(held) == 80 and len(set(folds[held].tolist())) == 1
        assert torch.equal(torch.cat([kept, held]).sort().values, torch.arange(400))
        turns.add(int(folds[held[0]]))
    assert turns == set(range(5))


def test_no_group_is_cut_and_no_class_is_lost_whatever_the_groups():
    rng = torch.Generator().manual_seed(0)
    for seed in range(60):
        count = int(torch.randint(60, 200, (1,), generator=rng))
        labels, groups = torch.randint(0, 4, (count,), generator=rng), torch.randint(3, 12, (count,), generator=rng)
        labels[groups == 3] = 4  # a class that group 3 alone has, which can therefore never be held out
        kept, held = hold_out_groups(labels, groups, 0.2, seed)
        assert not set(groups[kept].tolist()) & set(groups[held].tolist()) and len(held)
        assert set(labels[kept].tolist()) == set(labels.tolist())
        assert len(held) / count < 0.45


def test_share_is_met_by_many_small_groups_and_one_large_group_does_not_spoil_it():
    labels = torch.arange(1000) % 2
    _, held = hold_out_groups(labels, torch.arange(1000) // 4, 0.2, 0)
    assert len(held) == 200
    groups = torch.cat([torch.zeros(800, dtype=torch.int64), 1 + torch.arange(200) // 20])
    for seed in range(10):
        assert len(hold_out_groups(labels, groups, 0.2, seed)[1]) == 200


def test_groups_that_cannot_be_spared_are_an_error():
    with pytest.raises(ValueError, match="of one group; at least 2 are needed"):
        hold_out_groups(torch.arange(10) % 2, torch.full((10,), 3), 0.2, 0)
    with pytest.raises(ValueError, match="every group holds a class that no other has"):
        hold_out_groups(torch.arange(10) % 2, torch.arange(10) % 2, 0.2, 0)


def test_the_last_group_of_a_class_stays_with_the_learning_side():
    """Either of two groups could be spared, not both."""
    labels, groups = torch.tensor([0] * 20 + [1] * 8), torch.tensor([0] * 10 + [1] * 10 + [2] * 4 + [3] * 4)
    for seed in range(10):
        kept, _ = hold_out_groups(labels, groups, 0.6, seed)
        assert set(labels[kept].tolist()) == {0, 1}
