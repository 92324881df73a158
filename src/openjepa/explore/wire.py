"""Answers as bytes: arrays as a safetensors file whose metadata hold the rest as JSON; without arrays JSON alone."""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from safetensors.torch import save
from torch import Tensor

from openjepa.explore.routes import Answer
from openjepa.metrics import plain

TENSORS, JSON = "application/x-safetensors", "application/json"


def text_of(meta: Any) -> str:
    """JSON of dataclasses, mappings and numbers; null for what is not finite."""
    return json.dumps(plain(unpacked(meta)), allow_nan=False)


def unpacked(value: Any) -> Any:
    """Dataclasses to mappings, however deep."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {str(name): unpacked(part) for name, part in value.items()}
    return [unpacked(part) for part in value] if isinstance(value, list | tuple) else value


def encode(answer: Answer) -> tuple[bytes, str]:
    """Bytes and their media type."""
    text = text_of(answer.meta)
    if not answer.tensors:
        return text.encode(), JSON
    tensors: dict[str, Tensor] = {name: value.detach().cpu().contiguous() for name, value in answer.tensors.items()}
    return save(tensors, {"json": text}), TENSORS


def message(answer: Answer) -> bytes:
    """One part of a stream: its length, four bytes little-endian, then a safetensors file."""
    data, _ = encode(answer)
    return len(data).to_bytes(4, "little") + data
