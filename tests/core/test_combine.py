"""Every nesting is held against one interpreter in plain torch, written from the words of the design.

`Plain` knows nothing of i2i: parameters are lists of tensors, nets are functions, optimisers are formulas, batches are
never cut.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from i2i.checkpoint import snapshot
from i2i.combine import alternate, every, repeat
from i2i.errors import CompositionError
from i2i.history import replayed
from i2i.policy import Policy, Turn
from i2i.stages import Stage, staged
from i2i.step import Step, player

# ("player", name) | ("repeat" | "parted" | "every", n, spec) | ("replayed", size, fields, spec) | ("alternate", ...)
Spec = Any
Weights = dict[str, list[Tensor]]
FIELDS = ("fake", "other")


class Mix(NamedTuple):
    G: nn.Module
    D: nn.Module
    E: nn.Module


class Batch(NamedTuple):
    a: Tensor
    b: Tensor


class Fakes(NamedTuple):
    fake: Tensor
    other: Tensor


def make_nets(seed: int = 0) -> Mix:
    torch.manual_seed(seed)

    def net(out: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(2, 3, 1), nn.Tanh(), nn.Conv2d(3, out, 1)).double()

    return Mix(G=net(2), D=net(1), E=net(1))


def make_batches(count: int = 4, size: int = 4) -> list[Batch]:
    draw = torch.Generator().manual_seed(1)
    shape = (2, count, size, 2, 3, 3)
    return [Batch(a, b) for a, b in zip(*torch.randn(shape, generator=draw, dtype=torch.float64), strict=True)]


# --- the steps in i2i -------------------------------------------------------------------------------------------------


def translate(n: Mix, x: Batch) -> Fakes:
    return Fakes(n.G(x.a), n.G(x.b))


def g_loss(n: Mix, x: Batch, shared: Fakes | None = None) -> dict[str, Tensor]:
    fakes = shared or translate(n, x)
    return {"adv": F.softplus(-n.D(fakes.fake)).mean(), "rec": (fakes.other - x.b).abs().mean()}


def d_loss(n: Mix, x: Batch, shared: Fakes | None = None) -> dict[str, Tensor]:
    fakes = shared or translate(n, x)
    return {"real": F.softplus(-n.D(x.b)).mean(), "fake": F.softplus(n.D(fakes.fake)).mean()}


def e_loss(n: Mix, x: Batch, shared: Fakes | None = None) -> dict[str, Tensor]:
    fakes = shared or translate(n, x)
    return {"ls": (n.E(x.a) - 1).square().mean() + n.E(fakes.other).square().mean()}


def g_lr(now: int) -> float:
    return 0.02 / (1 + now)


def rec_weight(now: int) -> float:
    return 2.0 - 0.5 * now


def part(shared: Any, k: int) -> Fakes:
    """What move k of a "parted" repeat sees."""
    return Fakes(shared[0] * (1 + k), shared[1] - k)


def clip(n: Mix) -> None:
    for parameter in n.D.parameters():
        parameter.clamp_(-0.4, 0.4)


def adam(parameters: list[nn.Parameter], lr: Any, fused: bool = False) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=lr, betas=(0.5, 0.999), fused=fused)


def momentum(parameters: list[nn.Parameter], lr: Any, fused: bool = False) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, fused=fused)


PLAYERS: dict[str, Callable[[], Step[Mix, Batch]]] = {
    "g": lambda: player(lambda n: n.G, g_loss, adam, weights={"adv": 1.5, "rec": rec_weight}, lr=g_lr),
    "d": lambda: player(lambda n: n.D, d_loss, momentum, weights={"real": 0.5, "fake": 1}, lr=0.05, after=clip),
    "e": lambda: player(
        lambda n: n.E, e_loss, torch.optim.RMSprop, weights={"ls": 1}, lr=lambda now: 0.01 + 0.01 * now
    ),
}


def build(spec: Spec) -> Step[Mix, Batch]:
    if spec[0] == "player":
        return PLAYERS[spec[1]]()
    if spec[0] == "repeat":
        return repeat(spec[1], build(spec[2]))
    if spec[0] == "parted":
        return repeat(spec[1], build(spec[2]), part=part)
    if spec[0] == "every":
        return every(spec[1], build(spec[2]))
    if spec[0] == "replayed":
        return replayed(spec[1], spec[2], build(spec[3]))
    steps: Any = {name: build(inner) for name, inner in spec[2].items()}
    return alternate(share=translate, live="g", **steps) if spec[1] else alternate(**steps)


# --- the same in plain torch ------------------------------------------------------------------------------------------


def run_net(w: Sequence[Tensor], x: Tensor) -> Tensor:
    return F.conv2d(torch.tanh(F.conv2d(x, w[0], w[1])), w[2], w[3])


Shown = Callable[[Sequence[Tensor]], tuple[Tensor, Tensor]]


class Plain:
    def __init__(self, nets: Mix, draws: random.Random) -> None:
        self.w: Weights = {name: [p.detach().clone() for p in net.parameters()] for name, net in nets._asdict().items()}
        self.begin(draws)

    def begin(self, draws: random.Random) -> None:
        self.draws = draws
        self.memory: dict[str, Any] = {}
        self.pools: dict[str, list[Tensor]] = {name: [] for name in FIELDS}
        self.last: dict[int, dict[str, float]] = {}

    def run(self, spec: Spec, x: Batch, now: int, shown: Shown) -> dict[str, float]:
        kind, *rest = spec
        if kind == "player":
            return self.move(rest[0], x, now, shown)
        if kind == "repeat":
            return [self.run(rest[1], x, now, shown) for _ in range(rest[0])][-1]
        if kind == "parted":
            moves = range(rest[0])
            return [self.run(rest[1], x, now, lambda w, k=k: part(shown(w), k)) for k in moves][-1]  # type: ignore[misc]
        if kind == "every":
            if now % rest[0] == 0:
                self.last[id(spec)] = self.run(rest[1], x, now, shown)
            return self.last[id(spec)]
        if kind == "replayed":
            fakes = dict(zip(FIELDS, shown(self.w["G"]), strict=True))
            for field in rest[1]:
                fakes[field] = self.replay(self.pools[field], rest[0], fakes[field])
            return self.run(rest[2], x, now, lambda _: (fakes["fake"], fakes["other"]))
        return self.turns(rest[0], rest[1], x, now, shown)

    def turns(self, shares: bool, steps: Mapping[str, Spec], x: Batch, now: int, shown: Shown) -> dict[str, float]:
        seen: list[tuple[Tensor, Tensor]] = []

        def live(g: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
            fakes = run_net(g, x.a), run_net(g, x.b)
            seen[:] = [(fakes[0].detach(), fakes[1].detach())]
            return fakes

        def others(g: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
            if not seen:
                live(g)
            return seen[0]

        found: dict[str, float] = {}
        for name, inner in steps.items():
            to_show = (live if name == "g" else others) if shares else shown
            found |= {f"{name}/{key}": value for key, value in self.run(inner, x, now, to_show).items()}
        return found

    def replay(self, pool: list[Tensor], size: int, images: Tensor) -> Tensor:
        """The authors' code: specs/cyclegan.md, 1.5."""
        if size == 0:
            return images
        shown = []
        for image in images:
            if len(pool) < size:
                pool.append(image)
                shown.append(image)
            elif self.draws.uniform(0, 1) > 0.5:
                slot = self.draws.randint(0, size - 1)
                shown.append(pool[slot])
                pool[slot] = image
            else:
                shown.append(image)
        return torch.stack(shown)

    def move(self, name: str, x: Batch, now: int, shown: Shown) -> dict[str, float]:
        own = [tensor.clone().requires_grad_() for tensor in self.w[name.upper()]]
        w = {**self.w, name.upper(): own}
        fake, other = shown(w["G"])
        if name != "g":
            fake, other = fake.detach(), other.detach()
        terms: dict[str, Tensor]
        if name == "g":
            terms = {"adv": torch.log1p(torch.exp(-run_net(w["D"], fake))).mean(), "rec": F.l1_loss(other, x.b)}
            weights = {"adv": 1.5, "rec": 2.0 - 0.5 * now}
        elif name == "d":
            real, false = run_net(own, x.b), run_net(own, fake)
            terms = {"real": torch.log1p(torch.exp(-real)).mean(), "fake": torch.log1p(torch.exp(false)).mean()}
            weights = {"real": 0.5, "fake": 1.0}
        else:
            terms = {
                "ls": F.mse_loss(run_net(own, x.a), torch.ones(4, 1, 3, 3).double()) + run_net(own, other).pow(2).mean()
            }
            weights = {"ls": 1.0}
        total = torch.stack([weight * terms[key] for key, weight in weights.items()]).sum()
        gradients = torch.autograd.grad(total, own)
        with torch.no_grad():
            self.w[name.upper()] = getattr(self, f"step_{name}")(self.w[name.upper()], gradients, now)
        return {**{key: term.item() for key, term in terms.items()}, "total": total.item()}

    def step_g(self, w: Sequence[Tensor], gradients: Sequence[Tensor], now: int) -> list[Tensor]:
        """Adam."""
        t, first, second = self.memory.get("g", (0, [0.0] * len(w), [0.0] * len(w)))
        t += 1
        first = [0.5 * m + 0.5 * g for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients, strict=True)]
        self.memory["g"] = (t, first, second)
        lr = 0.02 / (1 + now)
        hats = [(m / (1 - 0.5**t), v / (1 - 0.999**t)) for m, v in zip(first, second, strict=True)]
        return [p - lr * m / (v.sqrt() + 1e-8) for p, (m, v) in zip(w, hats, strict=True)]

    def step_d(self, w: Sequence[Tensor], gradients: Sequence[Tensor], now: int) -> list[Tensor]:
        """Momentum, then the clip."""
        speed = [0.9 * m + g for m, g in zip(self.memory.get("d", [0.0] * len(w)), gradients, strict=True)]
        self.memory["d"] = speed
        return [(p - 0.05 * m).clamp(-0.4, 0.4) for p, m in zip(w, speed, strict=True)]

    def step_e(self, w: Sequence[Tensor], gradients: Sequence[Tensor], now: int) -> list[Tensor]:
        """RMSprop."""
        squares = [
            0.99 * v + 0.01 * g * g for v, g in zip(self.memory.get("e", [0.0] * len(w)), gradients, strict=True)
        ]
        self.memory["e"] = squares
        lr = 0.01 + 0.01 * now
        return [p - lr * g / (v.sqrt() + 1e-8) for p, g, v in zip(w, gradients, squares, strict=True)]


