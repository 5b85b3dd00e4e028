from __future__ import annotations

import pytest
import torch
from torch import nn

from i2i import as_generator, shortage
from i2i.errors import OutOfMemoryError
from i2i.memory import pass_bytes
from i2i.pixels import PixelFormat
from i2i.room import Room

LARGE = (1, 3, 3000, 4000)


@pytest.fixture
def free(tmp_path, monkeypatch):
    """``free(bytes)``: so much memory is there from now on; None: it is unknown."""

    def set_to(size):
        path = tmp_path / "meminfo"
        path.write_text("" if size is None else f"MemAvailable:   {size // 1024} kB\n")
        monkeypatch.setattr(shortage, "_MEMINFO", path)

    return set_to


@pytest.fixture
def net():
    return as_generator(nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 1))).eval()


def refusal(room, *given):
    with pytest.raises(OutOfMemoryError) as caught:
        room.check(*given)
    return str(caught.value)


def test_a_pass_that_does_not_fit_is_refused_with_the_largest_tile_that_does(net, free):
    free(600 * 2**20)
    before, numbers = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    # Alive at once are the 16 channels before and after ReLU, and the image.
    needed = 1.75 * 4 * 3000 * 4000 * (16 + 16 + 3) / 2**30
    assert refusal(Room(net), LARGE) == (
        f"4000x3000 pixels need about {needed:.1f} GiB in one pass, but 600 MiB are free on cpu; "
        "what needs less: --tile 1024, a smaller --size"
    )
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), numbers)
    Room(net, tile=1024).check(LARGE)


def test_a_pass_that_fits_goes_on(net, free):
    needed = round(1.75 * pass_bytes(net, LARGE))
    free(needed + 1024)
    Room(net).check(LARGE)
    free(needed - 1024)
    assert "--tile 2048" in refusal(Room(net), LARGE)


def test_tiles_need_the_whole_result(net, free):
    free(2**28)  # images and results of 275 MiB
    assert "--tile 512 or less" in refusal(Room(net), LARGE)
    assert "in tiles of 1024, but 256 MiB" in refusal(Room(net, tile=1024), LARGE)
    assert "what needs less: a smaller --tile, a smaller --size" in refusal(Room(net, tile=512), LARGE)


def test_batches_and_training_have_other_remedies(net, free):
    free(2**20)
    said = refusal(Room(net), (4, 3, 1000, 1000), "frames of ")
    assert said.startswith("frames of 4 x 1000x1000 pixels need about ")
    assert said.endswith("--batch-size 1, a smaller --size")
    assert refusal(Room(net.train()), LARGE).endswith("what needs less: a smaller --size")


def test_each_size_is_asked_for_once_and_small_ones_never(net, free):
    free(2**40)
    room = Room(net)
    room.check(LARGE)
    free(2**20)
    room.check(LARGE)
    room.check((1, 3, 1000, 2000))
    refusal(room, (1, 3, 1000, 2001))


def test_what_is_not_known_goes_on(net, free):
    free(None)
    Room(net).check(LARGE)
    Room(net).check_reading((40000, 30000), 8, PixelFormat(), resized=False)

    class Choosy(nn.Module):
        def forward(self, image, condition=None):
            return image if image.mean().item() > torch.rand(()).nonzero().numel() else image.tolist()

    free(2**20)
    Room(Choosy()).check(LARGE)


@pytest.mark.parametrize(("depth", "resized", "needed"), [(8, False, 15), (16, False, 18), (16, True, 6)])
def test_one_image_alone(net, free, depth, resized, needed):
    pixels = 2000 * 1500
    free(pixels * needed + 1024)
    Room(net).check_reading((2000, 1500), depth, PixelFormat(), resized=resized)
    free(pixels * needed - 1024)
    with pytest.raises(OutOfMemoryError, match="2000x1500 pixels need .* to be read, but .* are free; cut the image"):
        Room(net).check_reading((2000, 1500), depth, PixelFormat(), resized=resized)
