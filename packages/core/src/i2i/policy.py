"""How a move is computed: one frozen record, with no order among its fields, handed down in `Turn`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import attrs
import torch
from torch import Tensor

from i2i.errors import SettingsError
from i2i.protocols import Schedule
from i2i.recording import Recording

T = TypeVar("T")
#: In which number format nets and losses are computed; see `Policy`.
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_PLAIN = nullcontext()


def _check_precision(_: object, __: object, value: object) -> None:
    if value not in ("fp32", "tf32", "bf16", "fp16"):
        raise SettingsError(f"precision (={value!r}) must be fp32, tf32, bf16 or fp16")


def _check_accumulate(_: object, __: object, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingsError(f"accumulate (={value!r}) must be a whole number, 1 or more")


def _check_average(_: object, __: object, value: float | None) -> None:
    if value is not None and not (isinstance(value, float | int) and 0 <= value < 1):
        raise SettingsError(f"average (={value!r}) is a decay in [0, 1), such as 0.999; leave it out for no average")


@attrs.frozen
class Policy:
    """How each move is computed.

    Attributes:
        precision: ``fp32`` (TF32 off), ``tf32`` (CUDA only), ``bf16`` or ``fp16`` (autocast; ``fp16`` keeps a loss
            scale per player and needs a fused optimiser).
        accumulate: each batch is cut into this many equal micro-batches, whose gradients are averaged.
        average: decay per batch of the exponential moving average of what is trained; None for no average.
        guarded: note the first batch at which a term or gradient is not finite, and stop when it is read.
        graphed: on CUDA, capture the whole update in a graph after a few batches, and replay it: no time is lost
            between kernels. Where that is not possible the reason is said, and updates run as usual.

    Example:
        >>> Policy(precision="bf16", average=0.999)
        Policy(precision='bf16', accumulate=1, average=0.999, guarded=True, graphed=False)
    """

    precision: Precision = attrs.field(default="fp32", validator=_check_precision)
    accumulate: int = attrs.field(default=1, validator=_check_accumulate)
    average: float | None = attrs.field(default=None, validator=_check_average)
    guarded: bool = True
    graphed: bool = False

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return the context in which nets and losses run: autocast for bf16 and fp16, nothing otherwise."""
        if self.precision not in _HALF:
            return _PLAIN
        return torch.autocast(device.type, dtype=_HALF[self.precision])

    def channels_last(self, device: torch.device) -> bool:
        """Tell whether images and weights are laid out channels-last: with bf16 on CUDA, where it pays."""
        return self.precision == "bf16" and device.type == "cuda"


class Turn(NamedTuple):
    """What surrounds a move.

    Attributes:
        policy: how it is computed.
        now: batches since the run (or the stage) began.
        shared: what an enclosing ``alternate`` shares, one value per micro-batch; None where nothing is shared.
        recording: of an update that is to become a graph; else None. Steps of your own need it only if they do work on
            the host, or go other ways at other batches: by the methods of this class.
    """

    policy: Policy
    now: int
    shared: Any = None
    recording: Recording | None = None

    def host(self, action: Callable[[int], None]) -> None:
        """Do ``action(now)`` on the host, such as filling a tensor in place; before each replay of a graph, too."""
        if self.recording is None:
            action(self.now)
        else:
            self.recording.host(action, self.now)

    def static(self, make: Callable[[], T]) -> T:
        """Return what ``make()`` makes; in a graph the same one for good, such as a tensor that ``host`` fills."""
        return make() if self.recording is None else self.recording.static(make)

    def only_while(self, holds: Callable[[int], bool]) -> None:
        """Say that the update goes this way only at batches for which ``holds(now)`` is true."""
        if self.recording is not None:
            self.recording.only_while(holds, self.now)

    def no_graph(self, why: str) -> None:
        """Say that the update cannot become a graph."""
        if self.recording is not None:
            self.recording.refuse(why)


def best_precision(device: torch.device) -> Precision:
    """Return ``bf16`` where the hardware is fast in it (recent CUDA, AMX, AMD with avx512_bf16), else ``fp32``.

    On Intel processors without AMX, avx512_bf16 alone makes training slower: 0.77 of the speed of fp32 was measured.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        amx, avx512 = (getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("amx_tile", "avx512_bf16"))
        return "bf16" if amx or (avx512 and _processor() == "AuthenticAMD") else "fp32"
    return "fp32"


def _processor() -> str:
    """Return who made the processor, as it says itself; "" where it cannot be asked."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def to_device(host: Tensor, device: torch.device) -> Tensor:
    """Copy a small tensor from the host to ``device`` without waiting for what is queued there."""
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)


class Dial:
    """A host value (learning rate, weights) in a tensor that is filled in place before each update.

    The tensor keeps its address, so a captured graph reads the new value.

    Args:
        value: a number or a `Schedule`, giving a tensor ``()``; or a sequence of n of them, giving ``(n,)``.
        dtype: of the tensor.
        device: of the tensor.

    Example:
        >>> dial = Dial((1.0, lambda now: now / 10), torch.float32, torch.device("cpu"))
        >>> dial.turn(5)
        >>> dial.tensor
        tensor([1.0000, 0.5000])
    """

    def __init__(
        self, value: float | Schedule | Sequence[float | Schedule], dtype: torch.dtype, device: torch.device
    ) -> None:
        self._many = isinstance(value, Sequence)
        self._sources = tuple(value) if isinstance(value, Sequence) else (value,)
        self._fixed = not any(callable(source) for source in self._sources)
        self.values = self._read(0)
        self.tensor: Tensor = torch.tensor(self.values if self._many else self.values[0], dtype=dtype, device=device)
        # Views of the same memory.
        self.items: Sequence[Tensor] = self.tensor.unbind() if self._many else (self.tensor,)

    def _read(self, now: int) -> tuple[float, ...]:
        return tuple(float(source(now)) if callable(source) else float(source) for source in self._sources)

    def turn(self, now: int) -> None:
        """Fill in the value for batch ``now``."""
        if self._fixed:
            return
        values = self._read(now)
        if values != self.values:
            self.values = values
            if self._many:
                self.tensor.copy_(to_device(torch.tensor(values, dtype=self.tensor.dtype), self.tensor.device))
            else:
                self.tensor.fill_(values[0])