# --- nestings ---------------------------------------------------------------------------------------------------------


@st.composite
def nestings(draw: st.DrawFn) -> Spec:
    shares = draw(st.booleans())
    replay_at = draw(st.sampled_from(["d", "e", "critics"])) if shares else None

    def wrapped(name: str, spec: Spec) -> Spec:
        for _ in range(draw(st.integers(0, 2))):
            kinds = ["repeat", "parted", "every"] if shares else ["repeat", "every"]
            spec = (draw(st.sampled_from(kinds)), draw(st.integers(2, 3)), spec)
        if name == replay_at:
            fields = draw(st.sampled_from([FIELDS, FIELDS[::-1], FIELDS[:1]]))
            spec = ("replayed", draw(st.sampled_from([0, 3, 6])), fields, spec)
            if draw(st.booleans()):
                spec = (draw(st.sampled_from(["repeat", "parted"])), 2, spec)
        return spec

    members = {name: wrapped(name, ("player", name)) for name in "gde"}
    if draw(st.booleans()):
        inner = {name: members.pop(name) for name in draw(st.permutations(["d", "e"]))}
        members["critics"] = wrapped("critics", ("alternate", False, inner))
    order = draw(st.permutations(list(members)))
    return ("alternate", shares, {name: members[name] for name in order})


