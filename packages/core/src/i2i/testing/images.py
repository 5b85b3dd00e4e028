"""A few small images in all the layouts that recipes read."""

from __future__ import annotations

import shutil
from pathlib import Path

DOMAINS = ("trainA", "trainB", "testA", "testB")
_COUNT, _HEIGHT, _WIDTH = 4, 20, 24


def write_images(folder: str | Path) -> Path:
    """Write small images of noise in the layouts that recipes read, always the same.

    Args:
        folder: is made if needed; gets ``trainA``, ``trainB``, ``testA``, ``testB`` with four images each, and for
            maps of ids ``train_label``, ``train_inst`` and ``train_img``. An image of each domain lies beside them
            (``trainA.png``, ...), for recipes that learn from one image or from one folder.

    Returns:
        The folder: for ``--data``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(len(list(write_images(folder).glob("trainA/*.png"))))
        4
    """
    import numpy as np
    from PIL import Image

    root, draws = Path(folder), np.random.default_rng(0)
    size = (_HEIGHT, _WIDTH)
    for domain in DOMAINS:
        (root / domain).mkdir(parents=True, exist_ok=True)
        for index in range(_COUNT):
            Image.fromarray(draws.integers(0, 256, (*size, 3), dtype=np.uint8)).save(root / domain / f"{index}.png")
        shutil.copy(root / domain / "0.png", root / f"{domain}.png")
    for kind in ("label", "inst"):
        (root / f"train_{kind}").mkdir(exist_ok=True)
        for index in range(_COUNT):
            ids = Image.fromarray(draws.integers(0, 35, size, dtype=np.uint8))
            ids.save(root / f"train_{kind}" / f"{index}.png")
    shutil.copytree(root / "trainA", root / "train_img", dirs_exist_ok=True)
    return root
