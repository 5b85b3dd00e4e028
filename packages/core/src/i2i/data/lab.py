"""sRGB and CIE Lab (D65, 2 degrees) as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

# IEC 61966-2-1: linear sRGB to XYZ; the white of D65.
_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)
#: What L - 50, and a and b, are divided by to become numbers from -1 to 1 for networks.
LIGHTNESS, CHROMA = 50.0, 110.0
_BEND = 6 / 29  # where the cube root of CIE 1976 goes over into a straight line


def rgb_to_lab(image: Tensor) -> Tensor:
    """Convert sRGB to Lab.

    Args:
        image: ``(..., 3, h, w)`` in ``[0, 1]``.

    Returns:
        ``(..., 3, h, w)``: L from 0 to 100, a and b from about -110 to 110.

    Example:
        >>> rgb_to_lab(torch.ones(3, 1, 1))[0].round().item()
        100.0
    """
    linear = torch.where(image > 0.04045, ((image + 0.055) / 1.055) ** 2.4, image / 12.92)
    xyz = _mixed(linear, _matrix(image)) / _column(_WHITE, image)
    bent = torch.where(xyz > _BEND**3, xyz.clamp_min(0) ** (1 / 3), xyz / (3 * _BEND**2) + 4 / 29)
    x, y, z = bent.unbind(-3)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), -3)


def lab_to_rgb(image: Tensor) -> Tensor:
    """Convert Lab to sRGB, the inverse of `rgb_to_lab`; colours that sRGB does not have are clipped to ``[0, 1]``.

    Args:
        image: ``(..., 3, h, w)``.

    Returns:
        ``(..., 3, h, w)`` in ``[0, 1]``.
    """
    lightness, a, b = image.unbind(-3)
    y = (lightness + 16) / 116
    bent = torch.stack((y + a / 500, y, y - b / 200), -3)
    xyz = torch.where(bent > _BEND, bent**3, (bent - 4 / 29) * (3 * _BEND**2)) * _column(_WHITE, image)
    linear = _mixed(xyz, torch.linalg.inv(_matrix(image)))
    curved = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, linear * 12.92).clamp(0, 1)


def _matrix(like: Tensor) -> Tensor:
    return torch.tensor(_TO_XYZ, dtype=like.dtype, device=like.device)


def _column(values: tuple[float, float, float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


def _mixed(image: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,...jhw->...ihw", matrix, image)
