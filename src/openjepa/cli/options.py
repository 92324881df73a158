"""What each command takes, as plain dataclasses: --help reads them, and nothing here imports torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

# Not given: the recipe decides
Text = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")]
Folder = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")]
Count = Annotated[int | None, arg(metavar="N", help_behavior_hint="")]
Number = Annotated[float | None, arg(metavar="X", help_behavior_hint="")]
Precision = Annotated[Literal["auto", "float32", "bfloat16"] | None, arg(metavar="{auto,float32,bfloat16}", help_behavior_hint="")]
Compile = Annotated[Literal["auto", "on", "off"] | None, arg(metavar="{auto,on,off}", help_behavior_hint="")]
Flag = Annotated[bool, arg(help_behavior_hint="")]
Recipe = Annotated[str, Positional, arg(metavar="RECIPE", help_behavior_hint="")]
RunFolder = Annotated[Path, Positional, arg(metavar="RUN")]


@dataclass(frozen=True, kw_only=True)
class Common:
    """Every command has these."""

    json: Flag = False  # one JSON object on stdout instead of text
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False  # no progress, and on stdout only the path or the table
    debug: Flag = False  # show where an error came from


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Common):
    """The settings everyone needs; all others are reached by path, as in --objective.predictor.depth 4."""

    recipe: Recipe = ""  # what to train, e.g. image.ijepa
    data: Text = None  # folder or .tar of images, videos or sounds, or a made world (world:tabletop); labels are not needed
    modality: Text = None  # your own kind of data, module:object, in place of the recipe's
    out: Folder = None  # new folder of the run; by default runs/<recipe>-<number>
    steps: Count = None  # optimizer steps
    epochs: Number = None  # passes over the data, instead of --steps
    batch_size: Count = None  # samples per optimizer step, over all devices
    seed: Count = None  # of weights, order, crops and masks
    device: Text = None  # auto, cpu, cuda, cuda:1 or mps
    precision: Precision = None  # auto times both and takes the faster
    workers: Count = None  # loader processes; 0 loads in the main process, -1 chooses
    init: Folder = None  # run or bundle whose weights to start from, predictor included; its architecture is taken, too
    resume: Folder = None  # run folder to continue, to the bit; takes no recipe
    allow_changes: Flag = False  # resume although settings or data differ from the saved ones
    exclude: Text = None  # regular expression: files whose name it finds are left out (speakers or subjects that will judge)
    max_bad: Number = None  # share of the files that may be unusable before training stops
    compile: Compile = None  # torch.compile; auto: on a GPU for longer runs
    accumulate: Count = None  # micro-batches per optimizer step: less memory, same mathematics
    log_every: Count = None  # steps
    save_every: Count = None  # steps
    keep_last: Count = None  # checkpoints kept beside the best one by probe
    probe_every: Count = None  # steps between kNN probes where the data has labels; 0 never
    fail_on_collapse: Flag = False  # exit with code 3 when the last verdict is a collapse
    print_config: Flag = False  # print every setting by path, mark what differs from the recipe, and stop
    dry_run: Flag = False  # one real step, sizes and speed; writes nothing
    no_progress: Flag = False  # plain key=value lines on a terminal, too


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(Common):
    """Take in weights of others, strictly, or write ours in their form. What goes out is read again and compared."""

    source: Annotated[str, Positional, arg(metavar="SOURCE")]  # checkpoint of the authors, Hugging Face folder or id, run or bundle of ours
    out: Path  # new folder or file
    to: Literal["bundle", "hf", "official", "onnx", "torch-export"] = "bundle"  # bundle: a folder that every command here takes
    which: Literal["target", "context"] = "target"  # encoder that a bundle exports, where a file has both; the papers evaluate target
    family: Annotated[Literal["ijepa", "vjepa", "vjepa2", "mae"] | None, arg(help_behavior_hint="")] = None  # where a file does not tell
    heads: Count = None  # attention heads of the encoder, where its width is none that was released
    predictor_heads: Count = None  # of the predictor or decoder; by default as released
    size: Annotated[tuple[int, int] | None, arg(metavar="H W", help_behavior_hint="")] = None  # of a view, other than the stored one
    frames: Count = None  # of a view, where a file does not tell
    probe: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = (
        None  # attentive probe of V-JEPA, kept as a head of the bundle
    )
    probe_heads: Count = None  # attention heads of that; by default the encoder's, or 16 of V-JEPA 2's
    classes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None  # names of its classes, one per line
    step: Count = None  # of the checkpoint, of a run of ours; by default the newest


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(Common):
    """Score a frozen encoder on labelled samples, beside chance, pixels and its untrained self."""

    run: RunFolder  # run folder
    data: str  # labelled samples to fit the probes on: class subfolders, .tar, or world:tabletop
    test: Text = None  # labelled samples to score on; by default a fifth of --data
    probes: tuple[str, ...] = ("knn", "linear")  # knn, linear, attentive, finetune, 1-shot, 5-shot, 1%
    labels: tuple[str, ...] = ()  # which questions, where the data has several (world: shape, colour, ...)
    pooling: Literal["mean", "last4", "places"] = "mean"  # mean token; of the last 4 layers; or all tokens side by side
    layer: int = -1  # -1 is the last
    group: Text = None  # regular expression on file names; its first group (speaker, fold) is never cut by a split
    held_out: tuple[str, ...] = ()  # groups to score on where there is no --test; by default about a fifth
    clips: int = 1  # of a video or sound that is longer than a view, spread evenly over it
    views: int = 1  # of an image or clip, spread along its longer side; the attentive probe averages its answers to them
    attentive_depth: int = 1  # blocks of the attentive probe: 1 as V-JEPA, 4 as V-JEPA 2
    finetune_steps: int = 400  # of 64 samples, in which finetune trains the encoder itself
    finetune_rate: float = 5e-4  # its largest learning rate
    finetune_masked: float = 0.0  # share of tokens hidden from its attention while training; A-JEPA's regularised masking takes 0.1
    finetune_mask_mode: Literal["key", "self"] = "key"  # hidden tokens give nothing to any token, or nothing to themselves
    step: Count = None  # of the checkpoint; by default the newest
    seed: int = 0
    cache: Literal["auto", "on", "off"] = "auto"  # decoded pixels on disk
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class RunsOptions(Common):
    """`openjepa runs` lists the runs of a folder, `openjepa runs show RUN` tells one."""

    words: Annotated[tuple[str, ...], Positional, arg(metavar="[show RUN]", help_behavior_hint="")] = ()  # nothing, or: show RUN
    folder: Annotated[Path, arg(name="in")] = Path("runs")  # where the runs are


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Common):
    """Look at machine, data, masks, memory and speed before spending anything. Takes the settings of train."""

    recipe: Recipe = ""  # without one: the machine only
    data: Text = None  # as for train
    init: Folder = None  # as for train
    exclude: Text = None  # as for train
    modality: Text = None  # module:object, as for train; without a recipe: whether your modality keeps the laws of training
    steps: Count = None
    epochs: Number = None
    batch_size: Count = None
    seed: Count = None  # of weights, order, crops and masks
    device: Text = None
    precision: Precision = None
    workers: Count = None
    picture: Text = None  # masks on the data's own samples: a .png to write, or - for the terminal


@dataclass(frozen=True, kw_only=True)
class NewOptions(Common):
    """`openjepa new modality NAME` writes NAME.py, a commented one-file modality, and test_NAME.py, its conformance test."""

    words: Annotated[tuple[str, ...], Positional, arg(metavar="modality NAME", help_behavior_hint="")] = ()  # modality NAME
    folder: Annotated[Path, arg(name="in")] = Path()  # where to write


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Common):
    """Write report.html of a run: curves, verdicts, masks, feature maps, neighbours, probes; one file, no network."""

    run: RunFolder  # run folder
    out: Folder = None  # by default report.html in the run folder


@dataclass(frozen=True, kw_only=True)
class ExploreOptions(Common):
    """Open a page on this machine: drag the mask and see what a model predicts, on runs, bundles and files of your own."""

    folders: Annotated[
        tuple[Path, ...], Positional, arg(metavar="[FOLDER ...]", help_behavior_hint="")
    ] = ()  # runs, bundles or folders of them; by default runs/ and the small models that come along
    port: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None  # by default the first free one from 8642
    host: str = "127.0.0.1"  # this machine only; any other address opens the page to others, with a token
    allow_host: tuple[str, ...] = ()  # names under which a proxy serves the page
    no_browser: Flag = False  # print the address, open nothing
    threads: Count = None  # of a model; by default all cores but one, which the browser needs
    device: str = "cpu"  # where the models run: cpu, cuda, cuda:1 or mps
    export: Folder = None  # write the page with precomputed answers into this new folder, for any web server, and stop
