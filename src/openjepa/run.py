"""One experiment, complete: print it, save it, run it again."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Literal

from torch import Tensor

from openjepa.draws import Rows
from openjepa.modalities.image import Image
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.schedules import Cosine, WarmupCosine
from openjepa.tokens import Batch

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where samples come from."""

    path: str = ""  # a folder, a .tar, or world:tabletop
    cache: Literal["auto", "on", "off"] = "auto"  # keep decoded pixels on disk: later epochs decode nothing
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

    modality: Image
    objective: JEPAConfig | MAEConfig
    data: DataConfig = DataConfig()
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
        return self.objective.collate(view, self.modality, self.seed, step, rows)


@cache
def _converter() -> Any:
    import cattrs
    from cattrs.preconf.json import make_converter
    from cattrs.strategies import configure_tagged_union

    from openjepa.masks.blocks import Blocks
    from openjepa.masks.random import Random

    converter: cattrs.Converter = make_converter(forbid_extra_keys=True)
    configure_tagged_union(Blocks | Random, converter, tag_name="kind")
    configure_tagged_union(Random | Blocks, converter, tag_name="kind")
    configure_tagged_union(JEPAConfig | MAEConfig, converter, tag_name="kind")
    return converter


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
