"""openjepa train"""

import contextlib
import json
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openjepa import recipes
from openjepa.cli.options import DoctorOptions, TrainOptions
from openjepa.cli.parse import Usage, parse, refuse, split

if TYPE_CHECKING:
    from openjepa.run import Run
    from openjepa.train import TrainResult

OWN = [
    "steps",
    "batch_size",
    "seed",
    "device",
    "precision",
    "workers",
    "compile",
    "accumulate",
    "log_every",
    "save_every",
    "keep_last",
    "probe_every",
]


@dataclass(frozen=True)
class Chosen:
    """What a command line says to train."""

    recipe: str
    base: "Run"  # the recipe, or the saved run
    run: "Run"


def command(words: Sequence[str]) -> int:
    own, by_path = split(words)
    options, unknown = parse(TrainOptions, own, prog="openjepa train", description=about())
    chosen = choose(options, own, by_path, unknown, "openjepa train")
    if options.print_config:
        return print_config(chosen, options.json)
    check(options, chosen.run)
    if options.epochs is not None:
        chosen = replace(chosen, run=replace(chosen.run, steps=steps_of(options.epochs, chosen.run)))
    if options.dry_run:
        from openjepa.cli.doctor import dry_run

        return dry_run(chosen.recipe, chosen.run, shlex.join(retold(options, chosen, options.out)), options.json)
    return go(options, chosen)


def about() -> str:
    listed = "\n".join(f"  {name:24} {text}" for name, text in recipes.names().items())
    return (
        f"Pretrain an encoder on a folder of images, videos, sounds or data of your own.\n\nRecipes:\n{listed}\n\n"
        "Every other setting by path, e.g. --objective.predictor.depth 4; `openjepa train RECIPE --print-config` lists them."
    )


# -- what to train


def choose(options: TrainOptions | DoctorOptions, own: Sequence[str], by_path: Sequence[str], unknown: Sequence[str], prog: str) -> Chosen:
    """Recipe or saved run, with the settings of the command line. Usage or ValueError says what does not fit."""
    resume, init = getattr(options, "resume", None), options.init
    if init is not None and resume is not None:
        raise Usage("--init starts a run and --resume goes on with one", "give one of them")
    if options.recipe not in recipes.names() and resume is None:
        # Behind an unknown option tyro reads nothing more, so it may have missed the recipe
        refuse([word for word in unknown if word.startswith("-")], own, option_flags(type(options)), prog)
    if not options.recipe and resume is None:
        raise Usage("no recipe", f"name one of {', '.join(recipes.names())}")
    if options.recipe and resume is not None:
        raise Usage(f"--resume {resume} goes on with the recipe it began with", f"leave out {options.recipe}")
    if resume is not None:
        from openjepa.checkpoint import load_run

        saved = load_run(resume)
        if "source" in saved.info:
            raise Usage(f"{resume} is a bundle, not a run to go on with", f"start a run from its weights: --init {resume}")
        recipe, base = str(saved.info.get("recipe", "")), saved.run
    else:
        recipe, base = options.recipe, recipes.load(options.recipe)
    from openjepa.cli.settings import apply, flags, own_modality

    run = replace(base, modality=own_modality(options.modality)) if options.modality else base
    if init is not None:
        from openjepa.start import adopt

        run = adopt(run, init)
    refuse(unknown, own, [*option_flags(type(options)), *flags(run)], prog)
    run = apply(run, by_path, prog) if by_path else run
    given = {name: getattr(options, name, None) for name in OWN}
    run = replace(run, **{name: value for name, value in given.items() if value is not None})
    told: dict[str, Any] = {"path": options.data, "exclude": options.exclude, "max_bad": getattr(options, "max_bad", None)}
    run = replace(run, data=replace(run.data, **{name: value for name, value in told.items() if value is not None}))
    return Chosen(recipe, base, run)


def option_flags(kind: type[Any]) -> list[str]:
    """The words a command takes."""
    names = {"folder": "in"}
    return [
        f"--{names.get(f.name, f.name).replace('_', '-')}"
        for f in fields(kind)
        if f.name not in ("recipe", "run", "words", "source", "folders")
    ]


def check(options: TrainOptions, run: "Run") -> None:
    """What can be refused before anything is opened."""
    if options.resume is not None and options.out is not None and options.out.resolve() != options.resume.resolve():
        raise Usage(f"--resume goes on in {options.resume}, not in {options.out}", "leave out --out, or start a new run without --resume")
    if options.epochs is not None and options.steps is not None:
        raise Usage("--steps and --epochs both say how long to train", "give one of them")
    if not run.data.path:
        kind = run.modality.kind
        raise Usage("no data", f"name a folder of {kind}, a .tar of {kind}, or a made world (world:tabletop) with --data")


