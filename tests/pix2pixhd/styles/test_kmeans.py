from __future__ import annotations

import pytest
import torch
from sklearn.cluster import KMeans

from i2i.errors import DataError, SettingsError
from i2i_pix2pixhd.styles.kmeans import Clusters, kmeans


def inertia(points: torch.Tensor, centres: torch.Tensor) -> float:
    distances = (points.double()[:, None] - centres.double()[None]).square().sum(2)
    return float(distances.min(1).values.sum())


def blobs(number: int, count: int, dims: int, spread: float, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    middles = torch.rand(count, dims, generator=draw) * 2 - 1
    which = torch.randint(count, (number,), generator=draw)
    return middles[which] + spread * torch.randn(number, dims, generator=draw)


@pytest.mark.parametrize(
    ("number", "count", "dims", "spread"),
    [(40, 3, 3, 0.02), (300, 10, 3, 0.1), (300, 10, 3, 0.5), (15, 10, 2, 0.3), (800, 10, 1, 0.2), (200, 20, 5, 0.3)],
)
def test_no_worse_than_sklearn(number: int, count: int, dims: int, spread: float) -> None:
    ratios = []
    for seed in range(6):
        points = blobs(number, count, dims, spread, seed)
        theirs = KMeans(count, n_init=10, random_state=0).fit(points.double().numpy())
        found = kmeans(points, count)
        assert found.inertia == pytest.approx(inertia(points, found.centres), rel=1e-5)
        assert found.centres.shape == (count, dims)
        assert found.sizes.sum() == number
        ratios.append(found.inertia / theirs.inertia_)
    # Both end in local minima: of six sets of points one may be some percent above the other, as far as they differ.
    assert sum(ratios) / len(ratios) < 1.01
    assert max(ratios) < 1.05


def test_clusters_that_anybody_sees() -> None:
    middles = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    near = torch.tensor([[0.01, 0.0], [-0.01, 0.0], [0.0, 0.02], [0.0, -0.02]], dtype=torch.float64)
    points = torch.cat((middles[0] + near, middles[1] + near[:2], middles[2] + near, middles[2] + 2 * near[:2]))
    found = kmeans(points, 3, seed=4)
    assert found.sizes.tolist() == [6, 4, 2]  # the largest first
    torch.testing.assert_close(found.centres, middles[[2, 0, 1]])
    # Squares of 0.01, 0.02: 2 (1 + 4) of four points, 2 of two, and 8 of the two that lie twice as far.
    assert found.inertia == pytest.approx(1e-4 * (10 + 2 + 10 + 8))


def test_every_centre_is_the_mean_of_what_is_nearest_to_it() -> None:
    points = blobs(150, 6, 3, 0.4, 1).double()
    found = kmeans(points, 6)
    nearest = (points[:, None] - found.centres).square().sum(2).argmin(1)
    assert nearest.bincount(minlength=6).tolist() == found.sizes.tolist()
    for place, centre in enumerate(found.centres):
        torch.testing.assert_close(centre, points[nearest == place].mean(0))


def test_fewer_points_than_centres() -> None:
    points = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [1.0, 2.0], [3.0, 3.0], [3.0, 3.0]])
    found = kmeans(points, 10)
    assert found.centres.tolist() == [[1.0, 2.0], [3.0, 3.0], [0.0, 0.0]]
    assert found.sizes.tolist() == [3, 2, 1]
    assert found.inertia == 0
    assert kmeans(points, 3).centres.equal(found.centres)
    two = kmeans(points, 2)
    assert two.sizes.tolist() == [4, 2]
    assert two.centres.tolist() == [[0.75, 1.5], [3.0, 3.0]]
    assert two.inertia == pytest.approx(3 * (0.25**2 + 0.5**2) + 0.75**2 + 1.5**2)
    assert kmeans(points[:1], 1).centres.tolist() == [[1.0, 2.0]]


def test_many_equal_points_leave_no_centre_without_points() -> None:
    points = torch.cat((torch.zeros(500, 2), torch.eye(2), -torch.eye(2), torch.ones(1, 2)))
    for seed in range(20):
        found = kmeans(points, 5, seed=seed, restarts=1)
        assert len(found.sizes) == 5
        assert (found.sizes > 0).all()


def test_a_centre_that_loses_its_points_begins_anew() -> None:
    from i2i_pix2pixhd.styles.kmeans import _settled

    rows = torch.tensor([[0.0], [1.0], [10.0], [30.0]], dtype=torch.float64)
    starts = torch.tensor([[0.0], [100.0], [100.0]], dtype=torch.float64)  # two of them get no point at first
    centres, sizes, total = _settled(rows, torch.ones(4, dtype=torch.float64), starts)
    assert sorted(centres[:, 0].tolist()) == [0.5, 10.0, 30.0]
    assert sorted(sizes.tolist()) == [1, 1, 2]
    assert total == 0.5


def test_the_seed_decides_and_nothing_else() -> None:
    points = blobs(200, 30, 3, 0.3, 0)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = kmeans(points, 8, seed=3, restarts=1)
    assert torch.random.get_rng_state().equal(before)
    torch.manual_seed(2)
    assert kmeans(points, 8, seed=3, restarts=1).centres.equal(one.centres)
    others: list[Clusters] = [kmeans(points, 8, seed=seed, restarts=1) for seed in range(6)]
    assert len({round(each.inertia, 6) for each in others}) > 1
    assert kmeans(points, 8, seed=3).inertia <= one.inertia


def test_what_it_cannot_do() -> None:
    with pytest.raises(SettingsError, match=r"count \(=0\) must be a whole number of at least 1"):
        kmeans(torch.zeros(3, 2), 0)
    with pytest.raises(SettingsError, match=r"seed \(=-1\) must be a whole number of at least 0"):
        kmeans(torch.zeros(3, 2), 1, seed=-1)
    for points in (torch.zeros(0, 3), torch.zeros(3), torch.tensor([[1.0], [torch.nan]])):
        with pytest.raises(DataError, match=r"k-means needs \(n, d\) of finite numbers"):
            kmeans(points, 2)
