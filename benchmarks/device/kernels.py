"""Single operations, each computed in several ways: ours, by torch's operations as the authors do, compiled.

A way is a function of images and parameters. ``eager`` is what the others are held against: the operations of the
authors' code, one by one, channels-first. ``compile`` gets the formula that suits a compiler best, channels-last as
ours. On a device both sides run from CUDA graphs, so that their times are those of the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from math import ceil, prod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.device.checks import LIMITS, apart, judged
from benchmarks.device.meter import Meter, Work, rounded
from benchmarks.reference.pix2pixhd import looped_means
from benchmarks.reference.ugatit import mixed
from i2i.kernels import instance_norm
from i2i_pix2pixhd.encoder import instance_mean
from i2i_singan.kernels import norm_leaky, slope
from i2i_ugatit.kernels import layer_instance_norm

Way = Callable[..., Tensor]
Shape = tuple[int, ...]
CACHE = 60e6  # bytes that a device may keep near by: what is rotated is more
SETS = 4, 16  # of inputs that are rotated: at least, at most
TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
LEAK = 0.2


class Kernel(NamedTuple):
    """An operation.

    Attributes:
        group: kind of operation.
        name: what is special, and the size.
        images: shapes of what is given in the type that is measured.
        parameters: shapes of what stays in float32.
        ways: ours and others; ``eager`` is one of them.
        exact: the formula, for float64.
        ids: regions ``(1, 1, h, w)`` that are given as well; None for most.
        passes: images that are read or written at least: forwards, and forwards and backwards.
    """

    group: str
    name: str
    images: tuple[Shape, ...]
    parameters: tuple[Shape, ...]
    ways: Mapping[str, Way]
    exact: Way
    ids: Tensor | None = None
    passes: tuple[int, int] = (2, 5)


def normed(x: Tensor, *parameters: Tensor) -> Tensor:
    """Instance norm in one pass of statistics and one line."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(exact, (2, 3), correction=0, keepdim=True)
    z = (exact - mean) * torch.rsqrt(variance + 1e-5)
    if parameters:
        weight, bias = parameters
        z = z * weight[:, None, None] + bias[:, None, None]
    return z


def composite(slope: float, pad: int, x: Tensor, *rest: Tensor, residual: bool = False) -> Tensor:
    """Instance norm and what follows it, for a compiler, or for float64."""
    parameters = rest[1:] if residual else rest
    z = normed(x, *parameters) + (rest[0] if residual else 0)
    z = F.leaky_relu(z, slope).to(x.dtype)
    return F.pad(z, (pad,) * 4, mode="reflect") if pad else z


def eager_norm(slope: float, pad: int, x: Tensor) -> Tensor:
    """As the authors of CycleGAN and pix2pixHD: the activation in place, and a padding layer."""
    z = F.instance_norm(x)
    z = F.relu_(z) if slope == 0 else F.leaky_relu_(z, slope)
    return F.pad(z, (pad,) * 4, mode="reflect") if pad else z


def norms(smoke: bool) -> Iterator[Kernel]:
    for b, c, h, w, pad in ((1, 256, 64, 64, 1), (1, 64, 256, 256, 3), (1, 512, 64, 128, 1), (8, 64, 256, 256, 0)):
        shape = (b, 4, 6, 8) if smoke else (b, c, h, w)
        formula = partial(composite, 0.0, pad)
        ways = {
            "ours": partial(instance_norm, negative_slope=0.0, pad=pad),
            "eager": partial(eager_norm, 0.0, pad),
            "compile": formula,
        }
        yield Kernel("in_relu_pad", f"{c}x{h}x{w}, batch {b}, pad {pad}", (shape,), (), ways, formula)
    shape = (1, 4, 6, 8) if smoke else (1, 256, 64, 64)
    added = partial(composite, 1.0, 0, residual=True)
    ways = {
        "ours": lambda x, r: instance_norm(x, residual=r),
        "eager": lambda x, r: r + F.instance_norm(x),
        "compile": added,
    }
    yield Kernel("in_relu_pad", "256x64x64, residual", (shape, shape), (), ways, added, passes=(3, 6))