def steps_of(epochs: float, run: "Run") -> int:
    """Optimizer steps that show the data `epochs` times."""
    if not epochs > 0:
        raise Usage(f"--epochs is {epochs:g}", "it must be more than 0")
    from openjepa.data.dataset import open_dataset

    dataset, _ = open_dataset(run.data.path, run.modality, "off", run.data.exclude)
    return max(1, math.ceil(epochs * len(dataset) / run.batch_size))


def new_folder(recipe: str) -> Path:
    """runs/<recipe>-<number> that is not there yet."""
    number = 1
    while (path := Path("runs") / f"{recipe.rpartition('.')[2]}-{number}").exists():
        number += 1
    return path


def retold(options: TrainOptions, chosen: Chosen, out: Path | None) -> list[str]:
    """The command that says the same in the fewest words."""
    from openjepa.cli.settings import changes, command

    if options.resume is not None:
        return ["openjepa", "train", "--resume", str(options.resume), *changes(chosen.base, chosen.run)]
    return command(chosen.recipe, chosen.base, chosen.run, out, options.modality)


# -- doing it


def go(options: TrainOptions, chosen: Chosen) -> int:
    from openjepa.cli.main import COLLAPSED, INTERRUPTED, OK
    from openjepa.cli.progress import Progress
    from openjepa.probes.online import online_knn
    from openjepa.train import Interrupted, train

    out = options.resume or options.out or new_folder(chosen.recipe)
    said = shlex.join(retold(options, chosen, out))
    try:
        with Progress(live=False if options.no_progress else None, quiet=options.quiet) as progress:
            result = train(
                chosen.run,
                out,
                recipe=chosen.recipe,
                command=said,
                resume=options.resume is not None,
                allow_changes=options.allow_changes,
                probe=online_knn,
                on_event=progress,
            )
    except (ValueError, OSError):
        with contextlib.suppress(OSError):
            out.rmdir()  # if nothing was written, leave nothing
        raise
    except Interrupted as stopped:
        if options.json:
            print(json.dumps({"status": "interrupted", "out": str(out), "step": stopped.step, "checkpoint": str(stopped.path)}))
        print(
            f"interrupted after step {stopped.step}, saved {stopped.path}\ncontinue with: {shlex.join(['openjepa', 'train', '--resume', str(out)])}",
            file=sys.stderr,
        )
        return INTERRUPTED
    print_result(options, out, result, chosen.run)
    collapsed = str(result.metrics.get("verdict", "")).endswith("collapse")
    if collapsed and options.fail_on_collapse:
        print(f"error: {result.metrics['verdict']}\nhint: {result.metrics.get('advice', '')}", file=sys.stderr)
        return COLLAPSED
    return OK


def print_result(options: TrainOptions, out: Path, result: "TrainResult", run: "Run") -> None:
    """Paths, verdict, the next commands and how to use the encoder, on stdout."""
    from openjepa.checkpoint import checkpoints
    from openjepa.cli.progress import duration, short

    row = result.metrics
    saved = checkpoints(out)[-1]
    if options.json:
        told = {"status": "finished", "out": str(out), "step": result.steps, "seconds": result.seconds, "checkpoint": str(saved)}
        print(json.dumps(told | {"verdict": row.get("verdict"), "advice": row.get("advice"), "metrics": row}, default=str))
        return
    if options.quiet:
        print(out)
        return
    folder = shlex.quote(str(out))
    print(f"{out}: {result.steps} steps, {duration(result.seconds)}, loss {short(row.get('loss')) or '-'}")
    print(f"{row.get('verdict', 'no verdict')}: {row.get('advice', '')}")
    if bad := count_bad(out / "ledger.jsonl"):
        print(f"{bad} files were not used, see {out / 'ledger.jsonl'}")
    print(f"encoder {saved / 'encoder.safetensors'}\n\nnext")
    print(f"  openjepa probe {folder} --data LABELLED --test LABELLED_TEST\n  openjepa report {folder}\n\nuse it")
    print(f"  import openjepa\n  encoder = openjepa.load_encoder({str(out)!r})")
    file = "photo.jpg" if run.modality.kind == "images" else f"sample{min(run.modality.suffixes, default='.npy')}"
    print(f"  features = encoder.encode([{file!r}]).pooled  # one row per sample; .tokens has one per patch")


def count_bad(ledger: Path) -> int:
    """Files that could not be used."""
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return sum('"kind": "bad"' in line for line in lines)


def print_config(chosen: Chosen, as_json: bool) -> int:
    """Every setting by path; * marks what differs from the recipe."""
    from openjepa.cli.settings import listing

    settings = listing(chosen.run, chosen.base)
    if as_json:
        print(json.dumps({s.path: {"value": s.value, "recipe": s.recipe, "about": s.about} for s in settings}, default=str))
        return 0
    width = max(len(str(s)) for s in settings)
    for s in settings:
        was = f"({s.recipe}) " if s.changed else ""
        print(f"{'*' if s.changed else ' '} {s!s:{width}}  {was}{s.about}".rstrip())
    return 0
