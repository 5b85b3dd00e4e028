"""What all networks and layers promise, whatever they return."""

from __future__ import annotations

import copy
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from i2i.testing.built import Built
from i2i.testing.contract import CPU_SECONDS, Checks, listed, require
from i2i.together import mixes_samples
from i2i.tree import leaves

_REPEATABLE = (
    "draw noise from torch's global generator, and keep what changes with each pass in buffers (register_buffer), so "
    "that a resumed run goes on as it was"
)
_NEAR = 1e-3  # nets in float32 with random weights make 3e-5 of rounding; another sample makes far more
_APART = "a sample's result depends on the others of its batch"


def check_module(checks: Checks, built: Built, *, registered: bool) -> None:
    """Check a module, promise by promise; ``registered`` ones must be found by their name once they are saved."""
    with checks.promise("meta device", mend="i2i.load builds on the meta device: read no values while building"):
        with torch.device("meta"):
            meta = _shapes(built.again())
        advice = "what is built must depend on the arguments only"
        require(_shapes(built.net) == meta, f"is built with other tensors on the meta device: {advice}")
    with checks.promise("weights by seed"):
        again = built.again().state_dict()
        other = [name for name, value in built.weights.items() if not torch.equal(value, again[name])]
        advice = "draw them from torch's global generator (torch.nn.init), not from one of its own, numpy or the time"
        require(not other, f"built twice from one seed, it has other {listed(other)}: {advice}")
    _check_training(checks, built)
    built.net.load_state_dict(built.weights)
    built.net.eval()
    with torch.no_grad():
        _check_use(checks, built)
        _check_saving(checks, built, registered=registered)
    built.net.train()
    with checks.promise("CPU time"):
        spent = _cpu_time(built)
        advice = "choose smaller arguments and inputs, for tests and benchmarks run it"
        require(spent < CPU_SECONDS, f"its example takes {spent:.1f} s of CPU time, {CPU_SECONDS:g} at most: {advice}")


def _check_training(checks: Checks, built: Built) -> None:
    """Check it in train mode."""
    with checks.promise("result by seed"), torch.no_grad():
        told = "in train mode, equal weights, inputs and seed give another result the second time"
        require(_same(built.run(), built.run()), f"{told}: {_REPEATABLE}")
    if any(parameter.requires_grad for parameter in built.net.parameters()):
        with checks.promise("gradients", mend="every result must be differentiable in train mode"):
            _check_gradients(built)
    else:
        checks.skip("gradients", "it has no parameter that learns")
    built.net.load_state_dict(built.weights)
    if mixes_samples(built.net):
        reason = "batch norm, dropout or a layer that changes with each pass; i2i.together runs it per input"
        checks.skip("samples apart (train mode)", reason)
        return
    with checks.promise("samples apart (train mode)"), torch.no_grad():
        _check_one_pass(built.precise())


def _check_one_pass(built: Built) -> None:
    """Check what `i2i.together` relies on: one pass over two batches is two passes, also for what buffers hold then."""
    others = _others(built)
    joined = built.run(inputs=[torch.cat(pair) for pair in zip(built.inputs, others, strict=True)])
    held = {name: value.clone() for name, value in built.net.state_dict().items()}
    one, two = built.run(), built.run(built.net, others)
    advice = (
        "take no mean over the batch; a module that draws noise, or whose buffers change with each pass, says "
        "changes_with_each_pass = True"
    )
    apart = [torch.cat(pair) for pair in zip(_tensors(one), _tensors(two), strict=True)]
    require(_close(_tensors(joined), apart), f"in train mode, {_APART}: {advice}")
    moved = [name for name, value in built.net.state_dict().items() if not _close([value], [held[name]])]
    told = "in train mode, one pass over two batches leaves"
    require(not moved, f"{told} another {listed(moved)} than two passes: {advice}")


