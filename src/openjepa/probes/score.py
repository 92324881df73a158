"""Probe a run: the same probes on the encoder, on its untrained self, on pixels, and beside them chance."""

import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from openjepa.probes import fewshot, floors, knn
from openjepa.probes.features import Frozen, Pixels, Pooling, Readable, cache_file, extract_all, width
from openjepa.probes.judge import PROBES, compare
from openjepa.probes.questions import Labelled, held_out_rows, questions
from openjepa.probes.report import ProbeReport, Row, unique

PCA_ROWS = 10_000  # training samples the axes of the pixel floor are fitted on
Event = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Settings:
    """How features are taken and probed."""

    probes: tuple[str, ...] = ("knn", "linear")
    labels: tuple[str, ...] = ()  # questions asked of data that has several; empty asks all
    pooling: Pooling = "mean"
    layer: int = -1  # -1 is the last
    seed: int = 0  # of the splits and of few-shot draws

    def __post_init__(self) -> None:
        for name in self.probes:
            if name not in PROBES:
                near = difflib.get_close_matches(name, PROBES, 1)
                hint = f", did you mean {near[0]!r}?" if near else ";"
                raise ValueError(f"no probe {name!r}{hint} there are {', '.join(PROBES)}")
        if self.pooling == "tokens":
            raise ValueError("pooling 'tokens' gives many features per image, these probes want one; take mean or last4")


@dataclass(frozen=True)
class Scored:
    """What was found; see ProbeReport."""

    rows: list[Row]
    warnings: list[str]
    notes: list[str]
    bad: list[tuple[str, str]]


@dataclass(frozen=True)
class Side:
    """Train or test, read: features by method, pixels, and which sample each row is."""

    x: Mapping[str, Tensor]  # encoder, untrained: [n d]
    pixels: Pixels
    rows: Int[Tensor, " n"]
    bad: tuple[tuple[str, str], ...]


def probe(
    run_folder: str | Path,
    data: str,
    test: str | None = None,
    *,
    probes: Sequence[str] = ("knn", "linear"),
    labels: Sequence[str] | None = None,
    pooling: Pooling = "mean",
    layer: int = -1,
    step: int | None = None,
    seed: int = 0,
    cache: Literal["auto", "on", "off"] = "auto",
    device: str = "auto",
    write: bool = True,
    on_event: Event = lambda event: None,
) -> ProbeReport:
    """Probe the frozen encoder of `run_folder` on labelled `data`, judged on `test`.

    Without `test` a fifth of every class of `data` is held out, and the report says so. `labels` names the questions
    to ask of data that has several; by default all. The report is written to <run>/probes unless `write` is off.
    Progress goes to `on_event` as dicts with "kind": "probe" and a "text".

    Raises:
        ValueError: no run, no labels, labels of one class, test classes that train lacks, unknown names.
        OSError: the report cannot be written.
    """
    from openjepa.checkpoint import load_encoder  # here and nowhere else probes meet runs
    from openjepa.data.dataset import open_dataset
    from openjepa.engine import choose_device

    settings = Settings(tuple(probes), tuple(labels or ()), pooling, layer, seed)
    began, folder = time.perf_counter(), Path(run_folder)
    bundles = {"encoder": load_encoder(folder, step=step), "untrained": load_encoder(folder, untrained=True)}
    for bundle in bundles.values():
        bundle.encoder.to(choose_device(device))
    main = bundles["encoder"]
    train_set, entries = open_dataset(data, main.modality, cache)
    test_set, more = (train_set, []) if test is None else open_dataset(test, main.modality, cache)
    train = Labelled(data, train_set, train_set.labels)
    judge = Labelled(test, test_set, test_set.labels) if test is not None else None
    scored = score(bundles, train, judge, settings, cache_dir=folder / "features", on_event=on_event)
    listed = [(entry.path, entry.reason) for entry in [*entries, *more] if entry.kind == "bad"]
    report = ProbeReport(
        run=str(folder),
        step=main.step,
        objective=type(main.run.objective).__name__.removesuffix("Config"),
        data=told(data, train_set),
        test=told(test or data, test_set) | {"held_out": test is None},
        settings=described(settings),
        rows=tuple(scored.rows),
        warnings=tuple(scored.warnings),
        notes=tuple(scored.notes),
        bad=unique([*listed, *scored.bad]),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        seconds=time.perf_counter() - began,
    )
    if write:
        report.write(folder / "probes")
    return report


