"""One experiment, complete: print it, save it, run it again."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from torch import Tensor

from openjepa.draws import Rows
from openjepa.imported import imported
from openjepa.modalities.modality import Modality
from openjepa.models.encoder import EncoderConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.schedules import Cosine, WarmupCosine
from openjepa.tokens import Batch

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where samples come from."""

    path: str = ""  # a folder, a .tar, or a made world (world:tabletop)
    exclude: str = ""  # regular expression: files whose name it finds are left out, as those of speakers that judge
    cache: Literal["auto", "on", "off"] = "auto"  # keep decoded samples on disk: later epochs decode nothing
    max_bad: float = 0.01  # share of the files that may be unusable before training stops


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW; biases and one-dimensional weights are never decayed."""

    lr: WarmupCosine = WarmupCosine(start=2e-4, peak=1e-3, final=1e-6, warmup=40 / 300)
    weight_decay: Cosine = Cosine(start=0.04, final=0.4)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip: float | None = None  # largest gradient norm; None leaves gradients alone


@dataclass(frozen=True, kw_only=True)
class Run:
    """One experiment. What it does not say, it does not do."""

    modality: Modality
    objective: JEPAConfig | MAEConfig
    data: DataConfig = DataConfig()
    init: str = ""  # run or bundle whose weights this run starts from, predictor included; empty: from random ones
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: int = 10_000  # optimizer steps
    batch_size: int = 128  # samples per optimizer step, over all devices
    accumulate: int = 1  # micro-batches per optimizer step; batch_size is split into so many
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: Precision = "auto"  # auto times both and takes the faster
    compile: Literal["auto", "on", "off"] = "auto"  # torch.compile; auto: on a GPU for runs over 500 steps
    workers: int = -1  # loader processes; 0 loads in the main process, -1 chooses
    log_every: int = 20  # steps
    save_every: int = 500  # steps
    keep_last: int = 2  # checkpoints kept beside the best one by probe
    probe_every: int = 0  # steps between online kNN probes where labels exist; 0 never

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "log_every", "save_every", "keep_last"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} does not split into {self.accumulate} equal micro-batches; choose a divisor")

    def batch(self, images: Sequence[Tensor] | Tensor, step: int, rows: Rows) -> Batch:
        """Decoded samples to what a step learns from: crops and masks, pure in (seed, step, row)."""
        view = self.modality.augment(images, self.seed, step, rows)
        return self.objective.collate(view, self.modality, self.seed, step, rows, step / self.steps)


MODALITIES = {
    "Image": "openjepa.modalities.image",
    "Video": "openjepa.modalities.video",
    "Audio": "openjepa.modalities.audio",
    "Series": "openjepa.modalities.series",
    "Points": "openjepa.modalities.points",
    "Table": "openjepa.modalities.table",
}  # class -> module; a user's own is stored as "module:Class"


def modality_class(name: str) -> type[Modality]:
    """The class that run.json calls `name`: one of MODALITIES, or "module:Class". ValueError where there is none."""
    if ":" not in name and name not in MODALITIES:
        raise ValueError(f"no modality {name!r}; there are {', '.join(MODALITIES)}, and your own as 'module:Class'")
    try:
        found = imported(name if ":" in name else f"{MODALITIES[name]}:{name}")
    except ValueError as error:
        raise ValueError(f"modality {error}") from error
    if not (isinstance(found, type) and issubclass(found, Modality)):
        raise ValueError(f"{name!r} is not a Modality class, but {found!r}")
    return found


def modality_name(kind: type[Modality]) -> str:
    """Inverse of modality_class."""
    return kind.__name__ if MODALITIES.get(kind.__name__) == kind.__module__ else f"{kind.__module__}:{kind.__qualname__}"


def _is_choice(hint: Any) -> bool:
    """A union of dataclasses, perhaps with tuples of them: one of several kinds."""
    return get_origin(hint) in (Union, UnionType) and any(is_dataclass(part) for part in get_args(hint))


@cache
def _converter() -> Any:
    """Classes travel under "kind" wherever one of several may stand."""
    import cattrs
    from cattrs.preconf.json import make_converter

    converter: cattrs.Converter = make_converter(forbid_extra_keys=True)

    def write_choice(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, tuple):
            return [write_choice(part) for part in value]
        return {"kind": type(value).__name__, **converter.unstructure(value, type(value))}

    def read_choice(data: Any, hint: Any) -> Any:
        if data is None and type(None) in get_args(hint):
            return None
        if isinstance(data, list):
            return tuple(read_choice(part, hint) for part in data)
        kinds = {kind.__name__: kind for kind in get_args(hint) if isinstance(kind, type) and is_dataclass(kind)}
        plain = dict(data)
        kind = plain.pop("kind", None)
        if kind is None and EncoderConfig in kinds.values():
            kind = EncoderConfig.__name__  # the first version had no other, and did not say so
        if kind not in kinds:
            raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(kinds)}")
        return converter.structure(plain, kinds[kind])

    converter.register_structure_hook_func(_is_choice, read_choice)
    converter.register_unstructure_hook_func(_is_choice, write_choice)
    converter.register_structure_hook_func(lambda kind: kind is Modality, lambda data, _: read_modality(data))
    converter.register_unstructure_hook_func(lambda kind: kind is Modality, write_modality)
    return converter


def read_modality(data: dict[str, Any]) -> Modality:
    """The modality that `write_modality` wrote. ValueError where its class is not there."""
    plain = dict(data)
    kind = modality_class(plain.pop("kind", "Image"))  # the first version held images only, and did not say so
    return _converter().structure(plain, kind)  # type: ignore[no-any-return]


def write_modality(value: Modality) -> dict[str, Any]:
    """Plain JSON values, the class under "kind"."""
    return {"kind": modality_name(type(value)), **_converter().unstructure(value, type(value))}


def to_dict(run: Run) -> dict[str, Any]:
    """The run as plain JSON values; unions carry the class name under "kind"."""
    return _converter().unstructure(run, Run)  # type: ignore[no-any-return]


def from_dict(data: dict[str, Any]) -> Run:
    """Inverse of to_dict. ValueError names the path of every field that does not fit."""
    import cattrs

    try:
        return _converter().structure(data, Run)  # type: ignore[no-any-return]
    except cattrs.BaseValidationError as error:
        raise ValueError("the saved run does not fit this version: " + "; ".join(cattrs.transform_error(error, path="run"))) from error


def leaves(config: object, prefix: str = "") -> dict[str, Any]:
    """Every plain value in a tree of dataclasses under its dotted name."""
    found: dict[str, Any] = {}
    for f in fields(config):  # type: ignore[arg-type]
        value = getattr(config, f.name)
        if is_dataclass(value):
            found |= leaves(value, f"{prefix}{f.name}.")
        elif isinstance(value, tuple) and value and all(map(is_dataclass, value)):  # several of a kind, by number
            for number, part in enumerate(value):
                found |= leaves(part, f"{prefix}{f.name}.{number}.")
        else:
            found[prefix + f.name] = value
    return found


def differences(old: Run, new: Run) -> list[str]:
    """Each setting that differs, as "path: old -> new"."""
    a, b = leaves(old), leaves(new)
    if type(old.objective) is not type(new.objective):
        return [f"objective: {type(old.objective).__name__} -> {type(new.objective).__name__}"]
    missing = "(absent)"
    return [f"{k}: {a.get(k, missing)!r} -> {b.get(k, missing)!r}" for k in a | b if a.get(k, missing) != b.get(k, missing)]