def train(step: Step[Any, Batch], nets: Any, accumulate: int, cut: int | None) -> tuple[Any, Mapping[str, Tensor]]:
    """Train by hand, without fit; at ``cut`` all is saved and taken up again by other nets."""
    policy = Policy(accumulate=accumulate)
    random.seed(5)
    state = step.init(nets, policy, None)
    metrics: Mapping[str, Tensor] = {}
    for now, x in enumerate(make_batches()):
        if now == cut:
            saved, nets = copy.deepcopy((snapshot(state), nets))
            random.seed(99)
            state = step.init(nets, policy, saved)
        state, metrics = step.update(step.nets(nets, state), state, x, Turn(policy, now))
    return step.nets(nets, state), metrics


def compare(nets: Mix, metrics: Mapping[str, Tensor], plain: Plain, wanted: Mapping[str, float]) -> None:
    for name, net in nets._asdict().items():
        for found, expected in zip(net.parameters(), plain.w[name], strict=True):
            torch.testing.assert_close(found.detach(), expected, rtol=0, atol=1e-12)
    assert {key: value.item() for key, value in metrics.items()} == pytest.approx(wanted, abs=1e-12)


SLOW_START = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@SLOW_START
@given(nestings(), st.sampled_from([1, 2, 4]), st.sampled_from([None, 1, 3]))
def test_any_nesting_equals_plain_torch_on_whole_batches(spec: Spec, accumulate: int, cut: int | None) -> None:
    plain = Plain(make_nets(), random.Random(5))
    wanted: dict[str, float] = {}
    for now, x in enumerate(make_batches()):
        wanted = plain.run(spec, x, now, lambda g, x=x: (run_net(g, x.a), run_net(g, x.b)))  # type: ignore[misc]
    nets, metrics = train(build(spec), make_nets(), accumulate, cut)
    compare(nets, metrics, plain, wanted)


