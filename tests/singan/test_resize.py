import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import i2i_singan.resize as module
from i2i.errors import SettingsError
from i2i_singan.resize import matrix, resize, size_of

SIZES = [(20, 1.25), (33, 1 / 0.7937), (50, 0.75), (61, 0.5), (26, 1.0), (12, 3.0), (7, 0.31), (188, 0.799176**9)]


def cubic(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def weights_of_row(length, made, scale, antialias, mirrored_before):
    """MATLAB's imresize, tap by tap, with pixels counted from 1."""
    rows = np.zeros((made, length))
    for o in range(1, made + 1):
        u = o / scale + 0.5 * (1 - 1 / scale)
        width = 4 / scale if antialias else 4
        left = math.floor(u - width / 2)
        taps = range(left, left + math.ceil(width) + 2)
        values = [(scale * cubic(scale * (u - tap)) if antialias else cubic(u - tap)) for tap in taps]
        if not mirrored_before:
            values = [value if tap > 0 else 0.0 for tap, value in zip(taps, values, strict=True)]
        for tap, value in zip(taps, values, strict=True):
            there = tap
            while not 1 <= there <= length:
                there = 1 - there if there < 1 else 2 * length + 1 - there
            rows[o - 1, there - 1] += value / sum(values)
    return rows


def as_the_authors(image, scales, size):
    """Their way of an image (1, c, h, w) in float64: 8 bits, float64, back."""
    pixels = (255 * np.clip((image.numpy() + 1) / 2, 0, 1)).astype(np.uint8).astype(np.float64)
    down, across = (
        weights_of_row(length, made, scale, scales[0] < 1, False)
        for length, made, scale in zip(image.shape[2:], size, scales, strict=True)
    )
    made = np.einsum("ah,bchw,dw->bcad", down, pixels, across) / 255
    return np.clip((made - 0.5) * 2, -1, 1)


@pytest.fixture
def image():
    return torch.rand(2, 3, 23, 31, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize(("length", "scale"), SIZES)
@pytest.mark.parametrize("reference", [False, True])
def test_matrix_is_that_of_matlab_with_either_border(length, scale, reference):
    made = math.ceil(length * scale)
    assert size_of(length, scale) == made
    wanted = weights_of_row(length, made, scale, scale < 1, not reference)
    found = matrix(length, made, scale, reference=reference)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-12)


def test_borders_of_the_authors_differ_at_the_left_only():
    difference = (matrix(40, 20, 0.5) - matrix(40, 20, 0.5, reference=True)).abs().amax(1)
    assert difference[0] > 0.02
    assert (difference[2:] == 0).all()


@pytest.mark.parametrize(("length", "made"), [(40, 50), (40, 30), (40, 20)])
def test_a_mirrored_row_is_resized_as_by_pillow(length, made):
    row = np.random.default_rng(0).random(length).astype(np.float32)
    whole = np.concatenate([row[::-1], row, row[::-1]])[None]  # far from its own borders
    wanted = np.array(Image.fromarray(whole).resize((3 * made, 1), Image.Resampling.BICUBIC))[0, made : 2 * made]
    found = matrix(length, made, made / length) @ torch.from_numpy(row).double()
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-6)


