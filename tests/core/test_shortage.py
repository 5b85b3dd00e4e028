"""Memory that runs out: on the CPU by asking for a petabyte, which no machine grants."""

from __future__ import annotations

import re

import pytest
import torch
from PIL import Image
from torch import nn

from i2i import as_generator
from i2i.checkpoint import latest
from i2i.engine import fit
from i2i.errors import OutOfMemoryError
from i2i.shortage import IN_TRAINING, memory_suffices
from i2i.step import player
from i2i.translate import translate_files

PETABYTE = 2**50
REMEDIES = {"--recompute", "--accumulate", "--precision", "--batch-size", "--crop-size"}


class Greedy(nn.Module):
    """Takes a petabyte at the pass ``greedy``, counted from 0."""

    def __init__(self, greedy: int) -> None:
        super().__init__()
        self.layer, self.left = nn.Conv2d(3, 3, 1), greedy

    def forward(self, x):
        self.left -= 1
        if self.left < 0:
            torch.empty(PETABYTE, dtype=torch.uint8)
        return self.layer(x)


def said(message: str) -> str:
    with pytest.raises(OutOfMemoryError) as caught, memory_suffices("--less", lambda: "here"):
        raise RuntimeError(message)
    return str(caught.value)


def test_the_errors_of_torch():
    with pytest.raises(OutOfMemoryError) as caught, memory_suffices("--less", lambda: "here"):
        torch.empty(PETABYTE, dtype=torch.uint8)
    assert str(caught.value) == "here: out of memory, asked for 1048576 GiB more; what needs less: --less"
    cuda = (
        "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 8 GiB\nof which 1 GiB is free."
    )
    assert said(cuda) == "here: out of memory, asked for 2.50 GiB more; what needs less: --less"
    assert "asked" not in said("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    with pytest.raises(OutOfMemoryError, match="tried"), memory_suffices("--less", lambda: "tried"):
        raise MemoryError


def test_other_errors_pass():
    for error in (RuntimeError("shapes cannot be multiplied"), ValueError("out of memory")):
        with pytest.raises(type(error), match=str(error)), memory_suffices("--less", str):
            raise error


def test_training_stops_with_one_line_and_its_last_checkpoint_can_be_resumed(tmp_path):
    step = player(lambda n: n[0], lambda n, x: {"size": n[0](x).square().mean()}, torch.optim.SGD,
                  weights={"size": 1}, lr=0.1)  # fmt: skip
    data = [torch.ones(1, 3, 4, 4)]
    fit(step, (Greedy(9),), data, steps=2, out=tmp_path, device="cpu")
    with pytest.raises(OutOfMemoryError) as caught:
        fit(step, (Greedy(1),), data, steps=6, out=tmp_path, device="cpu", resume=True)
    message = str(caught.value)
    assert message.startswith("batch 3 on cpu: out of memory")
    assert "\n" not in message
    assert set(re.findall(r"--[a-z-]+", message)) == REMEDIES | {"--resume"}
    assert message.endswith(IN_TRAINING)
    assert latest(tmp_path)[0] == 2
    assert fit(step, (Greedy(9),), data, steps=6, out=tmp_path, device="cpu", resume=True).batches == 6


def test_translation_names_the_file_its_size_and_the_remedies(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "large.png")
    with pytest.raises(OutOfMemoryError, match=r"large\.png: 6x4 pixels: out of memory.*--tile 512.*--precision bf16"):
        translate_files(as_generator(Greedy(0)), [tmp_path / "large.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
