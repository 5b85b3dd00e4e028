"""Whether the device computes what it should: against plain functional torch in float64 on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import bench_ugatit
from benchmarks.bench_pix2pixhd import NAMES
from benchmarks.device.cases import Case, Domains, Scenes
from benchmarks.device.meter import Meter, rounded
from benchmarks.device.rows import check_captured
from benchmarks.device.variants import Variant
from i2i.kernels import InstanceNorm, plain
from i2i.policy import Policy, Precision
from i2i_pix2pixhd import gather
from i2i_pix2pixhd.conditions import Inputs, JoinedConv2d, boundaries, halved
from i2i_pix2pixhd.encoder import instance_mean

ROOT = Path(__file__).resolve().parents[2]
CLASSES = 35
#: of the relative error in the Euclidean norm
LIMITS: Mapping[Precision, float] = {"fp32": 3e-5, "tf32": 2e-3, "bf16": 1e-2}


def apart(found: Tensor, wanted: Tensor) -> float:
    """Return the error relative to the norm of what is wanted; infinite where a number is not finite."""
    error = torch.linalg.vector_norm(found.detach().double().cpu() - wanted.detach().double().cpu())
    size = torch.linalg.vector_norm(wanted.detach().double())
    value = float(error / size.clamp_min(1e-30))
    return rounded(value) if value == value else float("inf")


def judged(errors: Mapping[str, float], limit: float) -> dict[str, Any]:
    return {"errors": dict(errors), "limit": limit, "passed": all(error <= limit for error in errors.values())}


def ids_of(height: int, width: int, samples: int = 1) -> Tensor:
    """Draw class ids, some of them of no class."""
    coarse = torch.randint(0, CLASSES, (samples, 1, height // 8, width // 8), dtype=torch.int32)
    coarse[..., 0] = 255
    return coarse.repeat_interleave(8, 2).repeat_interleave(8, 3)


def one_hot(ids: Tensor, classes: int) -> Tensor:
    """Return ``(b, classes, h, w)`` in float64; zeros where there is no class."""
    return torch.stack([(ids[:, 0] == k).double() for k in range(classes)], dim=1)


def convolution(meter: Meter, policy: Policy, kernel: int, stride: int, mode: str) -> dict[str, Any]:
    """Compare the first convolution and all of its gradients; bands are small, so that there are several."""
    torch.manual_seed(0)
    padding, channels, out = (3 if mode == "reflect" else 2), 4, 16
    conv = JoinedConv2d(CLASSES, channels, out, kernel, stride, padding=padding, padding_mode=mode)
    ids, x = ids_of(64, 128, 2), torch.randn(2, channels, 64, 128)
    weight, bias, floats = (value.detach().double().requires_grad_() for value in (conv.weight, conv.bias, x))
    read = torch.cat((one_hot(ids, CLASSES), floats), dim=1)
    whole = F.pad(read, (padding,) * 4, mode="reflect" if mode == "reflect" else "constant")
    wanted = F.conv2d(whole, weight, bias, stride)
    towards = torch.randn_like(wanted)
    wanted.backward(towards)

    form = torch.channels_last if policy.channels_last(meter.device) else torch.contiguous_format
    conv = conv.to(meter.device).to(memory_format=form)
    own = x.to(meter.device).contiguous(memory_format=form).requires_grad_()
    band = mock.patch.object(gather, "_BYTES", 2**18)
    with band, Variant(policy.precision).flags(meter.device), policy.autocast(meter.device):
        found = conv(Inputs(ids.to(meter.device), own))
    with band, Variant(policy.precision).flags(meter.device):
        found.backward(towards.to(found))
    errors = {"result": apart(found, wanted), "channels": apart(own.grad, floats.grad)}
    errors |= {"weight": apart(conv.weight.grad, weight.grad), "bias": apart(conv.bias.grad, bias.grad)}
    return judged(errors, LIMITS[policy.precision])


def halving(meter: Meter) -> dict[str, Any]:
    """Compare the half size of classes and channels, of an odd size, too."""
    torch.manual_seed(0)
    errors = {}
    for height, width in ((64, 128), (63, 121)):
        ids, x = ids_of(64, 128)[..., :height, :width].contiguous(), torch.randn(1, 2, height, width)
        read = torch.cat((one_hot(ids, CLASSES), x.double()), dim=1)
        wanted = F.avg_pool2d(read, 3, 2, 1, count_include_pad=False)
        found = halved(Inputs(ids.to(meter.device), x.to(meter.device)), CLASSES, torch.float32)
        errors[f"{width} x {height}"] = apart(found, wanted)
    return judged(errors, 1e-6)


def edges(meter: Meter) -> dict[str, Any]:
    """Compare the boundaries of objects, pixel by pixel."""
    torch.manual_seed(0)
    ids = torch.randint(0, 3, (2, 1, 12, 20), dtype=torch.int32)
    wanted = torch.zeros(ids.shape)
    for b, y, x in ((b, y, x) for b in range(2) for y in range(12) for x in range(20)):
        near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        own = ids[b, 0, y, x]
        wanted[b, 0, y, x] = any(0 <= v < 12 and 0 <= u < 20 and ids[b, 0, v, u] != own for v, u in near)
    return judged({"boundaries": apart(boundaries(ids.to(meter.device)), wanted)}, 0.0)


def means(meter: Meter) -> dict[str, Any]:
    """Compare means over regions and their gradient with a loop; ids are large and negative, too."""
    torch.manual_seed(0)
    names = torch.tensor([0, 7, -3, 26_000, 2**31 - 1], dtype=torch.int64).to(torch.int32)
    ids = names[torch.randint(0, len(names), (2, 1, 40, 56))]
    values = torch.randn(2, 3, 40, 56)
    plain = values.double().requires_grad_()
    samples = []
    for sample, own_ids in zip(plain, ids[:, 0], strict=True):
        regions = [own_ids == name for name in names]
        samples.append(sum(((sample * at).sum((1, 2)) / at.sum())[:, None, None] * at for at in regions))
    wanted = torch.stack(samples)
    towards = torch.randn_like(plain)
    wanted.backward(towards)
    own = values.to(meter.device).requires_grad_()
    found = instance_mean(own, ids.to(meter.device))
    found.backward(towards.to(found))
    return judged({"means": apart(found, wanted), "gradient": apart(own.grad, plain.grad)}, 1e-5)


def norm_gradient(meter: Meter) -> dict[str, Any]:
    """Compare the gradient of the instance norm of one image by torch's operations, for a channels-last gradient.

    ``torch``: the error of torch's own, which on the CPU is wrong up to 2.14.
    """
    torch.manual_seed(0)
    x, towards = torch.randn(2, 1, 8, 24, 20)
    exact = x.double().requires_grad_()
    variance, mean = torch.var_mean(exact, (2, 3), correction=0, keepdim=True)
    (wanted,) = torch.autograd.grad((exact - mean) * torch.rsqrt(variance + 1e-5), exact, towards.double())
    towards = towards.to(meter.device).contiguous(memory_format=torch.channels_last)
    errors = {}
    norms: dict[str, Callable[[Tensor], Tensor]] = {
        "ours": lambda x: plain(InstanceNorm(), x, None, None),
        "torch": F.instance_norm,
    }
    for name, norm in norms.items():
        own = x.to(meter.device).requires_grad_()
        (found,) = torch.autograd.grad(norm(own), own, towards)
        errors[name] = apart(found, wanted)
    return {**judged({"ours": errors["ours"]}, LIMITS["fp32"]), "torch": errors["torch"]}


@contextmanager
def no_waiting(meter: Meter) -> Iterator[None]:
    """Raise where the host waits for the device."""
    if not meter.cuda:
        yield
        return
    meter.finish()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def unsynchronised(case: Case, variant: Variant) -> dict[str, Any]:
    """Run steps in which the host must not wait for the device."""
    work = case.ours(variant)
    case.meter.warm_up(work, 2)
    with work.flags(), no_waiting(case.meter):
        for _ in range(2):
            metrics = work.run()
    case.meter.finish()
    return {"passed": all(bool(torch.isfinite(value)) for value in metrics.values())}


def graphed(case: Case, variant: Variant, limit: float) -> dict[str, Any]:
    """Compare the losses of a hundred updates from a graph with those without, from the same weights and draws.

    Some operations add in another order each time, which grows: three times as far as two runs without a graph are from
    each other is near enough. The noise of two replays must differ. On the CPU, which has no graphs, all are the same.
    """

    def losses(of: Variant) -> Tensor:
        work, found = case.ours(of), []
        case.seed(2)
        with work.flags():
            for number in range(100 if case.meter.cuda else 2):
                metrics = work.run(number % 2)  # the same two batches again and again
                found.append(torch.stack([value.double() for value in metrics.values()]))
        check_captured(work)
        return torch.stack(found).cpu()

    found, wanted, again = losses(variant._replace(graphed=True)), losses(variant), losses(variant)
    size = wanted.abs().mean(0).clamp_min(1e-12)
    apart, noise = (((other - wanted).abs().mean(0) / size).tolist() for other in (found, again))
    result = judged({str(index): rounded(value) for index, value in enumerate(apart)}, max(limit, 3 * max(noise)))
    moving = len({tuple(row.tolist()) for row in found}) == len(found)
    return {**result, "noise": rounded(max(noise)), "moving": moving, "passed": result["passed"] and moving}


def parity(case: Scenes, variant: Variant, limit: float) -> dict[str, Any]:
    """Compare the losses of a step with the authors', from the same weights."""
    ours, theirs = case.ours(variant), case.reference
    run: Any = ours.run
    if case.joint:
        with ours.flags():
            ours.run()  # in it the enhancer is put around the global network
    model, judge = run.engine.nets.current.G, run.engine.nets.current.D
    net: Any = theirs.run.net  # type: ignore[attr-defined]
    net.G.load_state_dict(model.generator.state_dict())
    net.D.load_state_dict(judge.state_dict())
    with ours.flags():
        found = {name: float(value) for name, value in ours.run().items()}
    with Variant("fp32").flags(case.device):
        wanted = {name: float(value) for name, value in theirs.run().items()}
    pairs = {name: (weight * found[name], wanted[other]) for name, (other, weight) in NAMES.items()}
    pairs["d/real_or_fake"] = found["d/real_or_fake"], wanted["D_fake"] + wanted["D_real"]
    return judged({name: rounded(abs(mine - other) / abs(other)) for name, (mine, other) in pairs.items()}, limit)


def parity_of_domains(case: Domains, variant: Variant, limit: float) -> dict[str, Any]:
    """Compare the losses of a step of U-GAT-IT with the authors', from the same weights."""
    ours, theirs = case.ours(variant), case.reference
    run: Any = ours.run
    their: Any = theirs.run
    bench_ugatit.take_weights(run.engine.nets, their.net)
    with ours.flags():
        found = {name: float(value) for name, value in run().items()}
    with Variant("fp32").flags(case.device):
        wanted = {name: float(value) for name, value in their().items()}
    errors = {}
    for name, names in bench_ugatit.NAMES.items():
        other = sum(wanted[each] for each in names)
        errors[name] = rounded(abs(found[name] - other) / abs(other))
    return judged(errors, limit)


def tested(*paths: str) -> dict[str, Any]:
    """Run the tests that need a device, in a process of their own; elsewhere they skip themselves."""
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*sorted(ROOT.glob("packages/*/src")), ROOT]))}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *paths]
    found = subprocess.run(command, cwd=ROOT, env=around, capture_output=True, text=True, timeout=140)
    failed = [line for line in found.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return {"passed": found.returncode == 0, "told": found.stdout.strip().splitlines()[-1:], "failed": failed[:20]}