@settings(SLOW_START, max_examples=15)
@given(nestings(), st.sampled_from([1, 2]), st.sampled_from([None, 1, 2, 3]))
def test_any_nesting_within_stages_equals_plain_torch(spec: Spec, accumulate: int, cut: int | None) -> None:
    def grow(k: int, done: tuple[Mix, ...]) -> Stage:
        random.seed(k)  # from which the pool of this stage takes its draws
        return Stage(done[-1] if done else make_nets(), build(spec), view=lambda x: Batch(x.a, -x.b) if k else x)

    plain = Plain(make_nets(), random.Random(0))
    wanted: dict[str, float] = {}
    for now, x in enumerate(make_batches()):
        if now == 2:
            plain.begin(random.Random(1))
        seen = Batch(x.a, -x.b) if now >= 2 else x
        wanted = plain.run(spec, seen, now % 2, lambda g, x=seen: (run_net(g, x.a), run_net(g, x.b)))  # type: ignore[misc]
    stages, metrics = train(staged(grow, (2, 2)), None, accumulate, cut)
    compare(stages.current, metrics, plain, wanted)


# --- one thing at a time ----------------------------------------------------------------------------------------------


def forwards(step: Step[Mix, Batch], batches: int = 1) -> int:
    """Count how often G runs."""
    nets = make_nets()
    count: list[int] = []
    nets.G.register_forward_hook(lambda *_: count.append(1))
    state = step.init(nets, Policy(), None)
    for now, x in enumerate(make_batches()[:batches]):
        state, _ = step.update(nets, state, x, Turn(Policy(), now))
    return len(count)


@pytest.mark.parametrize(
    ("moves", "order", "expected"), [(1, "gd", 2), (1, "dg", 2), (3, "gd", 6), (3, "dg", 6)], ids=str
)
def test_what_is_shared_is_made_once_and_again_only_for_a_live_player_that_moves_again(
    moves: int, order: str, expected: int
) -> None:
    steps = {"g": repeat(moves, PLAYERS["g"]()), "d": repeat(3, PLAYERS["d"]())}
    step = alternate(share=translate, live="g", **{name: steps[name] for name in order})
    assert forwards(step) == expected


@pytest.mark.parametrize("accumulate", [1, 2])
def test_each_move_of_a_repeat_sees_its_part_of_what_is_shared_once(accumulate: int) -> None:
    seen: list[list[float]] = []

    def share(n: Mix, x: Batch) -> list[Tensor]:
        made.append(1)
        return [n.G(x.a).sum() * 0 + x.b.sum() + k for k in range(3)]

    def loss(n: Mix, x: Batch, shared: Tensor) -> dict[str, Tensor]:
        seen.append([round(shared.item() - x.b.sum().item()), shared.requires_grad])
        return {"x": n.D(x.b).mean() * shared}

    made: list[int] = []
    g: Step[Mix, Batch] = player(
        lambda n: n.G, lambda n, x, shared: {"x": shared[0]}, torch.optim.SGD, weights={"x": 1}, lr=0.1
    )
    d: Step[Mix, Batch] = player(lambda n: n.D, loss, torch.optim.SGD, weights={"x": 1}, lr=0.1)
    critics = repeat(3, alternate(one=d, other=d), part=lambda shared, k: shared[k])
    step = alternate(share=share, live="g", c=critics, g=g)
    nets, policy = make_nets(), Policy(accumulate=accumulate)
    step.update(nets, step.init(nets, policy, None), make_batches()[0], Turn(policy, 0))
    assert seen == [[k, False] for k in range(3) for _ in range(2 * accumulate)]
    assert len(made) == accumulate


