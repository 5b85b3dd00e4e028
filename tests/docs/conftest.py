"""What the tests of the documentation need: the pages, their code blocks, and a few small images."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from i2i import registry
from tests.docs.packages import PACKAGES, ROOT, run

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
    text = (ROOT / name).read_text("utf-8")
    return Page(ROOT / name, _as_page(text) if name.endswith(".ipynb") else text)


def _as_page(notebook: str) -> str:
    """Return the text of a notebook, its code in blocks of their own language."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook)["cells"]]
    return "\n\n".join(f"```ipython\n{text}\n```" if kind == "code" else text for kind, text in cells)


@pytest.fixture(scope="session")
def page() -> Callable[[str], Page]:
    """``page("docs/concepts.md")``."""
    return read_page


@pytest.fixture(scope="session")
def pages() -> list[Page]:
    """All pages: README, changelogs, docs and notebooks, and what a new plugin has of these."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/*.md")]
    paths += [*ROOT.glob("docs/notebooks/*.ipynb"), *ROOT.glob("packages/core/src/i2i/template/*.md.template")]
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


@pytest.fixture
def contrastive(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example i2i-contrastive, as if it were installed; nothing of it is left after the test."""
    info = tmp_path_factory.mktemp("site") / "i2i_contrastive-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: i2i-contrastive\nVersion: 0.1.0\nRequires-Dist: i2i-core>=0.1\n"
    )
    (info / "entry_points.txt").write_text("[i2i]\ncontrastive = i2i_contrastive.plugin\n")
    for folder in (info.parent, ROOT / "examples" / "i2i-contrastive" / "src"):
        monkeypatch.syspath_prepend(str(folder))
    registry.registry.cache_clear()
    yield
    registry.registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("i2i_contrastive")]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of all packages, built from the source."""
    out = tmp_path_factory.mktemp("wheels")
    for name in PACKAGES:
        folder = ROOT / "packages" / name
        run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out / name), str(folder)])
    return {name: next((out / name).glob("*.whl")) for name in PACKAGES}
