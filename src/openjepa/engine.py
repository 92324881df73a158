"""Where a step runs: device, precision, compile; forward, backward, update, and the guard against non-finite numbers."""

import copy
import ctypes
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor

from openjepa.objectives.objective import LossOutput, Objective
from openjepa.run import OptimizerConfig, Run
from openjepa.tokens import Batch


class NonFinite(FloatingPointError):
    """A loss or gradient was not finite; the weights are those before that step."""


def choose_device(name: str) -> torch.device:
    """The named device, or with "auto" a GPU if there is one. ValueError if it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used here ({reason}); try --device cpu or --device auto") from error
    return device


def keep_memory() -> bool:
    """Let this process keep the memory it frees; True where that can be asked for (glibc).

    Every step frees hundreds of megabytes of activations. Given back to the system they return as
    pages to be zeroed, one fault each: a tenth of a step on a CPU.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    mapped = mallopt(mmap_threshold, 1 << 30) or mallopt(mmap_threshold, 1 << 25)  # older ones allow 32 MB at most
    return bool(mallopt(trim_threshold, -1) and mapped)


def time_gemm(dtype: torch.dtype, device: torch.device, width: int, tokens: int = 4096, seconds: float = 0.15) -> float:
    """Seconds of one [tokens, width] x [width, 4 width] product, best of what fits in `seconds`."""
    a, b = torch.randn(tokens, width, device=device).to(dtype), torch.randn(width, 4 * width, device=device).to(dtype)
    best, stop, turns = float("inf"), time.perf_counter() + seconds, 0
    a @ b
    while time.perf_counter() < stop or turns < 3:  # on a busy machine one may outlast the time
        turns += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best


def choose_precision(name: str, device: torch.device, width: int) -> tuple[Literal["float32", "bfloat16"], str]:
    """The precision to train in and why. "auto" takes bfloat16 where a matrix product of this width is faster in it."""
    if name != "auto":
        return cast(Literal["float32", "bfloat16"], name), "asked for"
    full, half = (time_gemm(dtype, device, width) for dtype in (torch.float32, torch.bfloat16))
    ratio = full / half
    if ratio > 1.3:
        return "bfloat16", f"a bfloat16 matrix product of width {width} is {ratio:.1f} x as fast as float32 on this {device.type}"
    return "float32", f"bfloat16 is only {ratio:.1f} x as fast as float32 for a matrix product of width {width} on this {device.type}"


def parameter_groups(objective: Objective) -> list[dict[str, object]]:
    """Two groups: matrices with weight decay, biases and one-dimensional weights without (recipes: I-JEPA, MAE)."""
    trained = [(name, p) for name, p in objective.named_parameters() if p.requires_grad]
    free = [p for name, p in trained if p.ndim == 1 or name.endswith("bias")]
    decayed = [p for name, p in trained if not (p.ndim == 1 or name.endswith("bias"))]
    return [{"params": decayed, "decayed": True}, {"params": free, "decayed": False, "weight_decay": 0.0}]


