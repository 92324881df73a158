import math

import pytest
import torch

from openjepa.probes import knn


def by_hand(x, y, query, k, temperature, classes):
    """One query, one training sample at a time, in Python floats."""
    norm = math.sqrt(sum(v * v for v in query))
    similar = []
    for row, label in zip(x, y, strict=True):
        length = math.sqrt(sum(v * v for v in row))
        similar.append((sum(a * b for a, b in zip(row, query, strict=True)) / (length * norm), label))
    votes = [0.0] * classes
    for cosine, label in sorted(similar, reverse=True)[:k]:
        votes[label] += math.exp(cosine / temperature)
    return votes.index(max(votes))


@pytest.mark.parametrize("k", [1, 3, 7])
def test_votes_are_those_of_a_slow_loop(k):
    torch.manual_seed(k)
    x, y, test = torch.randn(53, 5, dtype=torch.float64), torch.randint(0, 3, (53,)), torch.randn(31, 5, dtype=torch.float64)
    got = knn.predict(x, y, test, 3, neighbours=(k,), center=False, chunk=7)[k]
    assert got.tolist() == [by_hand(x.tolist(), y.tolist(), q, k, 0.07, 3) for q in test.tolist()]


def test_temperature_lets_one_near_sample_outvote_two_far_ones():
    x = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6]])
    y = torch.tensor([0, 1, 1])
    query = torch.tensor([[1.0, 0.0]])
    sharp = knn.predict(x, y, query, 2, neighbours=(3,), center=False)[3]  # exp(1/.07) against 2 exp(.8/.07)
    soft = knn.predict(x, y, query, 2, neighbours=(3,), center=False, temperature=1.0)[3]
    assert (sharp.item(), soft.item()) == (0, 1)


def test_centring_takes_the_mean_of_train_alone_and_undoes_a_common_direction():
    torch.manual_seed(0)
    x, test = torch.randn(23, 4), torch.randn(61, 4)
    y = (x[:, 0] + x[:, 1] > 0).long()
    moved = torch.tensor([0.0, 0.0, 0.0, 1000.0])
    plain = knn.predict(x, y, test, 2, neighbours=(5,))[5]
    assert torch.equal(knn.predict(x + moved, y, test + moved, 2, neighbours=(5,))[5], plain)
    far = test + torch.tensor([3.0, 0.0, 0.0, 0.0])  # test samples whose mean is not train's
    want = [by_hand((x - x.mean(0)).tolist(), y.tolist(), q, 5, 0.07, 2) for q in (far - x.mean(0)).tolist()]
    assert knn.predict(x, y, far, 2, neighbours=(5,))[5].tolist() == want


def test_k_above_the_training_set_asks_all_of_it():
    torch.manual_seed(0)
    x, y, test = torch.randn(13, 3), torch.randint(0, 2, (13,)), torch.randn(5, 3)
    found = knn.predict(x, y, test, 2, neighbours=(10, 13, 200))
    assert torch.equal(found[13], found[200]) and set(found) == {10, 13, 200}


def test_accuracy_is_perfect_on_a_copy_and_at_chance_on_noise():
    torch.manual_seed(0)
    x, y = torch.randn(500, 7), torch.randint(0, 4, (500,))
    assert knn.accuracy(x, y, x, y, k=1) == 1.0
    assert abs(knn.accuracy(x, y, torch.randn(2000, 7), torch.randint(0, 4, (2000,))) - 0.25) < 0.05


def test_refuses_one_class_and_broken_features():
    x, y = torch.randn(6, 2), torch.zeros(6, dtype=torch.int64)
    with pytest.raises(ValueError, match="all 6 labels are one class"):
        knn.predict(x, y, x, 1)
    x[2, 1] = torch.nan
    with pytest.raises(ValueError, match="1 of 6 feature rows hold NaN"):
        knn.predict(x, torch.arange(6), x, 6)


def test_neighbours_found_once_answer_every_question_as_if_found_anew():
    torch.manual_seed(0)
    x, test = torch.randn(301, 6), torch.randn(97, 6)
    near = knn.search(x, test)
    for classes in (2, 5):
        y = torch.randint(0, classes, (301,))
        fresh, again = knn.predict(x, y, test, classes, chunk=10), knn.predict(x, y, test, classes, near=near)
        assert all(torch.equal(fresh[k], again[k]) for k in knn.NEIGHBOURS)
    cosines = torch.nn.functional.cosine_similarity((test - x.mean(0))[:, None], (x - x.mean(0))[None], dim=2)
    torch.testing.assert_close(near.cosines, cosines.sort(descending=True).values[:, :200], atol=1e-5, rtol=1e-5)
