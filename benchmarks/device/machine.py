"""What figures of a device depend on, besides the code."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
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
        "measured": datetime.now(UTC).date().isoformat(),
        "commit": asked("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"),
    }
    if device.type == "cuda":
        of = torch.cuda.get_device_properties(device)
        driver = asked("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        found |= {"device": of.name, "processors": of.multi_processor_count, "driver": driver}
        found["memory_gb"] = round(of.total_memory / 1e9, 1)
    return found


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def asked(*command: str) -> str | None:
    """Return what a command prints; None where it is not there, or fails."""
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