class Engine:
    """Holds the float32 objective (weights, optimizer and EMA) and, in bfloat16, the copy that computes.

    The copy is refreshed from the float32 weights once per step instead of being cast at every
    operation. Losses, optimizer and EMA stay in float32, so no gradient scaler is needed.
    """

    def __init__(self, run: Run, objective: Objective, device: torch.device, precision: str) -> None:
        self.run, self.device, self.precision = run, device, precision
        if device.type == "cpu":
            keep_memory()
        self.objective = objective.to(device).train()
        self.compute: Objective = self.objective
        if precision == "bfloat16":
            self.compute = copy.deepcopy(self.objective).to(torch.bfloat16)
        wanted = run.compile == "on" or (run.compile == "auto" and device.type == "cuda" and run.steps > 500)
        self.forward = torch.compile(self.compute) if wanted else self.compute
        fused = device.type in ("cpu", "cuda", "mps")
        config: OptimizerConfig = run.optimizer
        self.optimizer = torch.optim.AdamW(parameter_groups(objective), lr=1.0, betas=config.betas, eps=config.eps, fused=fused)
        # Pairs of (float32, computing) tensors, built once
        self.masters: list[Tensor] = list(self.objective.parameters())
        self.copies: list[Tensor] = list(self.compute.parameters())
        self.trained = [p for p in self.masters if p.requires_grad]
        self.trained_copies = [p for p in self.copies if p.requires_grad]
        self.bad = torch.zeros((), device=device)  # 1 once anything was not finite, and from then on
        self.bad_step = torch.full((), -1, dtype=torch.int64, device=device)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the float32 weights into the copy that computes."""
        if self.compute is not self.objective:
            torch._foreach_copy_(self.copies, self.masters)

    def step(self, batch: Batch, step: int) -> tuple[LossOutput, Tensor, dict[str, float]]:
        """One optimizer step. Returns the last micro-batch's output with the whole loss, the gradient norm and what was set.

        On a CPU a non-finite number raises NonFinite at once. On a GPU the update is skipped on the
        device, without a synchronisation, and `check` raises later.
        """
        run, (progress, done) = self.run, (step / self.run.steps, (step + 1) / self.run.steps)
        total = torch.zeros((), device=self.device)
        for part in split(to_device(batch, self.device), run.accumulate):
            output: LossOutput = self.forward(part, progress)
            (output.loss / run.accumulate).backward()
            total += output.loss.detach() / run.accumulate
        norm = self.collect_gradients()
        finite = total.isfinite() & norm.isfinite()
        self.bad_step = torch.where((self.bad == 0) & ~finite, step, self.bad_step)
        self.bad = torch.maximum(self.bad, (~finite).float())
        if self.device.type == "cpu":
            self.check()
        set_to = self.update(norm, done)
        set_to |= self.objective.after_step(progress)
        self.refresh()
        return LossOutput(total, output.prediction, output.metrics), norm, set_to

    @torch.no_grad()
    def collect_gradients(self) -> Tensor:
        """Gradients of the copy to the float32 weights, and their norm."""
        if self.compute is not self.objective:
            if self.trained[0].grad is None:
                for p in self.trained:
                    p.grad = torch.empty_like(p)
            came = [present(p) for p in self.trained_copies]
            torch._foreach_copy_([present(p) for p in self.trained], came)
            for p in self.trained_copies:
                p.grad = None
        return torch.nn.utils.get_total_norm([present(p) for p in self.trained])

    @torch.no_grad()
    def update(self, norm: Tensor, done: float) -> dict[str, float]:
        config = self.run.optimizer
        lr, decay = config.lr(done), config.weight_decay(done)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
            group["weight_decay"] = decay if group["decayed"] else 0.0
        if config.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.trained, config.clip, norm)
        # The fused kernel leaves weights and moments alone where found_inf is 1
        self.optimizer.found_inf = self.bad  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=self.compute is self.objective)
        return {"lr": lr, "weight_decay": decay}

    def check(self) -> None:
        """Raise NonFinite if any step since the start was not finite. Reads one number from the device."""
        if self.bad.item():
            raise NonFinite(
                f"loss or gradient was not finite at step {int(self.bad_step)}; the weights are those before it. "
                "Lower --optimizer.lr.peak, set --optimizer.clip 1.0, or train with --precision float32"
            )


def present(p: Tensor) -> Tensor:
    """A gradient, zeros where a parameter took no part."""
    return torch.zeros_like(p) if p.grad is None else p.grad


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on `device`; bytes travel as bytes and are standardised there."""
    if device.type == "cpu":
        return batch
    return batch.map(lambda x: x.to(device, non_blocking=True))


def split(batch: Batch, parts: int) -> Iterable[Batch]:
    """Equal micro-batches, in order."""
    if parts == 1:
        return [batch]
    return [batch.map(lambda x, i=i: x.chunk(parts)[i]) for i in range(parts)]  # type: ignore[misc]


def memory_mb(device: torch.device) -> float:
    """Peak memory in MB: allocated on a GPU, resident elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:  # the kernel's own count; getrusage's starts at the size of the process that started this one
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
