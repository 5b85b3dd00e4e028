"""What the tests need: one thread, so that runs are the same to the last bit, and a few small images."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import pytest

from i2i.testing import write_images


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few images in trainA, trainB, testA and testB."""
    return write_images(tmp_path_factory.mktemp("data"))
