"""Updates from graphs. A graph needs a CUDA device; here a tape of operations takes its place."""

from __future__ import annotations

import functools
import gc
import random
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, call

import pytest
import torch
from torch import nn

import i2i
from i2i.graphs import MOST, WARM_UP, CudaRecorder, Graphs
from i2i.losses import lsgan
from i2i.policy import Policy, Turn
from i2i.schedules import linear_decay
from i2i.values import Pair
from tests.core.tape import TapeRecorder


def share(n: Any, x: Pair) -> dict[str, i2i.Translation]:
    return {"fake": n.G(x.a + torch.randn_like(x.a))}


def g_loss(n: Any, x: Pair, shared: Any) -> dict[str, torch.Tensor]:
    fake = shared["fake"]
    return {"adv": lsgan.generator(n.D(fake.image)), "near": i2i.terms.cycle(x.b, fake)}


def d_loss(n: Any, x: Pair, shared: Any) -> dict[str, torch.Tensor]:
    return {"adv": lsgan.discriminator(n.D(x.b), n.D(shared["fake"].image))}


def penalty(n: Any, x: Pair, shared: Any) -> dict[str, torch.Tensor]:
    return {"r1": i2i.terms.r1(n.D, x.b)}


def nets() -> Any:
    torch.manual_seed(3)
    return i2i.nets(G=i2i.as_generator(nn.Conv2d(3, 3, 3, padding=1)), D=i2i.as_discriminator(nn.Conv2d(3, 1, 3)))


def step() -> i2i.Step[Any, Any]:
    """Everything that depends on the batch: schedules of rates and weights, a pool, a lazy penalty."""
    adam = functools.partial(torch.optim.Adam, betas=(0.5, 0.999))
    lr = linear_decay(1e-2, 60, start=5)
    return i2i.alternate(
        share=share,
        live="g",
        g=i2i.player(lambda n: n.G, g_loss, adam, weights={"adv": 1, "near": lambda now: 1 + now / 10}, lr=lr),
        d=i2i.replayed(4, ["fake"], i2i.repeat(2, i2i.player(lambda n: n.D, d_loss, adam, weights={"adv": 1}, lr=lr))),
        p=i2i.every(4, i2i.player(lambda n: n.D, penalty, torch.optim.SGD, weights={"r1": 1}, lr=0.01)),
    )


def batches(count: int) -> list[Pair]:
    draws = torch.Generator().manual_seed(0)
    return [Pair(*torch.rand(2, 2, 3, 8, 8, generator=draws)) for _ in range(count)]


def trained(
    count: int, recorder: TapeRecorder | None, made: Callable[[], i2i.Step[Any, Any]] = step, given: Any = None
) -> Any:
    """Return the metrics of each batch, and the weights in the end."""
    net, algebra = (nets() if given is None else given()), made()
    torch.manual_seed(3)
    random.seed(1)
    policy = Policy(graphed=recorder is not None)
    state = algebra.init(net, policy, None)
    graphs = None if recorder is None else Graphs(algebra, policy, recorder)
    torch.manual_seed(2)
    seen = []
    for now, batch in enumerate(batches(count)):
        current = algebra.nets(net, state)
        if graphs is None:
            state, metrics = algebra.update(current, state, batch, Turn(policy, now))
        else:
            state, metrics = graphs.update(current, state, batch, now)
        seen.append({name: value.item() for name, value in metrics.items()})
    modules = list(algebra.trains(algebra.nets(net, state)))
    return seen, [p.detach().clone() for module in modules for p in module.parameters()]


def test_a_hundred_replayed_updates_are_those_without_graph():
    recorder = TapeRecorder()
    (seen, weights), (wanted, exact) = trained(100, recorder), trained(100, None)
    assert seen == wanted
    assert all(torch.equal(one, other) for one, other in zip(weights, exact, strict=True))
    # Two courses: with the penalty each fourth batch, and without. Each is captured after it ran as usual.
    assert recorder.recorded == 2
    assert recorder.replayed == 100 - 2 * WARM_UP


def test_two_replays_draw_other_noise():
    seen, _ = trained(12, TapeRecorder())
    assert len({each["g/near"] for each in seen}) == len(seen)


