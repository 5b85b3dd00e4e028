"""What the tests of the documentation need: the pages, their code blocks, and a few small images."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Page(NamedTuple):
    """A page of the documentation."""

    path: Path
    text: str

    def blocks(self, *languages: str) -> list[str]:
        """Return the code blocks in one of some languages."""
        return [code for language, code in _BLOCK.findall(self.text) if language in languages]

    def files(self) -> dict[str, str]:
        """Return the code blocks that are files: those below a line with nothing but a name."""
        return dict(_FILE.findall(self.text))


def read_page(name: str) -> Page:
    return Page(ROOT / name, (ROOT / name).read_text("utf-8"))


@pytest.fixture(scope="session")
def page() -> Callable[[str], Page]:
    """``page("docs/concepts.md")``."""
    return read_page


@pytest.fixture(scope="session")
def pages() -> list[Page]:
    """All pages: README, changelogs and docs."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("packages/*/*.md")]
    return [read_page(str(path.relative_to(ROOT))) for path in sorted(paths)]


@pytest.fixture(scope="session")
def images() -> Callable[..., Path]:
    """``images(root, "trainA", "trainB", size=80)``: folders with a few images of random blocks each."""

    def make(root: Path, *folders: str, size: int = 80, count: int = 4) -> Path:
        draws = np.random.default_rng(0)
        for folder in folders:
            (root / folder).mkdir(parents=True)
            for index in range(count):
                coarse = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((size + 4, size)).save(root / folder / f"{index}.png")
        return root

    return make
