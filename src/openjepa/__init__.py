"""openjepa: self-supervised learning by predicting the missing part in representation space."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from openjepa.checkpoint import load_encoder

__all__ = ["__version__", "load_encoder"]


def __getattr__(name: str) -> Any:
    # torch takes over a second to import: only what asks for it pays
    if name == "load_encoder":
        from openjepa.checkpoint import load_encoder

        return load_encoder
    raise AttributeError(f"module 'openjepa' has no attribute {name!r}")
