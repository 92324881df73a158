"""Your own network as the encoder: the same masks, predictor, targets, probes and checkpoints around it.

It takes tokens, and then never sees what is hidden; or, like most backbones, whole images: then hidden patches are set to
zero (the mean colour) before it looks, and its features are taken at the places that are asked for.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from openjepa.imported import imported
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class OwnEncoder:
    """`module`: "module:object" that gives a torch.nn.Module when called, or "hf:FOLDER" with a vision model of transformers.

    It answers with features [b n d], or with those of several layers, the last one last. With takes="tokens" it is called with
    (values [b n p], positions [b n axes]), with "images" with standardised views [b c *size], giving the places of the
    grid in raster order; tokens before them (class token, registers) are left out.
    """

    module: str = ""
    takes: Literal["tokens", "images"] = "tokens"
    dim: int = 384  # width of its features

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"dim is {self.dim}; it is the width of the features that your network gives")
        if self.module.startswith("hf:") and self.takes != "images":
            raise ValueError("a vision model of transformers takes images; set takes='images'")


AnyConfig = EncoderConfig | OwnEncoder


class Adapter(nn.Module):
    """What objectives, probes and checkpoints need of an encoder, around a network of yours."""

    def __init__(self, config: OwnEncoder, modality: Any) -> None:
        super().__init__()
        self.config, self.dim, self.modality = config, config.dim, modality
        if config.takes == "images" and not hasattr(modality, "patch"):
            raise ValueError(f"takes='images' puts patches back into views of {modality.kind}, which have none; set takes='tokens'")
        self.body = body(config.module)

    def forward(self, patches: Tokens) -> Tokens:
        """Features of the last layer."""
        return Tokens(self.layers(patches, 1)[-1], patches.positions, patches.valid)

    def classed(self, patches: Tokens) -> tuple[Tokens, Float[Tensor, "b c d"]]:
        """As Encoder.classed, with no class token."""
        found = self(patches)
        return found, found.values[:, :0]

    def layers(self, patches: Tokens, last: int) -> list[Float[Tensor, "b n d"]]:
        """Features of the last `last` layers. ValueError where the network does not give as many, or gives another shape."""
        patches = patches.blank()
        dtype = next((p.dtype for p in self.body.parameters()), torch.float32)
        if self.config.takes == "tokens":
            found = self.body(patches.values.to(dtype), patches.positions)
            outputs = [check(x, (*patches.values.shape[:2], self.dim)) for x in listed(found)]
        else:
            where = self.places(patches)
            outputs = self.of_images(patches, where, dtype)
        if not 1 <= last <= len(outputs):
            raise ValueError(f"asked for the last {last} layers, the network gives {len(outputs)}; let it return a list of them")
        return outputs[-last:]

    def places(self, patches: Tokens) -> Shaped[Tensor, "b n"]:
        """The number of each token's place in raster order."""
        number = torch.zeros_like(patches.positions[..., 0], dtype=torch.int64)
        for axis, length in enumerate(self.modality.grid):
            number = number * length + patches.positions[..., axis].long()
        return number

    def of_images(self, patches: Tokens, where: Shaped[Tensor, "b n"], dtype: torch.dtype) -> list[Float[Tensor, "b n d"]]:
        b, total = len(where), prod(self.modality.grid)
        whole = patches.values.new_zeros(b, total, patches.values.shape[-1])
        whole = whole.scatter(1, where[..., None].expand_as(patches.values), patches.values)
        seen = self.body(self.modality.unpatchify(whole).to(dtype))
        outputs = [check(x[:, -total:], (b, total, self.dim)) for x in listed(seen)]
        return [x.gather(1, where[..., None].expand(-1, -1, self.dim)) for x in outputs]


def listed(found: Any) -> list[Tensor]:
    """What a network may answer with, as a list of layers."""
    found = getattr(found, "last_hidden_state", found)
    return list(found) if isinstance(found, list | tuple) else [found]


def check(x: Any, wanted: tuple[int, ...]) -> Tensor:
    if not isinstance(x, Tensor) or tuple(x.shape) != wanted:
        came = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"your network gives {came}, {list(wanted)} is wanted ([batch, tokens, --objective.encoder.dim])")
    return x


def body(spec: str) -> nn.Module:
    """The network that `spec` names. ValueError says what is wrong with it."""
    if spec.startswith("hf:"):
        return from_transformers(spec[3:])
    found = imported(spec, here=True)
    made = found if isinstance(found, nn.Module) else found()
    if not isinstance(made, nn.Module):
        raise ValueError(f"{spec} gives a {type(made).__name__}; a torch.nn.Module is wanted")
    return made


def from_transformers(folder: str) -> nn.Module:
    """A vision backbone of the transformers library, with its weights."""
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise ValueError(f"hf:{folder} needs transformers ({error}); pip install transformers") from None
    except Exception as error:
        raise broken(error) from error
    try:
        if torch.get_default_device().type == "meta":
            return AutoModel.from_config(AutoConfig.from_pretrained(folder))  # type: ignore[no-any-return,no-untyped-call]
        return AutoModel.from_pretrained(folder)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise ValueError(f"transformers cannot open {folder} ({first}); give a folder that save_pretrained wrote") from error
    except Exception as error:
        raise broken(error) from error


def broken(error: Exception) -> ValueError:
    """Who is to blame when transformers cannot be imported, and what to do."""
    chain: list[str] = []
    at: BaseException | None = error
    while at is not None:
        chain.append(str(at))
        at = at.__cause__ or at.__context__
    for culprit in ("torchvision", "torchaudio"):
        if any(culprit in text for text in chain):
            return ValueError(
                f"transformers cannot be imported because {culprit} is broken ({chain[-1]}); pip uninstall {culprit}, or install the one of your torch"
            )
    return ValueError(f"transformers cannot be imported ({chain[0]}); install another version")


AnyEncoder = Encoder | Adapter


def build_encoder(config: AnyConfig, modality: Any) -> AnyEncoder:
    """The encoder that a config describes, for views of this modality."""
    return Encoder(config, modality.patch_dim) if isinstance(config, EncoderConfig) else Adapter(config, modality)
