"""What tests of several packages need."""

from __future__ import annotations

import os

# Before torch is imported, here and in child processes: sums over two threads differ in the last bit from those of one,
# and for nets this small a second thread only waits.
os.environ["OMP_NUM_THREADS"] = "1"

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from i2i import registry

Install = Callable[..., Path]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts what runs in the background so, and Python then sets no handler of its own.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def install(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install(plugin, distribution, module=code, ...)``: a distribution whose plugin is the first of the modules.

    ``requires`` are its requirements, by default a range of i2i-core that holds here. It is found by its metadata on
    ``sys.path``, as every installed one is; it is gone after the test.
    """
    added: set[str] = set()

    def make(plugin: str, distribution: str, *, requires: Sequence[str] = ("i2i-core>=0.1",), **modules: str) -> Path:
        site = tmp_path_factory.mktemp("site")
        info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        lines = [f"Name: {distribution}", "Version: 1.0", *(f"Requires-Dist: {line}" for line in requires)]
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
        (info / "entry_points.txt").write_text(f"[i2i]\n{plugin} = {next(iter(modules))}\n")
        for name, code in modules.items():
            (site / f"{name}.py").write_text(code)
        added.update(modules)
        monkeypatch.syspath_prepend(str(site))
        registry.registry.cache_clear()
        return site

    yield make
    registry.registry.cache_clear()
    for name in added:
        sys.modules.pop(name, None)
