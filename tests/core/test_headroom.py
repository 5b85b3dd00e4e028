"""The line on memory before training: what it says, and with which settings it would fit."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from types import SimpleNamespace

import attrs
import pytest
import torch

from i2i import shortage
from i2i.headroom import Planned, disk_line, memory_line
from i2i.memory import estimate
from i2i.policy import Policy
from i2i.registry import recipe
from i2i.settings import RunSettings
from i2i.shortage import free_memory
from i2i.values import Single

CODE = """
import attrs, random, torch
from torch import nn
import i2i
from i2i.layers import sequence

@attrs.frozen
class Settings:
    steps: int = 3
    batch_size: int = 4
    crop_size: int = 64
    recompute: bool = False
    step_reads: bool = False

@attrs.frozen
class Plain:
    steps: int = 3

@attrs.frozen
class Staged(Settings):
    steps: tuple[int, ...] = ()

def net(recompute):
    random.random()
    torch.rand(1, device="cpu")
    layers = [[nn.Conv2d(3, 3, 1), nn.Tanh(), nn.Conv2d(3, 3, 1), nn.Tanh()] for _ in range(4)]
    return sequence(*layers, recompute=recompute)

def build(settings, run):
    recompute, size = getattr(settings, "recompute", False), getattr(settings, "crop_size", 64)
    def loss(n, x):
        made = n.G(x.image)
        if getattr(settings, "step_reads", False):
            made = made[made.nonzero().sum():]
        return {"size": made.float().square().mean()}
    assert isinstance(settings.steps, tuple) == isinstance(settings, Staged)
    step = i2i.player(lambda n: n.G, loss, torch.optim.Adam, weights={"size": 1}, lr=0.1)
    batch = i2i.Single(torch.zeros(2, 3, size, size))
    return i2i.Recipe(nets=lambda: i2i.nets(G=net(recompute)), step=step, data=lambda: [batch], length=3,
                      preview=lambda nets, batch: {}, models=lambda nets: {}, preview_batch=lambda: batch)
"""
PLUGIN = """
import i2i
@i2i.hookimpl
def register_recipes(register):
    register("deep", "deep_code:Settings", "deep_code:build")
    register("plain", "deep_code:Plain", "deep_code:build")
    register("staged", "deep_code:Staged", "deep_code:build")
