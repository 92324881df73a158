"""Probe a run: the same probes on the encoder, on its untrained self, on pixels, and beside them chance."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Int
from torch import Tensor

from openjepa.probes import fewshot, keep, knn, remarks
from openjepa.probes.attentive import Attentive
from openjepa.probes.features import Frozen, Pooling, width
from openjepa.probes.finetune import Finetune, Task
from openjepa.probes.heads import FOLDER, Head, Of
from openjepa.probes.judge import Judge, Sides, Tunable, compare
from openjepa.probes.questions import Labelled, Question, held_out_rows, questions
from openjepa.probes.reading import Readable
from openjepa.probes.report import ProbeReport, Row, unique
from openjepa.probes.sides import Settings, patch_code, read, shared, with_pixels
from openjepa.probes.splits import Groups, groups_of, hold_out_groups

Event = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Scored:
    """What was found; see ProbeReport."""

    rows: list[Row]
    warnings: list[str]
    notes: list[str]
    bad: list[tuple[str, str]]
    heads: list[Head] = field(default_factory=list)


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
    clips: int = 1,
    views: int = 1,
    group: str | None = None,
    held_out: Sequence[str] = (),
    attentive: Attentive | None = None,
    finetune: Finetune | None = None,
    cache: Literal["auto", "on", "off"] = "auto",
    device: str = "auto",
    write: bool = True,
    on_event: Event = lambda event: None,
) -> ProbeReport:
    """Probe the frozen encoder of `run_folder` on labelled `data`, judged on `test`.

    Without `test` a fifth of every class of `data` is held out, and the report says so. `labels` names the questions
    to ask of data that has several; by default all. `group` is a regular expression on a sample's name, whose first
    group (a speaker, a fold) no split cuts: then whole groups are held out, those in `held_out` or about a fifth.
    `clips` of a sample that has time are encoded instead of its middle, and `views` along the longer side of images and
    videos instead of their centre; the attentive probe averages its answers to these. `attentive` and `finetune` are how these are trained.
    The report is written to <run>/probes and what was fitted on the encoder to <run>/probes/heads unless `write` is off. Progress goes to `on_event` as dicts with "kind": "probe" and a "text".

    Raises:
        ValueError: no run, no labels, labels of one class, test classes that train lacks, unknown names.
        OSError: the report cannot be written.
    """
    from openjepa.checkpoint import load_encoder  # here and nowhere else probes meet runs
    from openjepa.data.dataset import open_dataset
    from openjepa.engine import choose_device

    settings = Settings(
        tuple(probes),
        tuple(labels or ()),
        pooling,
        layer,
        seed,
        clips,
        views,
        group,
        tuple(held_out),
        attentive or Attentive(),
        finetune or Finetune(),
    )
    began, folder = time.perf_counter(), Path(run_folder)
    bundles = {"encoder": load_encoder(folder, step=step), "untrained": load_encoder(folder, untrained=True)}
    for bundle in bundles.values():
        bundle.encoder.to(choose_device(device))
    main = bundles["encoder"]
    train_set, entries = open_dataset(data, main.modality, cache)
    test_set, more = (train_set, []) if test is None else open_dataset(test, main.modality, cache)
    train = Labelled(data, train_set, train_set.labels)
    judge = Labelled(test, test_set, test_set.labels) if test is not None else None
    of = keep.encoder_of(main) if write else None
    scored = score(bundles, train, judge, settings, cache_dir=folder / "features", on_event=on_event, keep_of=of)
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
        for head in scored.heads:
            head.save(folder / FOLDER)
    return report


def told(path: str, dataset: Readable) -> dict[str, Any]:
    return {"path": path, "fingerprint": dataset.fingerprint, "samples": len(dataset)}


def described(settings: Settings) -> dict[str, Any]:
    """Everything that decides the scores, with the constants of the protocol."""
    chosen = {"probes": list(settings.probes), **taken(settings), "group": settings.group, "held_out": list(settings.held_out)}
    if settings.tokens:
        chosen["attentive"] = asdict(settings.attentive)
    if "finetune" in settings.probes:
        chosen["finetune"] = asdict(settings.finetune)
    return chosen | {"knn": {"k": knn.DEFAULT, "temperature": knn.TEMPERATURE, "centred": True}, "tries": fewshot.TRIES}


def taken(settings: Settings) -> dict[str, Any]:
    """How features are taken."""
    return {name: getattr(settings, name) for name in ("pooling", "layer", "seed", "clips", "views")}


def score(
    bundles: Mapping[str, Frozen],
    train: Labelled,
    test: Labelled | None,
    settings: Settings,
    *,
    cache_dir: Path | None = None,
    on_event: Event = lambda event: None,
    keep_of: Of | None = None,
) -> Scored:
    """Probe encoders that are already open: "encoder" is judged, the others are floors. With `keep_of`, its identity, heads are kept."""
    asked, notes = questions(train, test, settings.labels)
    other = test or train
    warnings, groups = list[str](), grouped(train, settings.group)
    train_rows, test_rows = list(range(len(train.dataset))), list(range(len(other.dataset)))
    if test is None:
        train_rows, test_rows = held_out_rows(asked, settings.seed, groups, settings.held_out)
        notes.append(remarks.held_out(asked[0], train.path, test_rows, groups))
    elif settings.held_out:
        raise ValueError(f"{test.path} judges, so the groups {', '.join(settings.held_out)} cannot; give held-out groups or a test set")
    elif groups is not None and settings.group is not None:
        warnings += remarks.groups_in_both(groups, [name_of(test, row) for row in test_rows], settings.group)
    on_event({"kind": "probe", "text": f"features of {len(train_rows)} + {len(test_rows)} samples"})
    main = bundles["encoder"]
    patches = patch_code(main, train.dataset, train_rows, settings) if settings.tokens else None
    here = read(bundles, train.dataset, train_rows, settings, cache_dir, patches)
    there = read(bundles, other.dataset, test_rows, settings, cache_dir, patches)
    pooled: dict[str, Sides] = dict(with_pixels(here, there, width(main), settings.seed))
    whole: dict[str, Sides] = {name: (tokens, there.tokens[name]) for name, tokens in here.tokens.items()}
    judge = Judge(
        settings.seed,
        pooler=settings.attentive,
        tuning=settings.finetune,
        clips=settings.clips,
        views=settings.views,
        device=next(main.encoder.parameters()).device,
        heads=getattr(getattr(main.encoder, "config", None), "heads", None),
    )
    rows, heads = list[Row](), list[Head]()
    for question in asked:
        y, test_y = question.train[here.rows], question.test[there.rows]
        if groups is not None:
            judge = replace(judge, groups=spared(question, y, groups.values[here.rows], notes))
        for name in settings.probes:
            on_event({"kind": "probe", "text": f"{name} on {question.label}"})
            methods = whole if name == "attentive" else pooled
            if name == "finetune":
                sides = Task(train.dataset, here.rows, y), Task(other.dataset, there.rows, test_y)
                methods = {method: (Tunable(bundle, sides[0]), Tunable(bundle, sides[1])) for method, bundle in bundles.items()}
            found, fitted = compare(methods, question, name, y, test_y, judge)
            if name == "attentive":
                said, warned = remarks.attentive(found, sum(p.numel() for p in main.encoder.parameters()))
                notes, warnings = notes + said, warnings + warned
            elif name == "finetune":
                notes.append(remarks.finetune(question, settings.finetune))
            rows += found
            if keep_of is not None and fitted is not None:
                told = keep.Asked(keep_of, taken(settings), train, other, test is None, here.rows, there.rows)
                kept = keep.head(told, question, fitted, found, methods["encoder"], y, test_y)
                heads += [kept] if kept is not None else []
    bad = [*here.bad, *there.bad]
    if bad:
        notes.append(f"{len(bad)} unreadable files were left out, the first: {bad[0][0]} ({bad[0][1]})")
    return Scored(rows, shared(here, there, other) + warnings, notes, bad, heads)


def name_of(data: Labelled, row: int) -> str:
    return data.dataset.name(row)


def grouped(data: Labelled, pattern: str | None) -> Groups | None:
    """Which samples belong together; None where nobody said."""
    if pattern is None:
        return None
    return groups_of([name_of(data, row) for row in range(len(data.dataset))], pattern)


def spared(question: Question, y: Int[Tensor, " n"], groups: Int[Tensor, " n"], notes: list[str]) -> Int[Tensor, " n"] | None:
    """The groups of the training samples, if one of them can be spared to choose by; else None, and a note."""
    there = y >= 0
    try:
        hold_out_groups(y[there], groups[there], 0.1, 0)
    except ValueError as error:
        notes.append(f"{question.label}: within train, settings of the probes were chosen on samples of the same groups, because {error}")
        return None
    return groups