def test_smoothing_can_be_left_out():
    wanted = weights_of_row(40, 20, 0.5, False, True)
    np.testing.assert_allclose(matrix(40, 20, 0.5, antialias=False).numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize(("scale", "size"), [(1.25, (29, 39)), (0.7, (17, 22)), (1.0, (23, 31)), (1.3, (28, 36))])
def test_reference_goes_the_way_of_the_authors(image, scale, size):
    whole = tuple(math.ceil(length * scale) for length in image.shape[2:])
    wanted = as_the_authors(image, (scale, scale), whole)[:, :, : size[0], : size[1]]
    np.testing.assert_allclose(resize(image, size, scale, reference=True).numpy(), wanted, rtol=0, atol=1e-12)


def test_reference_smoothes_both_axes_or_none(image):
    found = resize(image, (17, 37), (0.7, 1.2), reference=True)
    np.testing.assert_allclose(found.numpy(), as_the_authors(image, (0.7, 1.2), (17, 37)), atol=1e-12)
    found = resize(image, (28, 22), (1.2, 0.7), reference=True)
    np.testing.assert_allclose(found.numpy(), as_the_authors(image, (1.2, 0.7), (28, 22)), atol=1e-12)


def test_by_default_each_axis_is_smoothed_where_it_is_reduced(image):
    down, across = weights_of_row(23, 17, 0.7, True, True), weights_of_row(31, 37, 1.2, False, True)
    wanted = np.clip(np.einsum("ah,bchw,dw->bcad", down, image.numpy(), across), -1, 1)
    np.testing.assert_allclose(resize(image, (17, 37), (0.7, 1.2)).numpy(), wanted, atol=1e-12)


def test_nothing_changes_at_scale_one_but_63_levels_of_the_authors():
    levels = (torch.arange(256) / 255).sub(0.5).mul(2).view(1, 1, 16, 16)
    assert torch.equal(resize(levels, (16, 16), 1), levels)
    lower = levels - resize(levels, (16, 16), 1, reference=True)
    assert (lower > 1 / 255).sum() == 63
    assert (lower < 2.01 / 255).all()


def test_a_smaller_size_is_cut_out_of_the_whole(image):
    whole = resize(image, (29, 39), 1.25)
    torch.testing.assert_close(resize(image, (28, 36), 1.25), whole[:, :, :28, :36], rtol=0, atol=1e-12)


def test_levels_beyond_the_range_are_clamped():
    edge = torch.ones(1, 1, 8, 8) * 9
    edge[..., :4] = -9
    found = resize(edge, (16, 16), 2.0)
    wanted = np.clip(edge[0, 0].numpy() @ weights_of_row(8, 16, 2.0, False, True).T, -1, 1)
    np.testing.assert_allclose(found[0, 0, 5].numpy(), wanted[3], atol=1e-6)
    assert found.abs().max() == 1


@pytest.mark.parametrize(("scale", "size"), [(1.25, (29, 39)), (0.7, (17, 22)), (3.0, (69, 93))])
@pytest.mark.parametrize("reference", [False, True])
def test_long_rows_are_resized_in_bands(image, scale, size, reference, monkeypatch):
    whole = resize(image, size, scale, reference=reference)
    monkeypatch.setattr(module, "_LARGEST", 100)
    monkeypatch.setattr(module, "_BAND", 8)
    monkeypatch.setattr(module, "_cache", {})
    torch.testing.assert_close(resize(image, size, scale, reference=reference), whole, rtol=0, atol=1e-12)
    assert not module._cache


def test_autocast_has_no_say(image):
    plain = resize(image.float(), (29, 39), 1.25)
    np.testing.assert_allclose(plain.numpy(), resize(image, (29, 39), 1.25).numpy(), atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize(image.float(), (29, 39), 1.25), plain)


def test_small_types_are_kept_and_computed_in_float32(image):
    small = image.to(torch.bfloat16)
    found = resize(small, (29, 39), 1.25)
    assert torch.equal(found, resize(small.float(), (29, 39), 1.25).to(torch.bfloat16))


def test_the_way_is_two_products_without_a_copy_or_a_read(image):
    class Calls(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.names = []

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if not function.is_view:
                self.names.append(function.overloadpacket.__name__)
            return function(*args, **(kwargs or {}))

    with Calls() as calls:
        resize(image, (29, 39), 1.25)
        calls.names.clear()  # the matrices are made once
        resize(image, (29, 39), 1.25)
    assert sorted(calls.names) == ["bmm", "clamp", "mm"]


def test_gradients_pass(image):
    image = (0.1 * image).requires_grad_()
    resize(image, (29, 39), 1.25).sum().backward()
    down, across = (weights_of_row(n, m, 1.25, False, True).sum(0) for n, m in ((23, 29), (31, 39)))
    np.testing.assert_allclose(image.grad[0, 0].numpy(), np.outer(down, across), atol=1e-12)


def test_matrices_that_were_made_in_inference_mode_serve_in_training(image):
    with torch.inference_mode():
        resize(image, (40, 41), 1.7)
    image.requires_grad_()
    resize(image, (40, 41), 1.7).sum().backward()
    assert image.grad is not None


def test_nothing_is_kept_that_has_no_numbers(image):
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert resize(mode.from_tensor(image), (50, 51), 2.1).shape == (2, 3, 50, 51)
    np.testing.assert_allclose(matrix(23, 50, 2.1).sum(1).numpy(), np.ones(50), atol=1e-12)


def test_matrices_are_kept_but_not_without_end(monkeypatch):
    monkeypatch.setattr(module, "_cache", {})
    monkeypatch.setattr(module, "_KEPT", 3)
    first = matrix(10, 20, 2.0)
    assert matrix(10, 20, 2.0) is first
    for made in (21, 22, 23):
        matrix(10, made, 2.0)
    assert len(module._cache) == 3
    assert matrix(10, 20, 2.0) is not first


@pytest.mark.parametrize(("length", "made", "scale"), [(0, 4, 1.0), (4, 0, 1.0), (4, 4, 0.0), (4, 4, math.nan)])
def test_what_cannot_be_resized_is_said(length, made, scale):
    with pytest.raises(SettingsError, match=f"cannot resize {length} pixels by {scale} to {made}"):
        matrix(length, made, scale)


@pytest.mark.parametrize(
    ("length", "scale", "reference"), [(3000, 1.2589, False), (3000, 1.2589, True), (5000, 0.83, False)]
)
def test_long_rows_take_no_matrix_that_outgrows_them(length, scale, reference):
    row = torch.rand(1, 1, 1, length, dtype=torch.float64) * 2 - 1
    if reference:
        row = torch.floor((row + 1) / 2 * 255) / 255 * 2 - 1 + 1e-9  # on the levels of 8 bits
    made = size_of(length, scale)
    left = weights_of_row(length, made, scale, scale < 1, not reference)
    expected = (row[0, 0, 0].numpy() @ left.T).clip(-1, 1)

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            self.numbers = max(self.numbers, result.numel())
            return result

    with Largest() as largest:
        across = resize(row, (1, made), (1.0, scale), reference=reference)
        down = resize(row.mT, (made, 1), (scale, 1.0), reference=reference)
    assert largest.numbers < length * made / 5
    np.testing.assert_allclose(across.flatten().numpy(), expected, atol=1e-8)
    np.testing.assert_allclose(down.flatten().numpy(), expected, atol=1e-8)
