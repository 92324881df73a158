"""openjepa doctor"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from openjepa.cli.options import DoctorOptions
from openjepa.cli.parse import Usage, parse, refuse, split
from openjepa.cli.train import choose, option_flags, steps_of

if TYPE_CHECKING:
    from openjepa.doctor import Diagnosis
    from openjepa.run import Run


def command(words: Sequence[str]) -> int:
    own, by_path = split(words)
    options, unknown = parse(DoctorOptions, own, prog="openjepa doctor")
    if options.modality and not options.recipe:
        refuse([*unknown, *by_path], own, option_flags(DoctorOptions), "openjepa doctor")
        return conformance(options)
    if not options.recipe:
        refuse([*unknown, *by_path], own, option_flags(DoctorOptions), "openjepa doctor")
        return machine_only(options)
    chosen = choose(options, own, by_path, unknown, "openjepa doctor")
    run = chosen.run
    if options.epochs is not None:
        if options.steps is not None:
            raise Usage("--steps and --epochs both say how long to train", "give one of them")
        run = replace(run, steps=steps_of(options.epochs, run))
    from openjepa.doctor import examine
    from openjepa.doctor.show import text

    found = examine(run, chosen.base, say=(lambda line: None) if options.quiet else say)
    print(json.dumps(found.to_dict(), default=str) if options.json else text(found))
    if options.picture:
        picture(options.picture, found)
    elif not run.data.path:
        say("no data was looked at: name it with --data")
    return int(found.problems > 0)


def machine_only(options: DoctorOptions) -> int:
    from openjepa.doctor import Diagnosis
    from openjepa.doctor.machine import machine
    from openjepa.doctor.show import text

    found = Diagnosis(machine(options.device or "auto", options.precision or "auto", 384))
    print(json.dumps(found.to_dict()) if options.json else text(found).replace("\n\nnothing to complain about", ""))
    return 0


def conformance(options: DoctorOptions) -> int:
    """Whether a modality keeps the laws of training: on made samples, and with --data on its own files, too."""
    from openjepa.cli.settings import own_modality
    from openjepa.doctor.conformance import broken, check

    modality = own_modality(options.modality or "")
    samples, files = None, list[bytes]()
    if options.data:
        from openjepa.data.dataset import Files, open_dataset

        dataset, _ = open_dataset(options.data, modality, "off")
        samples = list(dataset.read(range(min(3, len(dataset)))))
        if isinstance(dataset, Files):
            read = [dataset.manifest.read(row) for row in range(min(3, len(dataset)))]
            files = [data for data in read if isinstance(data, bytes)]
    found = check(modality, samples, files)
    if options.json:
        print(json.dumps({"modality": options.modality, "laws": [asdict(one) for one in found]}))
    else:
        print(f"{options.modality}: {modality}\n" + "\n".join(map(str, found)))
    return int(any(broken(found)))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def picture(where: str, found: "Diagnosis") -> None:
    """Masks on the data's own samples, to a PNG or, for -, to the terminal."""
    from openjepa.doctor.picture import blocks, first_batch, save, tiles

    if found.run is None or found.dataset is None:
        raise Usage("--picture needs samples", "name them with --data")
    pixels = tiles(found.run, *first_batch(found.run, found.dataset, 4))
    if where == "-":
        print(blocks(pixels, shutil.get_terminal_size().columns))
        return
    if Path(where).suffix.lower() != ".png":
        raise Usage(f"--picture is {where!r}", "name a .png to write, or - for the terminal")
    save(Path(where), pixels)
    say(f"masks on {found.run.data.path}: {where}")


def dry_run(recipe: str, run: "Run", said: str, as_json: bool) -> int:
    """One real step and what the run costs; writes nothing."""
    from openjepa.doctor import examine
    from openjepa.doctor.show import findings, model, speed

    found = examine(run, masks=100, steps=1)
    if as_json:
        print(json.dumps({"recipe": recipe, "command": said, "dry_run": True} | found.to_dict(), default=str))
    else:
        print("\n".join([said, *model(found), *speed(found), *findings(found), "nothing was written"]))
    return int(found.problems > 0)
