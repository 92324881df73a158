"""What a reader must know beside the scores: how test was held out, how an attentive probe was chosen and how large it is."""

import re
from collections.abc import Sequence

import torch

from openjepa.probes.attentive import FEW, VIT_S
from openjepa.probes.finetune import Finetune
from openjepa.probes.questions import Question, some
from openjepa.probes.report import Row
from openjepa.probes.splits import Groups


def held_out(question: Question, path: str, rows: Sequence[int], groups: Groups | None) -> str:
    """Without a test set: what judges, and which classes it lacks."""
    if groups is None:
        return f"no test set: {len(rows)} samples, a fifth of each {question.label}, were held out of {path}"
    numbers = torch.unique(groups.values[torch.tensor(rows)]).tolist()
    names = some([groups.names[number] for number in numbers])
    whole = "the whole group" if len(numbers) == 1 else "the whole groups"
    labels = question.train
    lost = set(labels[labels >= 0].tolist()) - set(labels[torch.tensor(rows)].tolist())
    lacking = f"; they hold no {question.label} {some([question.names[i] for i in sorted(lost)])}" if lost else ""
    return f"no test set: {len(rows)} samples, {whole} {names} of {len(groups.names)}, were held out of {path}{lacking}"


def groups_in_both(groups: Groups, names: Sequence[str], pattern: str) -> list[str]:
    """A warning when test samples are of groups that train has, too."""
    found = re.compile(pattern)
    known = set(groups.names)
    both = [match[1] for name in names if (match := found.search(name)) is not None and match[1] in known]
    if not both:
        return []
    shared = some(sorted(set(both)))
    return [f"{len(both)} of {len(names)} test samples are of groups that are also in train ({shared}); scores are too good"]


def attentive(rows: Sequence[Row], encoder: int) -> tuple[list[str], list[str]]:
    """(notes, warnings) about one question's attentive probe; `encoder`: parameters of the encoder."""
    row = next(row for row in rows if row.method == "encoder")
    told = row.detail
    samples, size = told["validation_samples"], told["parameters"]
    larger = ", more than the encoder itself" if size > encoder else ""
    larger += ", more than a ViT-S" if size > VIT_S else ""
    note = (
        f"attentive on {row.label}: {told['heads_tried']} heads were tried, the best on {samples:,} validation samples cut from train is reported"
        f" (lr {told['lr']:g}, weight decay {told['weight_decay']:g}, {100 * told['validation']:.1f} % there);"
        f" the probe has {millions(size)} parameters, the encoder {millions(encoder)}{larger}"
    )
    warning = (
        f"the attentive head for {row.label} was chosen on only {samples} validation samples of {told['heads_tried']} tries:"
        f" which one won is partly luck, fewer than {FEW} tell accuracies apart by no more than about 7 points"
    )
    return [note], [warning] if samples < FEW and told["heads_tried"] > 1 else []


def finetune(question: Question, config: Finetune) -> str:
    """What the row of fine-tuning means: its encoder is not frozen."""
    hidden = f", {config.masked:g} of the tokens hidden from attention (regularised masking)" if config.masked else ""
    return (
        f"finetune on {question.label}: the encoder itself learnt the labels for {config.steps} steps of {config.batch_size} samples{hidden};"
        " untrained is the same from scratch, and no setting was chosen on samples"
    )


def millions(count: int) -> str:
    """0.41 M, 13 M."""
    return f"{count / 1e6:.2g} M" if count < 1e7 else f"{count / 1e6:.0f} M"
