"""The heads that `openjepa probe` keeps: a linear classifier, a bank of neighbours, an attentive pooler with its classifier."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from openjepa.frozen import Encoded
from openjepa.probes import attentive_heads, knn
from openjepa.probes.answers import Answer, Classes, Neighbours, TokenMap
from openjepa.probes.attentive import Fitted
from openjepa.probes.heads import Head, HeadInfo
from openjepa.probes.linear import Linear, Scale

BANK = 5_000  # training samples that a head of neighbours keeps: 2 MB at 192 features
BANK_BYTES = 2**24  # fewer of them where every one is long
SHOWN = 10  # neighbours told of one sample


def alone(encoded: Encoded) -> Encoded:
    """ValueError for more than one sample."""
    if len(encoded.pooled) != 1:
        raise ValueError(f"a head answers about one sample at a time, {len(encoded.pooled)} came; ask of each")
    return encoded


@dataclass(frozen=True)
class LinearHead(Head):
    """Logistic regression on pooled features."""

    kind: ClassVar[str] = "linear"
    model: Linear

    def tensors(self) -> dict[str, Tensor]:
        scale = self.model.scale
        return {"mean": scale.mean, "std": scale.std, "weight": self.model.weight, "bias": self.model.bias}

    @classmethod
    def of(cls, info: HeadInfo, tensors: Mapping[str, Tensor]) -> "LinearHead":
        scale = Scale(tensors["mean"], tensors["std"])
        return cls(info, Linear(scale, tensors["weight"], tensors["bias"], float(info.settings.get("C", 0.0)), ()))

    def logits(self, encoded: Encoded) -> Float[Tensor, "b classes"]:
        return self.model.logits(encoded.pooled)

    def answer(self, encoded: Encoded) -> Answer:
        return Answer((Classes.of(self.info.classes, self.logits(alone(encoded)).softmax(1)[0]),))


@dataclass(frozen=True)
class KnnHead(Head):
    """Training samples vote: unit features, the bank's mean taken off, as float16."""

    kind: ClassVar[str] = "knn"
    mean: Float[Tensor, " d"]
    bank: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]  # in the data that the head was fitted on
    names: tuple[str, ...]

    @classmethod
    def fitted(
        cls, info: HeadInfo, x: Float[Tensor, "n d"], y: Int[Tensor, " n"], rows: Int[Tensor, " n"], names: Sequence[str]
    ) -> "KnnHead":
        """Of training samples; their names in the order of `rows`."""
        mean = x.mean(0)
        return cls(info, mean, knn.unit(x - mean).half(), y, rows, tuple(names))

    def tensors(self) -> dict[str, Tensor]:
        written = torch.frombuffer(bytearray(json.dumps(self.names).encode()), dtype=torch.uint8)  # not in the header: listings stay fast
        return {"mean": self.mean, "bank": self.bank, "labels": self.labels, "rows": self.rows, "names": written}

    @classmethod
    def of(cls, info: HeadInfo, tensors: Mapping[str, Tensor]) -> "KnnHead":
        names = json.loads(tensors["names"].numpy().tobytes())
        return cls(info, tensors["mean"], tensors["bank"], tensors["labels"], tensors["rows"], tuple(names))

    def votes(self, pooled: Float[Tensor, "b d"], k: int) -> tuple[Float[Tensor, "b classes"], knn.Near]:
        """Share of the votes of each class, and the `k` nearest or all of fewer."""
        near = knn.search(self.bank.float(), pooled - self.mean, k, center=False)
        tally = knn.tally(near, self.labels, len(self.info.classes), k, self.info.settings["temperature"])
        return tally / tally.sum(1, keepdim=True), near

    def predict(self, pooled: Float[Tensor, "b d"]) -> Int[Tensor, " b"]:
        return self.votes(pooled, self.info.settings["k"])[0].argmax(1)

    def answer(self, encoded: Encoded) -> Answer:
        shares, near = self.votes(alone(encoded).pooled, self.info.settings["k"])
        at, cosines = near.indices[0, :SHOWN].tolist(), near.cosines[0, :SHOWN].tolist()
        found = Neighbours(
            tuple(self.names[i] for i in at),
            tuple(int(self.rows[i]) for i in at),
            tuple(cosines),
            tuple(self.info.classes[int(self.labels[i])] for i in at),
        )
        return Answer((Classes.of(self.info.classes, shares[0]), found))


@dataclass(frozen=True)
class AttentiveHead(Head):
    """A learned query that looks at tokens, and a linear classifier of what it saw."""

    kind: ClassVar[str] = "attentive"
    weights: attentive_heads.Weights  # a stack of one

    def tensors(self) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.weights.items()}

    @classmethod
    def of(cls, info: HeadInfo, tensors: Mapping[str, Tensor]) -> "AttentiveHead":
        wanted = attentive_heads.shapes(len(tensors["query"]), len(info.classes), info.settings["depth"])
        came = {name: tuple(value.shape) for name, value in tensors.items()}
        if came != wanted:
            wrong = sorted(name for name in {**came, **wanted} if came.get(name) != wanted.get(name))
            raise ValueError(
                f"the attentive head {info.name} lacks {', '.join(wrong[:5])}, or has them in another shape; openjepa probe again"
            )
        return cls(info, {name: value[None] for name, value in tensors.items()})

    @property
    def how(self) -> tuple[int, int, float]:
        """Attention heads, depth, eps of the norms."""
        told = self.info.settings
        return told["heads"], told["depth"], told["eps"]

    def logits(self, encoded: Encoded) -> Float[Tensor, "b classes"]:
        return attentive_heads.logits(self.weights, encoded.tokens, encoded.valid, *self.how)[0]

    def answer(self, encoded: Encoded) -> Answer:
        seen = attentive_heads.attention(self.weights, alone(encoded).tokens, encoded.valid, *self.how)[0]
        said = Classes.of(self.info.classes, self.logits(encoded).softmax(1)[0])
        return Answer((said, TokenMap(tuple(seen.tolist()), "attention of the query, the mean over its heads")))


def settings_of(fitted: Linear | Fitted | None) -> dict[str, Any]:
    """What a fitted probe needs beside its tensors; None is kNN, which fits nothing."""
    if isinstance(fitted, Linear):
        return {"C": fitted.strength}
    if isinstance(fitted, Fitted):
        chosen = {"lr": fitted.chosen[0], "weight_decay": fitted.chosen[1]}
        return {"heads": fitted.heads, "depth": fitted.config.depth, "eps": attentive_heads.EPS, **chosen}
    return {"k": knn.DEFAULT, "temperature": knn.TEMPERATURE}