def growing() -> i2i.Step[Any, Any]:
    def loss(n: Any, x: Pair) -> dict[str, torch.Tensor]:
        return {"size": n.G(x.a).image.square().mean()}

    def grow(k: int, finished: Any) -> i2i.Stage:
        lr = linear_decay(0.1, 12, start=2)
        one = i2i.player(lambda n: n.G, loss, torch.optim.SGD, weights={"size": 1}, lr=lr)
        return i2i.Stage(i2i.nets(G=i2i.as_generator(nn.Conv2d(3, 3, 1))), one)

    return i2i.staged(grow, [10, 12, 9])


def test_each_stage_has_a_graph_of_its_own():
    recorder = TapeRecorder()
    seen, weights = trained(31, recorder, growing, given=lambda: ())
    wanted, exact = trained(31, None, growing, given=lambda: ())
    assert seen == wanted
    assert all(torch.equal(one, other) for one, other in zip(weights, exact, strict=True))
    assert (recorder.recorded, recorder.dropped) == (3, 3)
    assert recorder.replayed == 31 - 3 * WARM_UP - 2  # and the batches in which later stages begin


def one_player() -> i2i.Step[Any, Any]:
    def loss(n: Any, x: Pair) -> dict[str, torch.Tensor]:
        return {"size": n.G(x.a).image.square().mean()}

    return i2i.player(lambda n: n.G, loss, torch.optim.SGD, weights={"size": 1}, lr=0.1)


def run_shapes(sizes: list[int], recorder: Any) -> Graphs:
    algebra, policy = one_player(), Policy(graphed=True)
    net = i2i.nets(G=i2i.as_generator(nn.Conv2d(3, 3, 1)))
    graphs, state = Graphs(algebra, policy, recorder), algebra.init(net, policy, None)
    for now, size in enumerate(sizes):
        state, _ = graphs.update(net, state, Pair(*torch.rand(2, 1, 3, size, 8)), now)
    return graphs


def test_shapes_come_in_any_order():
    recorder = TapeRecorder()
    graphs = run_shapes([8, 6] * 10, recorder)
    assert (graphs.captured, recorder.recorded, recorder.replayed) == (2, 2, 20 - 2 * WARM_UP)


def test_too_many_shapes_are_given_up(capsys):
    recorder = TapeRecorder()
    run_shapes(list(range(1, MOST + 5)), recorder)
    assert capsys.readouterr().err == (
        f"no graph: more than {MOST} kinds of updates, of other shapes or courses; going on without\n"
    )
    assert recorder.recorded == 0


class Failing(TapeRecorder):
    def record(self, function: Callable[[], Any]) -> Callable[[], Any]:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")


def test_where_nothing_can_be_captured_the_run_goes_on_and_says_why(capsys):
    seen, weights = trained(20, Failing())
    assert capsys.readouterr().err == "no graph: operation not permitted when stream is capturing; going on without\n"
    wanted, exact = trained(20, None)
    assert seen == wanted
    assert all(torch.equal(one, other) for one, other in zip(weights, exact, strict=True))


def test_fakes_on_the_host_refuse_a_graph(capsys):
    algebra, recorder, policy, net = step(), TapeRecorder(), Policy(graphed=True), nets()
    graphs, state = Graphs(algebra, policy, recorder), algebra.init(net, policy, None)
    for now in range(12):
        state, _ = graphs.update(net, state, Pair(*torch.rand(2, 1, 3, 6 + now % 2, 8)), now)
    assert capsys.readouterr().err == "no graph: fakes of unequal sizes are remembered on the host; going on without\n"
    assert recorder.recorded == 0


def test_without_a_cuda_device_the_run_says_so(capsys):
    net = i2i.nets(G=i2i.as_generator(nn.Conv2d(3, 3, 1)))
    i2i.fit(one_player(), net, batches(2), steps=2, policy=Policy(graphed=True), device="cpu")
    assert "no graph: cpu has none; going on without\n" in capsys.readouterr().err


class BrokenCapture:
    """A capture in which something was not permitted: its end fails as well, and torch puts nothing back."""

    def __init__(self, graph: Any, **_: Any) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        raise RuntimeError("operation failed due to a previous error during capture")


