"""What each command takes, as plain dataclasses: --help reads them, and nothing here imports torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class Common:
    """Every command has these."""

    json: bool = False  # one JSON object on stdout instead of text
    quiet: Annotated[bool, arg(aliases=["-q"])] = False  # no progress, and on stdout only the path or the table
    debug: bool = False  # show where an error came from


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Common):
    """The settings everyone needs; all others are reached by path, as in --objective.predictor.depth 4."""

    recipe: Positional[str] = ""  # what to train, e.g. image.ijepa
    data: str | None = None  # folder or .tar of images, or world:tabletop; labels are not needed
    out: Path | None = None  # new folder of the run; by default runs/<recipe>-<number>
    steps: int | None = None  # optimizer steps
    epochs: float | None = None  # passes over the data, instead of --steps
    batch_size: int | None = None  # samples per optimizer step, over all devices
    seed: int | None = None
    device: str | None = None  # auto, cpu, cuda, cuda:1 or mps
    precision: Literal["auto", "float32", "bfloat16"] | None = None  # auto times both and takes the faster
    workers: int | None = None  # loader processes; 0 loads in the main process, -1 chooses
    resume: Path | None = None  # run folder to continue, to the bit; takes no recipe
    allow_changes: bool = False  # resume although settings or data differ from the saved ones
    max_bad: float | None = None  # share of the files that may be unusable before training stops
    compile: Literal["auto", "on", "off"] | None = None  # torch.compile; auto: on a GPU for longer runs
    accumulate: int | None = None  # micro-batches per optimizer step: less memory, same mathematics
    log_every: int | None = None  # steps
    save_every: int | None = None  # steps
    keep_last: int | None = None  # checkpoints kept beside the best one by probe
    probe_every: int | None = None  # steps between kNN probes where the data has labels; 0 never
    fail_on_collapse: bool = False  # exit with code 3 when the last verdict is a collapse
    print_config: bool = False  # print every setting by path, mark what differs from the recipe, and stop
    dry_run: bool = False  # one real step, sizes and speed; writes nothing
    no_progress: bool = False  # plain key=value lines on a terminal, too


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(Common):
    """Score a frozen encoder on labelled images, beside chance, pixels and its untrained self."""

    run: Positional[Path]  # run folder
    data: str  # labelled images to fit the probes on: class subfolders, .tar, or world:tabletop
    test: str | None = None  # labelled images to score on; by default a fifth of --data
    probes: tuple[str, ...] = ("knn", "linear")  # knn, linear, 1-shot, 5-shot, 1%
    labels: tuple[str, ...] = ()  # which questions, where the data has several (world: shape, colour, ...)
    pooling: Literal["mean", "last4"] = "mean"  # mean of tokens, or of the last 4 layers side by side
    layer: int = -1  # -1 is the last
    step: int | None = None  # of the checkpoint; by default the newest
    seed: int = 0
    cache: Literal["auto", "on", "off"] = "auto"  # decoded pixels on disk
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class RunsOptions(Common):
    """`openjepa runs` lists the runs of a folder, `openjepa runs show RUN` tells one."""

    words: Positional[tuple[str, ...]] = ()  # nothing, or: show RUN
    folder: Annotated[Path, arg(name="in")] = Path("runs")  # where the runs are


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Common):
    """Look at machine, data, masks, memory and speed before spending anything. Takes the settings of train."""

    recipe: Positional[str] = ""  # without one: the machine only
    data: str | None = None  # as for train
    steps: int | None = None
    epochs: float | None = None
    batch_size: int | None = None
    seed: int | None = None
    device: str | None = None
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    workers: int | None = None
    picture: str | None = None  # masks on the data's own images: a .png to write, or - for the terminal


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Common):
    """Write report.html of a run: curves, verdicts, masks, feature maps, neighbours, probes; one file, no network."""

    run: Positional[Path]  # run folder
    out: Path | None = None  # by default report.html in the run folder
