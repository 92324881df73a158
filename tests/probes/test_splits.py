import torch

from openjepa.probes.splits import draw_per_class, hold_out

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
