from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from i2i.errors import SettingsError
from i2i.policy import Dial, Policy, Turn, best_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("precision", "half", "precision (='half') must be fp32, tf32, bf16 or fp16"),
        ("accumulate", 0, "accumulate (=0) must be a whole number, 1 or more"),
        ("accumulate", 1.5, "accumulate (=1.5) must be a whole number, 1 or more"),
        ("accumulate", True, "accumulate (=True) must be a whole number, 1 or more"),
        ("average", 1.0, "average (=1.0) is a decay in [0, 1), such as 0.999; leave it out for no average"),
        ("average", -0.1, "average (=-0.1) is a decay in [0, 1), such as 0.999; leave it out for no average"),
        ("average", "0.9", "average (='0.9') is a decay in [0, 1), such as 0.999; leave it out for no average"),
    ],
)
def test_what_a_policy_refuses(field: str, value: Any, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Policy(**{field: value})
    assert str(caught.value) == message


def test_a_policy_is_frozen_and_a_turn_shares_nothing_by_default() -> None:
    policy = Policy(average=0.5, accumulate=2)
    with pytest.raises(AttributeError):
        policy.accumulate = 3  # type: ignore[misc]
    assert Turn(policy, 3).shared is None


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_autocast(precision: Any, expected: torch.dtype) -> None:
    x = torch.ones(2, 2)
    policy = Policy(precision=precision)
    for _ in range(2):  # a context may be entered anew
        with policy.autocast(CPU):
            assert (x @ x).dtype == expected
    assert (x @ x).dtype == torch.float32


def test_channels_last_is_chosen_with_bf16_on_cuda() -> None:
    chosen = {(p, d.type) for p in ("fp32", "tf32", "bf16", "fp16") for d in (CPU, CUDA) if Policy(p).channels_last(d)}
    assert chosen == {("bf16", "cuda")}


@pytest.mark.parametrize(
    ("amx", "avx512", "vendor", "wanted"),
    [
        (True, True, "GenuineIntel", "bf16"),
        (False, True, "GenuineIntel", "fp32"),
        (False, True, "AuthenticAMD", "bf16"),
        (False, False, "AuthenticAMD", "fp32"),
        (False, True, None, "fp32"),
    ],
)
def test_best_precision_on_the_cpu(
    amx: bool, avx512: bool, vendor: str | None, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)

    def read_text(path: Path, encoding: str) -> str:
        if vendor is None:
            raise FileNotFoundError(path)
        return f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: one\n"

    monkeypatch.setattr(Path, "read_text", read_text)
    assert best_precision(CPU) == wanted


def test_best_precision_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for supported in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, s=supported: s)
        assert best_precision(CUDA) == ("bf16" if supported else "fp32")
    assert best_precision(torch.device("mps")) == "fp32"


def test_dials_are_filled_in_place() -> None:
    one = Dial(lambda now: 1 / (1 + now), torch.float64, CPU)
    many = Dial((2, lambda now: now * 0.1), torch.float32, CPU)
    addresses = one.tensor.data_ptr(), many.tensor.data_ptr()
    assert one.values == (1.0,)
    assert one.tensor.shape == ()
    assert many.tensor.tolist() == [2, 0]
    for now in (3, 3, 4):
        one.turn(now)
        many.turn(now)
        assert one.tensor.item() == 1 / (1 + now)
        torch.testing.assert_close(many.tensor, torch.tensor([2, now * 0.1]))
        assert [item.item() for item in many.items] == many.tensor.tolist()
    assert (one.tensor.data_ptr(), many.tensor.data_ptr()) == addresses


def test_a_number_stays() -> None:
    dial = Dial(0.25, torch.float32, CPU)
    dial.turn(7)
    assert dial.values == (0.25,)
    assert dial.tensor.item() == 0.25
    assert dial.items == (dial.tensor,)
