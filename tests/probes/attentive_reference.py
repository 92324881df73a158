"""The attentive probe written plainly: one head, a key and a value for every token, torch's own optimizer."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from openjepa.probes.attentive import batches


class SelfBlock(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
        x = x + self.proj(attend(q, k, v, self.heads))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class CrossBlock(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.q, self.k, self.v = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, query, x):
        y = self.norm1(x)
        query = query + attend(self.q(query), self.k(y), self.v(y), self.heads)
        return query + self.fc2(F.gelu(self.fc1(self.norm2(query))))


def attend(q, k, v, heads):
    """One attention head after the other."""
    parts = []
    for one, two, three in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        scores = one @ two.transpose(1, 2) / math.sqrt(one.shape[-1])
        parts.append(scores.softmax(-1) @ three)
    return torch.cat(parts, -1)


class Probe(nn.Module):
    def __init__(self, dim, heads, classes, depth):
        super().__init__()
        self.query = nn.Parameter(torch.zeros(dim))
        self.blocks = nn.ModuleList(SelfBlock(dim, heads) for _ in range(depth - 1))
        self.cross, self.linear = CrossBlock(dim, heads), nn.Linear(dim, classes)

    def forward(self, x):
        """Tokens of one number for all samples, so there is no mask."""
        for block in self.blocks:
            x = block(x)
        return self.linear(self.cross(self.query.expand(len(x), 1, -1), x)[:, 0])

    @torch.no_grad()
    def take(self, weights, i):
        """Head i of a stack, whose matrices are [in out]."""
        for name, own in self.named_parameters():
            theirs = weights[name][i]
            own.copy_(theirs.T if theirs.ndim == 2 else theirs)
        return self

    def trained(self, x, y, config, rate, decay, seed, steps):
        """As `attentive.train` trains, with torch.optim.AdamW and torch's schedulers written out."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=rate, weight_decay=decay)
        for step, rows in zip(range(steps), batches(len(x), config.batch_size, seed), strict=False):
            share = 0.5 * (1 + math.cos(math.pi * (step + 0.5) / steps))
            for group in optimizer.param_groups:
                group["lr"] = rate * share
                if config.final_decay is not None:
                    group["weight_decay"] = config.final_decay + (decay - config.final_decay) * share
            optimizer.zero_grad()
            F.cross_entropy(self(x[rows]), y[rows]).backward()
            if config.clip is not None:
                nn.utils.clip_grad_norm_(self.parameters(), config.clip)
            optimizer.step()
        return self
