"""What files of results are called: after what was measured, on what, and with which versions."""

from __future__ import annotations

import re
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
#: what names of processors and devices say besides which one it is
MARKS = re.compile(r"\((?:r|tm|c)\)|[®™©]|@.*|\b(?:\d+-cores?|cpu|processor)\b", re.IGNORECASE)


def slug(name: str) -> str:
    """Return the name of a device for a file: lower-case letters and digits, with hyphens, without marks.

    Example:
        >>> slug("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz"), slug("AMD EPYC 9654 96-Core Processor")
        ('intel-xeon-e5-2680-v4', 'amd-epyc-9654')
        >>> slug("NVIDIA H200")
        'nvidia-h200'
    """
    return re.sub(r"[^a-z0-9]+", "-", MARKS.sub(" ", name).lower()).strip("-")


def named(kind: str, device: str, *versions: str) -> Path:
    """Return where results are kept.

    Args:
        kind: of results.
        device: its name, as it says itself.
        versions: of libraries, with their names; what follows a ``+`` (how they were built) is left out.

    Returns:
        The path of the JSON file.

    Example:
        >>> named("scaling", "NVIDIA H200", "torch2.11.0+cu128").name
        'scaling-nvidia-h200-torch2.11.0.json'
    """
    built = [version.partition("+")[0] for version in versions]
    return RESULTS / f"{'-'.join([kind, slug(device), *built])}.json"
