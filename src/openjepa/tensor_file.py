"""The bytes of a safetensors file, a tensor at a time: the library's own writer holds all of them at once.

Eight bytes with the length of the header, the header (JSON: type, shape and place of each tensor), then the numbers.
"""

import json
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

DTYPES = {  # names in the format
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def pieces(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The whole file, in order. Tensors of `state` are asked for one by one, once for their shape and once for their numbers."""
    known = {name: (value.dtype, list(value.shape)) for name, value in state.items()}
    names = sorted(known, key=lambda name: (-known[name][0].itemsize, name))  # wide ones first: all stay aligned
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        dtype, shape = known[name]
        begin, end = end, end + prod(shape) * dtype.itemsize
        header[name] = {"dtype": DTYPES[dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        yield state[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