def test_a_part_of_nothing_shared_is_a_mistake() -> None:
    nets = make_nets()
    step = alternate(g=PLAYERS["g"](), d=repeat(2, PLAYERS["d"](), part=part))
    before = copy.deepcopy(nets.G.state_dict())
    with pytest.raises(CompositionError, match=r"^d: repeat\(2, \.\.\., part=\.\.\.\) needs an alternate\(share="):
        step.update(nets, step.init(nets, Policy(), None), make_batches()[0], Turn(Policy(), 0))
    assert all(torch.equal(before[key], value) for key, value in nets.G.state_dict().items())


def test_a_part_of_what_is_live_is_live() -> None:
    """So that fakes that need their graph are not remembered without it."""
    remembering = repeat(2, replayed(4, ["fake"], PLAYERS["g"]()), part=part)
    nets, step = make_nets(), alternate(share=translate, live="g", g=remembering, d=PLAYERS["d"]())
    with pytest.raises(CompositionError, match=r"^g: replayed\(\) holds the live player"):
        step.update(nets, step.init(nets, Policy(), None), make_batches()[0], Turn(Policy(), 0))


def test_share_runs_with_only_the_nets_of_the_live_player_trainable() -> None:
    seen: list[list[bool]] = []

    def share(n: Mix, x: Batch) -> Fakes:
        seen.append([p.requires_grad for net in n for p in net.parameters()])
        return translate(n, x)

    nets = make_nets()
    step = alternate(share=share, live="g", d=PLAYERS["d"](), g=PLAYERS["g"](), e=PLAYERS["e"]())
    step.update(nets, step.init(nets, Policy(), None), make_batches()[0], Turn(Policy(), 0))
    assert seen == [[True] * 4 + [False] * 8]


def test_going_on_as_saved_makes_nothing_shared_that_no_player_asks_for() -> None:
    """Or it would draw random numbers that the undisturbed run does not draw."""
    count: list[int] = []

    def share(n: Mix, x: Batch) -> Fakes:
        count.append(1)
        return translate(n, x)

    nets, x = make_nets(), make_batches()[0]
    step = alternate(share=share, live="g", g=every(2, PLAYERS["g"]()), d=every(2, PLAYERS["d"]()))
    state, _ = step.update(nets, step.init(nets, Policy(), None), x, Turn(Policy(), 0))
    state = step.init(nets, Policy(), copy.deepcopy(snapshot(state)))
    for now in (1, 2):
        state, _ = step.update(nets, state, x, Turn(Policy(), now))
        assert len(count) == now


def test_without_live_nothing_shared_has_a_graph() -> None:
    seen: list[Tensor] = []

    def loss(n: Mix, x: Batch, shared: Fakes) -> dict[str, Tensor]:
        seen.append(shared.fake)
        return {"x": n.D(shared.fake).mean()}

    nets = make_nets()
    nets.G.requires_grad_(False)
    d: Step[Mix, Batch] = player(lambda n: n.D, loss, torch.optim.SGD, weights={"x": 1}, lr=0.1)
    step = alternate(share=translate, d=d)
    state = step.init(nets, Policy(), None)
    step.update(nets, state, make_batches()[0], Turn(Policy(), 0))
    assert seen[0].grad_fn is None


def test_a_move_leaves_no_gradient_on_other_nets_and_all_trainable_again() -> None:
    nets = make_nets()
    step = alternate(share=translate, live="g", g=PLAYERS["g"](), d=repeat(2, PLAYERS["d"]()))
    during: list[tuple[bool, bool]] = []
    nets.D.register_forward_hook(
        lambda *_: during.append(tuple(next(net.parameters()).requires_grad for net in (nets.G, nets.D)))  # type: ignore[arg-type]
    )
    state = step.init(nets, Policy(), None)
    before = [p.grad for p in nets.E.parameters()]
    step.update(nets, state, make_batches()[0], Turn(Policy(), 0))
    assert during == [(True, False)] + [(False, True)] * 4
    assert before == [p.grad for p in nets.E.parameters()] == [None] * 4
    assert all(p.requires_grad for net in nets for p in net.parameters())


