"""openjepa: self-supervised learning by predicting the missing part in representation space."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from openjepa.interop.load import load_encoder
    from openjepa.probes.heads import load_head
    from openjepa.probes.score import probe
    from openjepa.train import train

__all__ = ["__version__", "load_encoder", "load_head", "probe", "train"]

# torch takes over a second to import: only what asks for it pays
HOMES = {"load_encoder": "interop.load", "load_head": "probes.heads", "probe": "probes.score", "train": "train"}


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _TrainModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.train(*args, **kwargs)


class _Package(ModuleType):
    """Importing openjepa.train puts the module where the function should be; so the module can be called as the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "train" and isinstance(value, ModuleType):
            value.__class__ = _TrainModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
