from __future__ import annotations

import torch
from torch import nn

from i2i import Example, part
from i2i.testing.built import Built

EXAMPLE = Example({}, ((2, 3, 4, 4),))


class Noisy(nn.Conv2d):
    def forward(self, x):
        self.bias.data += 1
        return super().forward(x) + torch.rand(1)


@part(example=EXAMPLE)
def noisy():
    return Noisy(3, 3, 1)


def test_it_runs_from_where_it_began():
    built = Built(noisy)
    state = torch.get_rng_state()
    assert torch.equal(built.run(), built.run())
    assert torch.equal(built.run(), built.run(built.again()))
    assert built.run(inputs=[built.inputs[0][:1]]).shape == (1, 3, 4, 4)
    assert torch.equal(torch.get_rng_state(), state)


def test_another_net_is_run_as_it_is():
    built = Built(noisy)
    other = built.again()
    assert not torch.equal(built.run(other), built.run(other))


def test_in_float64_it_computes_the_same():
    built = Built(noisy)
    built.net.eval()
    twin = built.precise()
    assert not twin.net.training
    assert twin.run().dtype == torch.float64
    torch.testing.assert_close(twin.run().float(), built.run(), rtol=0, atol=1e-5)
    assert built.net.weight.dtype == built.inputs[0].dtype == torch.float32


def test_nets_of_the_example_stay_as_they_are():
    inner = nn.Conv2d(3, 3, 1)

    @part(example=Example({"net": inner}, ((2, 3, 4, 4),)))
    def outer(net):
        return nn.Sequential(net)

    assert Built(outer).precise().run().dtype == torch.float64
    assert inner.weight.dtype == torch.float32


def test_what_cannot_compute_in_float64_stays_as_it_is():
    class Single(nn.Conv2d):
        def forward(self, x):
            return torch.zeros(x.shape).lerp(super().forward(x), 0.5)

    built = Built(part(example=EXAMPLE)(lambda: Single(3, 3, 1)))
    assert built.precise() is built
    assert built.run().dtype == torch.float32