def test_g_leaves_no_gradient_on_d() -> None:
    nets = make_nets()
    step = alternate(share=translate, live="g", g=PLAYERS["g"]())
    step.update(nets, step.init(nets, Policy(), None), make_batches()[0], Turn(Policy(), 0))
    assert [p.grad for p in nets.D.parameters()] == [None] * 4
    assert all(p.grad is not None for p in nets.G.parameters())


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what reads a value from the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in ("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero"):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def test_no_update_but_the_first_reads_from_the_device() -> None:
    with Reads() as reads:
        torch.ones(()).item()
        bool(torch.ones(2).max() > 0)
    assert len(reads.found) == 2  # the test can fail
    nets = make_nets()
    critics = alternate(d=PLAYERS["d"](), e=every(2, PLAYERS["e"]()))
    step = alternate(share=translate, live="g", g=repeat(2, PLAYERS["g"]()), c=replayed(3, FIELDS, critics))
    for accumulate in (1, 2):
        policy = Policy(accumulate=accumulate, graphed=True)  # else the guard looks at once, on the CPU
        state = step.init(nets, policy, None)
        with Reads() as reads:
            keys = []
            for now, x in enumerate(make_batches()):
                state, metrics = step.update(nets, state, x, Turn(policy, now))
                keys.append(list(metrics))
                if now == 0:
                    reads.found.clear()
        assert reads.found == []
        names = ["g/adv", "g/rec", "g/total", "c/d/real", "c/d/fake", "c/d/total", "c/e/ls", "c/e/total"]
        assert keys == [names] * 4


def test_length_is_that_of_the_players() -> None:
    g, d = PLAYERS["g"](), PLAYERS["d"]()
    assert alternate(g=g._replace(length=7), d=d).length == 7
    assert repeat(2, every(2, replayed(1, ("fake",), g._replace(length=7)))).length == 7
    with pytest.raises(CompositionError, match="different numbers of batches: 7, 8"):
        alternate(g=g._replace(length=7), d=d._replace(length=8))


# --- mistakes ---------------------------------------------------------------------------------------------------------


def simple(trains: Callable[[Any], Any], loss: Callable[..., Any], **weights: float) -> Step[Mix, Batch]:
    return player(trains, loss, torch.optim.SGD, weights=weights or {"x": 1}, lr=0.1)


def bad(loss: Callable[..., Any], **weights: float) -> Callable[[], Step[Mix, Batch]]:
    """D's loss is wrong, and G moves before it."""
    return lambda: alternate(g=PLAYERS["g"](), d=simple(lambda n: n.D, loss, **weights))


def shared_by(
    share: Callable[[Mix, Batch], Any], live: str | None, **steps: Step[Mix, Batch]
) -> Callable[[], Step[Mix, Batch]]:
    return lambda: alternate(share=share, live=live, **(steps or {"g": PLAYERS["g"](), "d": PLAYERS["d"]()}))


def uses_d(n: Mix, x: Batch) -> Fakes:
    return Fakes(n.G(x.a), n.D(x.b))


def reads_only(n: Mix, x: Batch) -> Fakes:
    return Fakes(x.a, x.b)


def misplaced_stage() -> Step[Any, Any]:
    def grow(k: int, done: tuple[Mix, ...]) -> Stage:
        nets = make_nets()
        nets.D.requires_grad_(False)
        nets.E.requires_grad_(False)
        return Stage(nets, PLAYERS["g"]())

    return staged(grow, (1,))


def seen_by_d(wrap: Callable[[Step[Mix, Batch]], Step[Mix, Batch]]) -> Callable[[], Step[Mix, Batch]]:
    return lambda: alternate(share=translate, live="g", g=PLAYERS["g"](), d=wrap(PLAYERS["d"]()))


