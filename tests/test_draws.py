"""Random numbers that depend on (seed, step, row, use) and on nothing else."""

import numpy as np

from openjepa.draws import key, uniform


def test_a_row_draws_the_same_alone_and_in_company():
    together = uniform(3, 5, [7, 2, 9], 11, "crop")
    for at, row in enumerate((7, 2, 9)):
        np.testing.assert_array_equal(uniform(3, 5, [row], 11, "crop")[0], together[at])
    np.testing.assert_array_equal(uniform(3, 5, [7], 4, "crop")[0], together[0, :4])


def test_every_argument_matters():
    base = uniform(3, 5, [7], 11, "crop")
    for other in (
        uniform(4, 5, [7], 11, "crop"),
        uniform(3, 6, [7], 11, "crop"),
        uniform(3, 5, [8], 11, "crop"),
        uniform(3, 5, [7], 11, "mask"),
    ):
        assert not np.isin(other, base).any()
    assert len({key(1, 2), key(2, 1), key(1, "2"), key(12), key("12")}) == 5


def test_numbers_are_uniform_and_rows_independent():
    x = uniform(0, 0, range(400), 250, "test")
    assert x.min() >= 0 and x.max() < 1
    counts = np.histogram(x, 50, (0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 95  # chi-square, 49 degrees of freedom, p < 1e-4
    correlation = np.corrcoef(x[:, :20].T) - np.eye(20)
    assert np.abs(correlation).max() < 0.25
    neighbours = [np.corrcoef(x[i], x[i + 1])[0, 1] for i in range(399)]
    assert abs(np.mean(neighbours)) < 0.02
    steps = np.stack([uniform(0, s, [0], 250, "test")[0] for s in range(100)])
    assert np.abs(np.corrcoef(steps[:-1].ravel(), steps[1:].ravel())[0, 1]) < 0.03
