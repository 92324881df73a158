"""kNN during pretraining: how good the features are while they are being made.

The samples are chosen and decoded once, so that every call asks the same question and costs one forward pass over
3,000 samples. It is a trend, not a result: both sides come from the training data, and `openjepa probe` has the floors.
"""

from math import prod
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int, Shaped
from torch import Tensor, nn

from openjepa import draws
from openjepa.probes import knn
from openjepa.probes.reading import chunks

TRAIN, TEST = 2_000, 1_000  # samples
MOST_BYTES = 256 * 2**20  # of decoded views kept in memory
BATCH = 256


@runtime_checkable
class Settings(Protocol):
    """What is needed of a Run."""

    @property
    def seed(self) -> int: ...
    @property
    def modality(self) -> Any: ...


class OnlineKNN:
    """Accuracy of a kNN vote among fixed samples, as a function of the encoder."""

    def __init__(self, images: Shaped[Tensor, "n c *size"], labels: Int[Tensor, " n"], train: int) -> None:
        self.images, self.labels, self.train = images, labels, train

    @torch.no_grad()
    def __call__(self, encoder: nn.Module, modality: Any) -> float:
        """Share of the held-out samples named rightly. Draws no random numbers and leaves `encoder` as it was."""
        device, training = next(encoder.parameters()).device, encoder.training
        encoder.eval()
        parts = []
        for part in torch.split(self.images, BATCH):
            tokens = encoder(modality.patchify(part.to(device)))
            parts.append(modality.pool(tokens.values.float(), tokens.valid, tuple(part.shape[2:])).cpu())
        encoder.train(training)
        x, n = torch.cat(parts), self.train
        if not x.isfinite().all():  # the engine stops such a run and says why
            return 0.0
        return knn.accuracy(x[:n], self.labels[:n], x[n:], self.labels[n:])


def online_knn(dataset: Any, run: Settings, label: str | None = None) -> OnlineKNN | None:
    """The probe for `train(probe=online_knn)`: up to 2,000 + 1,000 labelled samples of `dataset`, pure in the run's seed.

    `label` names the question, by default the first. None when there are fewer than 30 labelled samples or one class.
    """
    if not dataset.labels:
        return None
    values = dataset.labels[label or next(iter(dataset.labels))].values
    there = torch.nonzero(values >= 0)[:, 0]
    size = run.modality.channels * prod(run.modality.size)
    count = min(TRAIN + TEST, len(there), MOST_BYTES // size)
    order = torch.from_numpy(draws.uniform(run.seed, 0, there.tolist(), 1, "online knn")[:, 0]).argsort(stable=True)
    rows = there[order[:count]].tolist()
    images, kept = list[Tensor](), list[int]()
    for chunk in chunks(dataset, run.modality, rows):
        images += chunk.all
        kept += chunk.rows
        if sum(view.nbytes for view in images) > MOST_BYTES:  # floats, where bytes were counted on
            break
    train = len(kept) * TRAIN // (TRAIN + TEST)
    labels = values[kept]
    if len(kept) < 30 or len(torch.unique(labels[:train])) < 2:
        return None
    return OnlineKNN(torch.cat(images), labels, train)