LATE: dict[str, tuple[Callable[[], Step[Any, Any]], str]] = {
    "weight without a term, term without a weight": (
        bad(lambda n, x: {"real": n.D(x.b).mean(), "more": n.D(x.b).mean()}, rael=1),
        "d: no term for weight rael and no weight for term more, real: the loss returns more, real; weights are rael",
    ),
    "term without a weight": (
        bad(lambda n, x: {"x": n.D(x.b).mean(), "gp": n.D(x.b).mean()}),
        "d: no weight for term gp: the loss returns gp, x; weights are x",
    ),
    "no term at all": (
        lambda: alternate(
            g=PLAYERS["g"](), d=player(lambda n: n.D, lambda n, x: {}, torch.optim.SGD, weights={}, lr=0.1)
        ),
        'd: the loss returns no term; it must return {"name": scalar}',
    ),
    "no mapping": (bad(lambda n, x: n.D(x.b).mean()), 'd: the loss returns a Tensor; it must return {"name": scalar}'),
    "no scalar": (
        bad(lambda n, x: {"x": n.D(x.b)}),
        r"d: term x has shape (4, 1, 3, 3), it must be a scalar; take its mean()",
    ),
    "no tensor": (bad(lambda n, x: {"x": 1.0}), "d: term x is a float, not a tensor"),
    "one argument": (
        bad(lambda n: {"x": n.D.weight}),
        "d: the loss takes 1 arguments; here it must be loss(nets, batch)",
    ),
    "three arguments, nothing shared": (
        bad(lambda n, x, shared: {"x": n.D(x.b).mean()}),
        "d: the loss takes 3 arguments; here it must be loss(nets, batch)",
    ),
    "four arguments, two of them optional": (
        bad(lambda n, x, shared, extra, more=1: {"x": n.D(x.b).mean()}),
        "d: the loss takes 4 to 5 arguments; here it must be loss(nets, batch)",
    ),
    "two arguments, something shared": (
        lambda: alternate(
            share=translate, live="g", g=PLAYERS["g"](), d=simple(lambda n: n.D, lambda n, x: {"x": n.D(x.b).mean()})
        ),
        "d: the loss takes 2 arguments; here it must be loss(nets, batch, shared), "
        "since the alternate around it shares",
    ),
    "live missing": (shared_by(translate, None), "share() runs nets trained by g, so say live='g'"),
    "live is the wrong player": (shared_by(translate, "d"), "share() runs nets trained by g, but live='d'"),
    "share runs the net of another player too": (
        shared_by(uses_d, "g"),
        "share() runs nets trained by d, but live='g'",
    ),
    "live for nothing": (
        shared_by(reads_only, "g"),
        "live='g', but share() runs no net that it trains; leave live out",
    ),
    "replayed around the live player": (
        lambda: alternate(share=translate, live="g", g=replayed(2, ("fake",), PLAYERS["g"]()), d=PLAYERS["d"]()),
        "g: replayed() holds the live player, whose fakes need their graph: not around that one",
    ),
    "replayed, nothing shared": (
        lambda: alternate(g=PLAYERS["g"](), d=replayed(2, ("fake",), PLAYERS["d"]())),
        "d: replayed() needs an alternate(share=...) around it: there is nothing shared",
    ),
    "replayed field missing": (
        seen_by_d(lambda d: replayed(2, ("fake", "fake_a"), d)),
        "d: replayed() finds no field fake_a; share() returns fake, other",
    ),
    "replayed without names": (
        shared_by(
            lambda n, x: tuple(translate(n, x)),
            "g",
            g=simple(lambda n: n.G, lambda n, x, s: {"x": s[0].mean()}),
            d=replayed(2, ("fake",), PLAYERS["d"]()),
        ),
        "d: replayed() needs names, but share() returns a tuple; let it return a NamedTuple",
    ),
    "batch cannot be cut": (
        lambda: alternate(g=PLAYERS["g"](), d=PLAYERS["d"]()),
        "g: a batch of 4 cannot be cut into accumulate (=3) equal micro-batches; "
        "use a batch size that is a multiple of 3",
    ),
    "misspelt net": (
        lambda: alternate(g=PLAYERS["g"](), d=simple(lambda n: n.DA, d_loss)),
        "d: the selector finds nothing: 'Mix' object has no attribute 'DA' (the nets are G, D, E)",
    ),
    "selector finds nothing": (
        lambda: alternate(g=PLAYERS["g"](), d=simple(lambda n: (), d_loss)),
        "d: the selector finds nothing; return nets: lambda n: n.G, or lambda n: (n.G, n.F)",
    ),
    "selector finds no net": (
        lambda: alternate(g=PLAYERS["g"](), d=simple(lambda n: n.D.parameters(), d_loss)),
        "d: the selector finds a generator, not a net (nn.Module)",
    ),
    "selector finds a net without parameters": (
        lambda: alternate(g=PLAYERS["g"](), d=simple(lambda n: n.D[1], d_loss)),
        "d: the selector finds no trainable parameter; is the net frozen?",
    ),
    "staged within alternate": (
        lambda: alternate(g=PLAYERS["g"](), d=misplaced_stage()),
        "d: staged() grows its own nets: it must be the outermost step, and fit(nets=None)",
    ),
}


