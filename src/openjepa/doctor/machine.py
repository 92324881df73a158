"""What this machine has: versions, cores, memory, and how fast it multiplies matrices."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

import openjepa
from openjepa.engine import choose_device, choose_precision, time_gemm

TOKENS = 4096  # rows of the timed product


def machine(device: str, precision: str, width: int) -> dict[str, Any]:
    """Facts for a person and a bug report. `tflops` is measured on a product of this width; MB are 2**20 bytes.

    ValueError when the device is not there.
    """
    there = choose_device(device)
    chosen, why = choose_precision(precision, there, width)
    tflops = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        tflops[name] = 2 * TOKENS * width * 4 * width / time_gemm(dtype, there, width, TOKENS) / 1e12
    return {
        "openjepa": openjepa.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": str(there),
        "name": torch.cuda.get_device_name(there) if there.type == "cuda" else cpu_name(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "free_mb": free_mb(there),
        "precision": chosen,
        "why": why,
        "tflops": tflops,
        "gemm_width": width,
    }


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "cpu"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "cpu")


def free_mb(device: torch.device) -> float | None:
    """Memory that can still be had on the device, in MB; a container's limit counts. None where it is not known."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0]) / 2**20
    free = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable")]
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            free.append((int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text())) / 2**20)
    except (OSError, ValueError):
        pass
    return min(free, default=None)