def layer_norms(smoke: bool) -> Iterator[Kernel]:
    for name, c, side, pad in (("AdaILN", 256, 64, 1), ("ILN", 64, 256, 0)):
        shape = (1, 4, 6, 6) if smoke else (1, c, side, side)
        of = (1, shape[1], 1, 1)

        def eager(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, pad: int = pad) -> Tensor:
            z = F.relu_(mixed(x, rho) * gamma + beta)
            return F.pad(z, (pad,) * 4, mode="reflect") if pad else z

        def compiled(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor, pad: int = pad) -> Tensor:
            z = F.relu(mixed(x.float(), rho) * gamma + beta).to(x.dtype)
            return F.pad(z, (pad,) * 4, mode="reflect") if pad else z

        ways = {
            "ours": partial(layer_instance_norm, negative_slope=0.0, pad=pad),
            "eager": eager,
            "compile": compiled,
        }
        yield Kernel("adalin", f"{name} {c}x{side}x{side}, pad {pad}", (shape,), (of,) * 3, ways, eager)


def batch_norms(smoke: bool) -> Iterator[Kernel]:
    def ours(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return norm_leaky(x, weight, bias, leak=LEAK).image

    def eager(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.leaky_relu_(F.batch_norm(x, None, None, weight, bias, training=True), LEAK)

    def our_slope(gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        known = norm_leaky(x, weight, bias, leak=LEAK).known
        return slope(gradient, x, weight, bias, known, leak=LEAK)

    def eager_slope(gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            return torch.autograd.grad(eager(x, weight, bias), x, gradient, create_graph=True)[0]

    def exact_slope(gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.autograd.grad(formula(x, weight, bias), x, gradient, create_graph=True)[0]

    formula = partial(composite, LEAK, 0)
    for size in ((32, 196, 260), (64, 155, 205), (128, 196, 260)):
        shape = (1, 4, 5, 7) if smoke else (1, *size)
        ways = {"ours": ours, "eager": eager, "compile": formula}
        yield Kernel("bn_lrelu", "x".join(map(str, size)), (shape,), (shape[1:2],) * 2, ways, formula)
    shape = (1, 4, 5, 7) if smoke else (1, 64, 155, 205)
    ways = {"ours": our_slope, "eager": eager_slope}
    images, parameters = (shape, shape), (shape[1:2],) * 2
    yield Kernel("bn_lrelu", "slope 64x155x205", images, parameters, ways, exact_slope, passes=(4, 9))


def means(smoke: bool) -> Iterator[Kernel]:
    height, width, block = (8, 16, 4) if smoke else (512, 1024, 51)  # about 200 objects
    rows, columns = (torch.arange(side) // block for side in (height, width))
    ids = (rows[:, None] * 1000 + columns).to(torch.int32)[None, None]

    def exact(values: Tensor, ids: Tensor) -> Tensor:
        _, which = ids.unique(return_inverse=True)
        which = which.flatten()
        sums = values.new_zeros(*values.shape[:2], int(which.max()) + 1).index_add(2, which, values.flatten(2))
        return (sums / which.bincount())[..., which].view_as(values)

    ways = {"ours": instance_mean, "eager": looped_means}
    shape = (1, 3, height, width)
    yield Kernel("segment_mean", "3x512x1024, 231 objects", (shape,), (), ways, exact, ids, passes=(2, 4))


def all_kernels(smoke: bool) -> list[Kernel]:
    return [*norms(smoke), *layer_norms(smoke), *batch_norms(smoke), *means(smoke)]


# What is measured of them.


class Run(NamedTuple):
    """How an operation is run.

    Attributes:
        kernel: which.
        dtype: key of `TYPES`.
        training: forwards and backwards, else forwards.
    """

    kernel: Kernel
    dtype: str
    training: bool

    @property
    def name(self) -> str:
        return f"{self.kernel.name}, {self.dtype}, {'both ways' if self.training else 'forwards'}"

    @property
    def moved(self) -> int:
        """Bytes that are moved at least: each image is read and written once."""
        size = prod(self.kernel.images[0]) * TYPES[self.dtype].itemsize
        return size * self.kernel.passes[self.training]

    def drawn(self, meter: Meter, way: str) -> list[Tensor]:
        """Draw images, in the layout of that way, and parameters."""
        form = torch.contiguous_format if way == "eager" else torch.channels_last
        images = [
            torch.randn(shape, device=meter.device).add_(2).to(TYPES[self.dtype]).contiguous(memory_format=form)
            for shape in self.kernel.images
        ]
        parameters = [torch.rand(shape, device=meter.device) for shape in self.kernel.parameters]
        return [each.requires_grad_(self.training) for each in (*images, *parameters)]

    def computed(self, function: Way, inputs: list[Tensor], towards: Tensor | None = None) -> list[Tensor]:
        """Return the result and, in training, the gradients of all inputs."""
        with torch.set_grad_enabled(self.training):
            made = function(*inputs)
        if not self.training:
            return [made]
        towards = torch.ones_like(made) if towards is None else towards
        return [made, *torch.autograd.grad(made, inputs, towards, allow_unused=True)]

    def function(self, meter: Meter, way: str) -> Way:
        """Return what computes it; ``exact`` for the formula."""
        function = self.kernel.exact if way == "exact" else self.kernel.ways[way]
        if way == "compile":
            torch.compiler.reset()  # each is compiled for the one size that it gets
            return torch.compile(function, dynamic=False, backend="inductor" if meter.cuda else "aot_eager")
        if self.kernel.ids is None:
            return function
        ids = self.kernel.ids.to(meter.device)
        return lambda *inputs: function(*inputs, ids)

    def errors(self, meter: Meter, way: str) -> dict[str, Any]:
        """Compare with the formula in float64, on the same numbers."""
        torch.manual_seed(0)
        inputs = self.drawn(meter, way)
        function = self.function(meter, way)
        (made, *_) = self.computed(function, inputs)
        towards = torch.randn_like(made)
        found = self.computed(function, inputs, towards)
        exact = [each.detach().double().requires_grad_() for each in inputs]
        wanted = self._replace(training=True).computed(self.function(meter, "exact"), exact, towards.double())
        names = ("result", *(f"gradient {number}" for number in range(len(inputs))))
        pairs = zip(names, found, wanted, strict=False)  # forwards, there are no gradients; of some there are none
        # In bf16 torch's operations, on a CPU above all, are so coarse that the signs of small numbers turn around.
        coarse = self.dtype == "bf16" and (way == "eager" or not meter.cuda)
        limit = 0.25 if coarse else LIMITS[self.dtype]  # type: ignore[index]
        return judged({name: apart(*pair) for name, *pair in pairs if pair[0] is not None}, limit)

    def repeated(self, meter: Meter, way: str) -> tuple[Callable[[], object], int]:
        """Return what computes all of several sets of inputs, more than a cache holds, and how many they are."""
        count = 2
        if meter.cuda:
            least, most = SETS
            count = min(max(ceil(2 * CACHE / self.moved), least), most)
        function = self.function(meter, way)
        sets = [self.drawn(meter, way) for _ in range(count)]
        towards = torch.randn_like(self.computed(function, sets[0])[0])

        def run() -> None:
            for inputs in sets:
                self.computed(function, inputs, towards)

        return run if self.kernel.ids is not None else captured(meter, run), count


def captured(meter: Meter, run: Callable[[], object]) -> Callable[[], object]:
    """Return a replay of ``run`` from a CUDA graph; on the CPU itself."""
    if not meter.cuda:
        return run
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()

    def replay(_: Callable[[], object] = run) -> None:  # holds the images that the graph reads
        graph.replay()

    return replay


def measured(meter: Meter, run: Run, way: str, gb_per_s: float | None) -> dict[str, Any]:
    """Return errors, and the times of one call against ``eager``; times of what is wrong are not taken.

    ``of_copy``: the time in which a copy moves as many bytes, by the time that is taken.
    """
    errors = run.errors(meter, way)
    if not errors["passed"]:
        return errors
    (base, bases), (ours, count) = run.repeated(meter, "eager"), run.repeated(meter, way)
    assert bases == count
    found = meter.compare(Work(base, nullcontext), Work(ours, nullcontext))
    launched = meter.launches(Work(ours, nullcontext))
    times = {name: rounded(found[name] / count) if "ms" in name else found[name] for name in found}
    least = {} if gb_per_s is None else {"of_copy": rounded(run.moved * 1e-6 / gb_per_s / times["ms_median"])}
    return {**times, **least, "kernels": launched["kernels"] / count, **errors}