@pytest.mark.parametrize("case", LATE)
def test_a_mistake_is_said_in_words_and_nothing_has_moved(case: str) -> None:
    make, message = LATE[case]
    policy = Policy(accumulate=3 if case == "batch cannot be cut" else 1)
    nets = make_nets()
    nets.G.register_buffer("seen", torch.zeros(()))

    def count(module: Any, *_: object) -> None:
        module.seen.add_(1)

    nets.G.register_forward_hook(count)
    before = copy.deepcopy([net.state_dict() for net in nets])

    def run() -> None:
        step = make()
        step.update(nets, step.init(nets, policy, None), make_batches()[0], Turn(policy, 0))

    with pytest.raises(CompositionError) as caught:
        run()
    assert str(caught.value) == message
    for net, weights in zip(nets, before, strict=True):
        torch.testing.assert_close(dict(net.state_dict()), dict(weights), rtol=0, atol=0)
    assert all(p.requires_grad for net in nets for p in net.parameters())


EARLY: dict[str, tuple[Callable[[], Any], str]] = {
    "no player": (alternate, "alternate() needs at least one player: alternate(g=player(...), d=player(...))"),
    "live without share": (
        lambda: alternate(live="g", g=PLAYERS["g"]()),
        "live='g' needs share=: there is nothing shared to be live",
    ),
    "live names no player": (
        lambda: alternate(share=translate, live="G", g=PLAYERS["g"](), d=PLAYERS["d"]()),
        "live='G' names no player; the players are g, d",
    ),
    "repeat(0)": (lambda: repeat(0, PLAYERS["g"]()), "repeat(0, ...): the number of moves must be 1 or more"),
    "every(0)": (lambda: every(0, PLAYERS["g"]()), "every(0, ...): the number of batches must be 1 or more"),
    "replayed(-1)": (
        lambda: replayed(-1, ("fake",), PLAYERS["g"]()),
        "replayed(-1, ...): the size of the pool must be 0 or more",
    ),
}


@pytest.mark.parametrize("case", EARLY)
def test_a_mistake_that_shows_at_once_is_said_at_once(case: str) -> None:
    make, message = EARLY[case]
    with pytest.raises(CompositionError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "wrap"),
    [("repeat", lambda s: repeat(2, s)), ("every", lambda s: every(2, s)), ("replayed", lambda s: replayed(1, (), s))],
    ids=["repeat", "every", "replayed"],
)
def test_staged_must_be_outermost(name: str, wrap: Callable[[Any], Step[Any, Any]]) -> None:
    with pytest.raises(CompositionError, match=rf"^{name}\(\) holds a staged step, which must be the outermost"):
        wrap(misplaced_stage()).init(None, Policy(), None)
    with pytest.raises(CompositionError, match=r"^g: alternate\(\) holds a staged step, which must be the outermost"):
        alternate(g=misplaced_stage()).init(None, Policy(), None)


def test_saved_players_must_be_those_that_go_on() -> None:
    step, nets = alternate(g=PLAYERS["g"](), d=PLAYERS["d"]()), make_nets()
    saved = snapshot(step.init(nets, Policy(), None))
    with pytest.raises(CompositionError, match="^saved were the players g, d; here they are g, e$"):
        alternate(g=PLAYERS["g"](), e=PLAYERS["e"]()).init(nets, Policy(), saved)


def test_a_player_that_trains_what_the_live_one_trains_and_more_is_no_mistake() -> None:
    both: Step[Mix, Batch] = player(
        lambda n: (n.G, n.E), lambda n, x, shared: {"x": n.G(x.a).mean()}, torch.optim.SGD, weights={"x": 1}, lr=0.1
    )
    step = alternate(share=translate, live="g", g=PLAYERS["g"](), both=both)
    nets = make_nets()
    before = [p.detach().clone() for p in nets.G.parameters()]
    _, metrics = step.update(nets, step.init(nets, Policy(), None), make_batches()[0], Turn(Policy(), 0))
    assert {"both/x", "both/total"} < set(metrics)
    assert not all(torch.equal(old, new) for old, new in zip(before, nets.G.parameters(), strict=True))