"""


@pytest.fixture
def planned(install):
    """``planned(name, policy, **settings)``: a run of the toy recipe."""
    install("deep", "x-deep", deep_plugin=PLUGIN, deep_code=CODE)

    def make(name="deep", policy=None, resume=False, **settings):
        entry, run = recipe(name), RunSettings(resume=resume)
        chosen = entry.settings()(**settings)
        built = entry.build(chosen, run)
        return Planned(entry, chosen, run, built, built.nets(), policy or Policy(), torch.device("cpu"))

    return make


@pytest.fixture
def free(tmp_path, monkeypatch):
    """``free(bytes)``: so much memory is there from now on."""

    def set_to(size):
        path = tmp_path / "meminfo"
        path.write_text(
            f"MemTotal:       99999999 kB\nMemFree:  12 kB\nMemAvailable:   {size // 1024} kB\nBuffers: 1 kB\n"
        )
        monkeypatch.setattr(shortage, "_MEMINFO", path)

    return set_to


def total(plan, batch_size=4, size=64, recompute=False, **policy):
    built = plan.entry.build(attrs.evolve(plan.settings, recompute=recompute), plan.run)
    batch = Single(torch.zeros(batch_size, 3, size, size))
    return estimate(plan.recipe.step, built.nets(), batch, Policy(**policy)).total


def enough(size):
    """The free memory of which three quarters are a little more than ``size``."""
    return round(size / 0.75 * 1.01)


def test_a_run_that_fits(planned, free):
    free(64 * 2**30)
    line = memory_line(planned())
    mib = total(planned()) / 2**20
    assert line.startswith(
        f"memory: about {mib:.1f} MiB (states 0.0 MiB, activations {mib:.1f} MiB); 64.0 GiB free on cpu"
    )


def test_a_disk_that_checkpoints_would_fill(planned, monkeypatch, tmp_path):
    """Weights and two moments of Adam, three checkpoints and the one that is being written."""
    plan = planned()
    weights = sum(4 * parameter.numel() for parameter in plan.recipe.nets().G.parameters())
    each = 3 * weights

    def disk(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
        return disk_line(plan, tmp_path / "runs" / "new")

    assert plan.needed.weights + plan.needed.states == pytest.approx(each, abs=200)  # counters of steps
    assert disk(100 * each) is None
    assert disk(8 * each) == (
        f"disk: checkpoints take {each / 2**20:.1f} MiB each, 3 are kept (--keep-last): up to {4 * each / 2**20:.1f} "
        f"MiB, of {8 * each / 2**20:.1f} MiB free"
    )
    assert ", but 0.0 MiB free" in disk(2 * each)


def test_what_cannot_be_counted_has_no_line_on_the_disk(planned, tmp_path):
    assert disk_line(planned(step_reads=True), tmp_path) is None


def test_unknown_free_memory(planned, monkeypatch, tmp_path):
    monkeypatch.setattr(shortage, "_MEMINFO", tmp_path / "none")
    assert memory_line(planned()).endswith(")")


def test_the_first_setting_that_makes_it_fit_is_named(planned, free):
    plan = planned()
    needed = {
        "--recompute": total(plan, recompute=True),
        "--accumulate 2": total(plan, accumulate=2),
        "--recompute --accumulate 4": total(plan, recompute=True, accumulate=4),
    }
    assert sorted(needed.values(), reverse=True) == list(needed.values())
    for flags, size in needed.items():
        free(enough(size))
        assert f" but {enough(size) / 2**20:.1f} MiB free on cpu; it fits with {flags} (about " in memory_line(plan)


def test_lengths_of_stages_stay_as_they_are(planned, free):
    plan = planned("staged", steps=(3, 4))
    free(enough(total(plan, recompute=True)))
    assert "; it fits with --recompute (about " in memory_line(plan)


def test_precision_where_the_batch_cannot_be_cut(planned, free):
    plan = planned(batch_size=1, recompute=True)
    free(enough(total(plan, batch_size=1, recompute=True, precision="bf16")))
    assert "it fits with --precision bf16 (about" in memory_line(plan)
    assert "--precision" not in memory_line(planned(batch_size=1, recompute=True, policy=Policy(precision="bf16")))


def test_a_smaller_crop_is_the_last_resort(planned, free):
    plan = planned(batch_size=1)
    free(enough(total(plan, batch_size=1, size=32, recompute=True, precision="bf16")))
    assert "it fits with --recompute --precision bf16 --crop-size 32 (about" in memory_line(plan)
    free(10 * 1024)
    line = memory_line(plan)
    assert "; even --recompute --precision bf16 --crop-size 16 would take " in line
    assert "fits" not in line


def test_what_is_close_to_the_free_memory_is_not_said_to_be_more(planned, free):
    plan = planned()
    free(round(total(plan) * 1.1))
    assert f", close to the {1.1 * total(plan) / 2**20:.1f} MiB free on cpu; it fits with" in memory_line(plan)


def test_random_generators_stay_as_they_are(planned, free):
    """Also where the recipe, whose nets draw, is built again for other settings."""
    plan = planned()
    free(enough(total(plan, recompute=True)))
    before = random.getstate(), torch.get_rng_state()
    assert "fits with --recompute" in memory_line(plan)
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_recipe_without_such_settings(planned, free):
    free(200 * 1024)
    assert "even --accumulate 2 --precision bf16 would take" in memory_line(planned("plain"))
    nothing_left = planned("plain", policy=Policy("bf16", accumulate=2))
    assert memory_line(nothing_left).endswith("free on cpu")


def test_a_resumed_run_is_told_only_what_it_may_change(planned, free):
    free(10 * 1024)
    assert "; even --recompute would take " in memory_line(planned(resume=True))
    assert memory_line(planned(resume=True, recompute=True)).endswith("free on cpu")


def test_a_step_that_cannot_be_counted_does_not_stop_a_run(planned):
    line = memory_line(planned(step_reads=True))
    assert line.startswith("memory: could not be estimated (DynamicOutputShapeException: ")
    assert "\n" not in line


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_what_our_allocator_holds_unused_is_free():
    device = torch.device("cuda")
    torch.empty(1, device=device)
    before = free_memory(device)
    large = torch.empty(2**28, dtype=torch.uint8, device=device)
    assert free_memory(device) <= before - 2**28
    del large
    assert free_memory(device) > before - 2**24


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_free_memory_of_this_machine():
    found = free_memory(torch.device("cpu"))
    total = int(subprocess.run(["awk", "/MemTotal/ {print $2}", "/proc/meminfo"], capture_output=True).stdout) * 1024
    assert 0 < found < total
    assert free_memory(torch.device("meta")) is None
