"""Weights of others, read without running anything that a file may hold, and without holding it in memory twice."""

import argparse
import hashlib
import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

WRAPPERS = ("module", "backbone", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")  # names that wrapping adds


def read_torch(path: Path) -> dict[str, Any]:
    """A file of torch.save: tensors stay on disk until they are used. ValueError for anything that is not plain data."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # MAE's files hold their command line
            try:
                found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError as error:
                if "mmap" not in str(error):
                    raise
                found = torch.load(path, map_location="cpu", weights_only=True)  # the format before torch 1.6
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower():
            first = str(error).partition("\\n")[0][:200]
            raise ValueError(
                f"{path} holds more than tensors and plain values, and was not opened: such a file can run code ({first}); "
                "save its state_dict() alone, or as .safetensors"
            ) from None
        raise ValueError(f"{path} is no file of torch.save, or it is cut short ({error}); download it again") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, UnicodeDecodeError) as error:
        said = str(error).partition("\\n")[0][:200]
        raise ValueError(f"{path} is no file of torch.save, or it is cut short ({said}); download it again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}; a dict of tensors, or of dicts of them, is wanted")
    return found


class Tensors(Mapping[str, Tensor]):
    """Tensors of one or several safetensors files, each read when it is asked for."""

    def __init__(self, paths: list[Path]) -> None:
        self.homes: dict[str, Path] = {}
        for path in paths:
            try:
                with safe_open(path, "pt") as file:
                    self.homes |= dict.fromkeys(file.keys(), path)
            except (SafetensorError, OSError) as error:
                raise ValueError(f"{path} is damaged or missing ({error}); download it again") from None

    def __getitem__(self, name: str) -> Tensor:
        with safe_open(self.homes[name], "pt") as file:
            found: Tensor = file.get_tensor(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.homes)

    def __len__(self) -> int:
        return len(self.homes)


class Renamed(Mapping[str, Tensor]):
    """Tensors under other names; `rename` gives None for what is left out."""

    def __init__(self, tensors: Mapping[str, Tensor], rename: Callable[[str], str | None]) -> None:
        self.tensors = tensors
        self.names: dict[str, str] = {}
        for name in tensors:
            new = rename(name)
            if new is None:
                continue
            if new in self.names:
                raise ValueError(f"{self.names[new]} and {name} are both {new}; the file holds two models in one dict")
            self.names[new] = name

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[self.names[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def unwrapped(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Without the names that DDP, FSDP, torch.compile and V-JEPA's wrappers put in front of each part."""
    return Renamed(tensors, lambda name: ".".join(part for part in name.split(".") if part not in WRAPPERS))


def read_folder(folder: Path) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """config.json and the tensors of a Hugging Face folder."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    except FileNotFoundError:
        raise ValueError(f"{folder} has no config.json, so it is no Hugging Face folder; give the one that save_pretrained wrote") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder}/config.json is not valid JSON ({error}); download it again") from None
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        return config, Tensors([folder / shard for shard in shards])
    if (folder / "model.safetensors").exists():
        return config, Tensors([folder / "model.safetensors"])
    if (folder / "pytorch_model.bin").exists():
        return config, read_torch(folder / "pytorch_model.bin")
    raise ValueError(f"{folder} has a config.json, but neither model.safetensors nor pytorch_model.bin; download the weights, too")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