def _check_use(checks: Checks, built: Built) -> None:
    """Check it in eval mode."""
    with checks.promise("samples apart (eval mode)"):
        require(
            _apart(built.precise()),
            f"in eval mode, {_APART}: take no mean over the batch, and no noise but what it is given",
        )
    with checks.promise("deep copy", mend="moving averages are deep copies: keep no tensors with a graph"):
        copied = _same(built.run(), built.run(copy.deepcopy(built.net)))
        require(copied, "a deep copy computes something else: keep what it needs in parameters, buffers and attributes")
    with checks.promise("bf16", mend="use operations that autocast knows, and .to(other.dtype) where two meet"):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = _tensors(built.run())
        finite = all(bool(leaf.isfinite().all()) for leaf in made)
        require(finite, "is not finite in bf16: compute what overflows or divides in float32 (x.float())")


def _check_gradients(built: Built) -> None:
    net = built.net
    net.zero_grad()
    _total(built.run()).backward()  # type: ignore[no-untyped-call]
    learning = {name: parameter.grad for name, parameter in net.named_parameters() if parameter.requires_grad}
    lost = [name for name, gradient in learning.items() if gradient is None]
    advice = (
        "at its example no result depends on it; if it needs a condition, let the example feed one, else use it, "
        "remove it, or freeze it (requires_grad_(False))"
    )
    require(not lost, f"no gradient reaches {listed(lost)}: {advice}")
    wild = [name for name, gradient in learning.items() if gradient is not None and not gradient.isfinite().all()]
    advice = "add a small number inside of square roots, norms and divisions"
    require(not wild, f"the gradient of {listed(wild)} is not finite: {advice}")
    net.zero_grad()


def _check_saving(checks: Checks, built: Built, *, registered: bool) -> None:
    from i2i.registry import name_of

    spec: Any = built.net.spec
    known = name_of(spec.factory) is not None
    if not known and not registered:
        checks.skip("saving", "it is registered by no plugin, so what is saved cannot be loaded by its name")
        return
    with checks.promise("saving"):
        require(known, f"is defined at {spec.factory!r}, which is not what is registered: register that reference")
        same = _same(built.run(), built.run(reloaded(built.net)))
        advice = "all that makes a difference must be an argument of the factory, a parameter or a buffer"
        require(same, f"computes something else once saved and loaded: {advice}")


def reloaded(net: nn.Module) -> nn.Module:
    """Save a net and load it by the name of its part, in eval mode.

    Raises:
        ContractError: what was saved does not say how to build it.
    """
    from i2i.models import load, save

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        save(net, Path(folder) / "model")
        told = " ".join(str(line.message) for line in said if "weights only" in str(line.message))
        require(not told, f"{told}; arguments must be numbers, texts, booleans, None, tuples of these or other parts")
        return load(Path(folder) / "model").eval()


def _cpu_time(built: Built) -> float:
    """Return the seconds that building, a forward and a backward pass take: the better of two tries."""
    best = float("inf")
    for _ in range(2):
        start = time.process_time()
        total = _total(built.run(built.again()))
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
        best = min(best, time.process_time() - start)
        if best < CPU_SECONDS:
            break
    return best


def _total(value: Any) -> Tensor:
    """Return a scalar that depends on all that a net makes."""
    parts = [leaf.float().square().mean() for leaf in _tensors(value) if leaf.is_floating_point()]
    return torch.stack(parts).sum()


def _apart(built: Built) -> bool:
    """Tell whether a sample's result is the same with other samples beside it."""
    beside = _tensors(built.run(inputs=[torch.cat(pair) for pair in zip(built.inputs, _others(built), strict=True)]))
    alone = _tensors(built.run())
    return _close(alone, [two[: len(one)] for one, two in zip(alone, beside, strict=True)])


def _others(built: Built) -> list[Tensor]:
    """Return other inputs of the same shapes; they differ where there is one value for each sample, too."""
    return [-tensor.flip(-1) for tensor in built.inputs]


def _close(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.allclose(one.double(), two.double(), _NEAR, _NEAR) for one, two in zip(some, others, strict=True))


def _same(one: Any, two: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(_tensors(one), _tensors(two), strict=True))


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, Tensor)]


def _shapes(net: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in net.state_dict().items()}
