"""What figures of a device depend on, besides the code."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from typing import Any

import torch


def machine(device: torch.device) -> dict[str, Any]:
    """Return names and versions."""
    found: dict[str, Any] = {
        "device": device.type,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "triton": version("triton"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    if device.type == "cuda":
        of = torch.cuda.get_device_properties(device)
        found |= {"device": of.name, "processors": of.multi_processor_count, "driver": driver()}
        found["memory_gb"] = round(of.total_memory / 1e9, 1)
    return found


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def driver() -> str | None:
    """Return the version of the driver; None where there is nobody to ask."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def healthy(device: torch.device) -> bool:
    """Tell whether the device still computes after an error: some leave it of no use to the process."""
    try:
        return bool((torch.randn(8, device=device).abs().sum() > 0).item())
    except RuntimeError:
        return False