def told(path: str, dataset: Readable) -> dict[str, Any]:
    return {"path": path, "fingerprint": dataset.fingerprint, "samples": len(dataset)}


def described(settings: Settings) -> dict[str, Any]:
    """Everything that decides the scores, with the constants of the protocol."""
    chosen = {"probes": list(settings.probes), "pooling": settings.pooling, "layer": settings.layer, "seed": settings.seed}
    return chosen | {"knn": {"k": knn.DEFAULT, "temperature": knn.TEMPERATURE, "centred": True}, "tries": fewshot.TRIES}


def score(
    bundles: Mapping[str, Frozen],
    train: Labelled,
    test: Labelled | None,
    settings: Settings,
    *,
    cache_dir: Path | None = None,
    on_event: Event = lambda event: None,
) -> Scored:
    """Probe encoders that are already open: "encoder" is judged, the others are floors."""
    asked, notes = questions(train, test, settings.labels)
    other = test or train
    train_rows, test_rows = list(range(len(train.dataset))), list(range(len(other.dataset)))
    if test is None:
        train_rows, test_rows = held_out_rows(asked, settings.seed)
        notes.append(f"no test set: {len(test_rows)} samples, a fifth of each {asked[0].label}, were held out of {train.path}")
    on_event({"kind": "probe", "text": f"features of {len(train_rows)} + {len(test_rows)} samples"})
    here = read(bundles, train.dataset, train_rows, settings, cache_dir)
    there = read(bundles, other.dataset, test_rows, settings, cache_dir)
    methods = with_pixels(here, there, width(bundles["encoder"]), settings.seed)
    rows = list[Row]()
    for question in asked:
        for name in settings.probes:
            on_event({"kind": "probe", "text": f"{name} on {question.label}"})
            rows += compare(methods, question, name, question.train[here.rows], question.test[there.rows], settings.seed)
    bad = [*here.bad, *there.bad]
    if bad:
        notes.append(f"{len(bad)} unreadable files were left out, the first: {bad[0][0]} ({bad[0][1]})")
    return Scored(rows, shared(here, there, other), notes, bad)


def read(bundles: Mapping[str, Frozen], dataset: Readable, rows: list[int], settings: Settings, cache_dir: Path | None) -> Side:
    """Features and pixels of `rows`, reading each sample once."""
    how = settings.pooling, settings.layer
    paths = {name: cache_file(bundle, dataset, rows, *how, cache_dir) for name, bundle in bundles.items()}
    features, pixels = extract_all(bundles, dataset, rows, *how, paths)
    any_of = next(iter(features.values()))
    return Side({name: f.x for name, f in features.items()}, pixels, any_of.rows, any_of.bad)


def with_pixels(train: Side, test: Side, dim: int, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """(train, test) features of every method; pixels by their PCA to the encoder's width, fitted on train."""
    stride = -(-len(train.pixels.x) // PCA_ROWS)  # a stride keeps every class in the sample, whatever the order
    pca = floors.pca(train.pixels.x[::stride], dim, seed=seed)
    return {name: (x, test.x[name]) for name, x in train.x.items()} | {"pixels": (pca(train.pixels.x), pca(test.pixels.x))}


def shared(train: Side, test: Side, test_data: Labelled) -> list[str]:
    """A warning when test pictures also lie in train, whatever their names."""
    both = torch.isin(test.pixels.hashes, train.pixels.hashes)
    count = int(both.sum())
    if not count:
        return []
    name = test_data.dataset.name(int(test.rows[both.nonzero()[0, 0]]))
    share = f"{count} of {len(both)} test pictures ({100 * count / len(both):.2g} %)"
    return [f"{share} are also in train, the first is {name}; scores are too good, remove them"]
