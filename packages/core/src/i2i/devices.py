"""The device that a setting names."""

from __future__ import annotations

import torch

from i2i.engine import best_device
from i2i.errors import SettingsError


def usable_device(wanted: str) -> torch.device:
    """Return the device of a setting; ``auto`` is the best there is.

    Raises:
        SettingsError: there is no such device here.
    """
    try:
        device = best_device() if wanted == "auto" else torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(f"device (={wanted}) cannot be used here: {reason}; use cpu or auto") from error
    return device
