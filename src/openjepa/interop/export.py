"""An encoder as a graph that runs without openjepa: torch.export and ONNX. Each is opened again and compared before it counts."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from openjepa.frozen import FrozenEncoder
from openjepa.interop.beside import beside

LARGEST_DIFFERENCE = 1e-4  # of features after a way out and back, float32


class Graph(nn.Module):
    """Standardised views [b c *size] to tokens [b n d], after the final norm."""

    def __init__(self, frozen: FrozenEncoder) -> None:
        super().__init__()
        self.encoder, self.modality = frozen.encoder, frozen.modality

    def forward(self, views: Tensor) -> Tensor:
        values: Tensor = self.encoder(self.modality.patchify(views)).values
        return values


def export_graph(frozen: FrozenEncoder, out: Path, to: str) -> float:
    """Write `out` and give the largest difference of its features from ours. ValueError when they differ, or a package is missing."""
    graph = Graph(frozen).eval()
    shape = (2, frozen.modality.channels, *frozen.modality.size)
    generator = torch.Generator().manual_seed(0)
    example, other = (torch.randn(b, *shape[1:], generator=generator) for b in (2, 3))  # another batch size than the traced one
    batch = torch.export.Dim("batch", min=1, max=4096)
    with beside(out) as place:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own, about torch
            wanted = graph(other)
            if to == "onnx":
                found = through_onnx(graph, example, other, place)
            else:
                torch.export.save(torch.export.export(graph, (example,), dynamic_shapes=({0: batch},)), place)
                found = torch.export.load(place).module()(other)
        difference = float((found - wanted).abs().max())
        if not difference <= LARGEST_DIFFERENCE:
            raise ValueError(f"the exported graph's features differ by {difference:.3g}; this is a mistake in openjepa, report it")
    return difference


def through_onnx(graph: nn.Module, example: Tensor, other: Tensor, path: Path) -> Tensor:
    """Write an ONNX file and run it on `other` with onnxruntime."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise ValueError(f"ONNX needs {error.name}, which is not installed; pip install 'openjepa[onnx]'") from None
    runtime: Any = onnxruntime
    torch.onnx.export(
        graph,
        (example,),
        path,
        dynamo=True,
        external_data=False,
        input_names=["views"],
        output_names=["tokens"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
        verbose=False,
    )
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"views": other.numpy()})[0])