def not_permitted() -> None:
    raise ValueError("operation not permitted when stream is capturing")


def test_a_broken_capture_is_let_go_of_and_its_reason_told(monkeypatch):
    """What torch keeps of a capture that broke, by its sources; on a device the test below shows what follows."""
    graph, generator, ended = Mock(), Mock(), Mock()
    graph.pool.side_effect = RuntimeError("without a preceding successful capture")
    for name, value in {
        "CUDAGraph": lambda: graph, "graph": BrokenCapture, "Stream": lambda device: SimpleNamespace(device_index=0),
        "graph_pool_handle": lambda: (0, 7), "current_stream": lambda device: None, "default_generators": (generator,),
        "stream": lambda stream: nullcontext(),
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        monkeypatch.setattr(torch._C, name, getattr(ended, name), raising=False)
    with pytest.raises(ValueError, match="not permitted") as caught:
        CudaRecorder(torch.device("cuda")).record(not_permitted)
    assert caught.value.__suppress_context__
    assert ended.mock_calls == [call._cuda_endAllocateToPool(0, (0, 7)), call._cuda_releasePool(0, (0, 7))]
    generator.graphsafe_set_state.assert_called_once_with(generator.clone_state())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device_a_broken_capture_leaves_everything_as_it_was(capsys):
    device, read = torch.device("cuda"), []

    def loss(n: Any, x: Pair) -> dict[str, torch.Tensor]:
        size = n.G(x.a + torch.randn_like(x.a)).image.square().mean()
        if torch.cuda.is_current_stream_capturing():
            read.append(size.item())  # waits for the device
        return {"size": size}

    adam = functools.partial(torch.optim.Adam, betas=(0.5, 0.999))

    def run(*, graphed: bool) -> list[float]:
        algebra, policy = i2i.player(lambda n: n.G, loss, adam, weights={"size": 1}, lr=0.1), Policy(graphed=graphed)
        torch.manual_seed(3)
        net = i2i.nets(G=i2i.as_generator(nn.Conv2d(3, 64, 1)).cuda())
        state, graphs = algebra.init(net, policy, None), Graphs(algebra, policy, CudaRecorder(device))
        torch.manual_seed(2)
        seen = []
        for now in range(9):
            batch = Pair(*torch.ones(2, 1, 3, 1024, 1024, device=device))
            if graphed:
                state, metrics = graphs.update(net, state, batch, now)
            else:
                state, metrics = algebra.update(net, state, batch, Turn(policy, now))
            seen.append(metrics["size"].item())
        return seen

    def held() -> int:
        gc.collect()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    wanted, before = run(graphed=False), held()
    assert run(graphed=True) == pytest.approx(wanted, rel=1e-5)  # with the same noise
    assert "no graph: " in (told := capsys.readouterr().err)
    assert "previous error" not in told  # but which one it was
    assert read == []
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert held() - before < 2**27  # half of what an image of 64 channels takes; cuBLAS keeps some for a new stream


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_on_a_device_graph_and_eager_agree(precision):
    def run(*, graphed: bool) -> tuple[list[dict[str, float]], int]:
        device, algebra, net = torch.device("cuda"), step(), nets().__class__(*(m.cuda() for m in nets()))
        policy = Policy(precision=precision, graphed=graphed)
        random.seed(1)
        with device:
            state = algebra.init(net, policy, None)
        graphs = Graphs(algebra, policy, CudaRecorder(device))
        torch.manual_seed(2)
        seen = []
        for now, batch in enumerate(batches(100)):
            on_device = Pair(*(image.cuda() for image in batch))
            if graphed:
                state, metrics = graphs.update(net, state, on_device, now)
            else:
                state, metrics = algebra.update(net, state, on_device, Turn(policy, now))
            seen.append({name: value.item() for name, value in metrics.items()})
        return seen, graphs.captured

    (seen, captured), (wanted, _) = run(graphed=True), run(graphed=False)
    assert captured == 2
    assert len({each["g/near"] for each in seen}) == len(seen)
    for one, other in zip(seen, wanted, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
