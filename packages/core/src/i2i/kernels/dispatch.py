"""Where the kernels run: on recent CUDA devices with Triton, for channels-last images in float32, bf16 and fp16."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from i2i.kernels.epilogue import Epilogue

_TYPES = (torch.float32, torch.bfloat16, torch.float16)
_CAPABILITY = (8, 0)  # what Triton supports
_LARGEST = 2**31  # numbers in an image: places in it are counted in 32 bits


def usable(x: Tensor, pad: int = 0, layers: Iterable[nn.Module] = ()) -> bool:
    """Tell whether the kernels take ``x (b, c, h, w)``; where they do not, torch's own operations do the work.

    Nothing is read from the device. The first time on a device, a kernel is compiled there; if that fails (Triton needs
    a C compiler), a warning says so, once.

    Args:
        x: what is normalised.
        pad: the border that the result will have.
        layers: whose work the kernels would do: none may have hooks, or a ``forward`` that is not its class's.

    Example:
        >>> usable(torch.zeros(1, 8, 4, 4))  # on the CPU
        False
    """
    return (
        x.ndim == 4
        and x.dtype in _TYPES
        and x.numel() > 0
        and x.shape[1] * (x.shape[2] + 2 * pad) * (x.shape[3] + 2 * pad) < _LARGEST
        and x.is_contiguous(memory_format=torch.channels_last)
        and runs(x)
        and all(map(only_forward, layers))
    )


def runs(x: Tensor) -> bool:
    """Tell whether Triton runs where ``x`` is."""
    return x.is_cuda and not isinstance(x, FakeTensor) and _works(x.device)


def only_forward(layer: nn.Module) -> bool:
    """Tell whether to call a layer is to run the ``forward`` of its class, and no more."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return "forward" not in vars(layer) and not any(hooks)


def on_device_of(x: Tensor) -> AbstractContextManager[object]:
    """Return the context in which kernels are launched for ``x``: Triton uses the current device."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


@functools.cache
def _works(device: torch.device) -> bool:
    if torch.cuda.get_device_capability(device) < _CAPABILITY:
        return False
    try:
        from i2i.kernels import compiled
    except ImportError:
        return False
    try:
        x = torch.zeros(1, 8, 2, 2, device=device).to(memory_format=torch.channels_last)
        with on_device_of(x):
            compiled.apply(x, compiled.instance_known(x, None, None, 1e-5), Epilogue())
    except Exception as error:  # of Triton, of the C compiler, of the driver
        warnings.warn(f"Triton does not work on {device}, so norms are computed by plain torch: {error}", stacklevel=2)
        return False
    return True
