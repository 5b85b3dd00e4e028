"""The sweeps run through; what they find is drawn and tabulated. No time is asserted."""

from __future__ import annotations

import json
from math import log
from pathlib import Path

import pytest
import scaling_plots
import scaling_tables
import torch

from benchmarks.device.scaling import OwnTime, Sweeps, images, sweeps
from benchmarks.scaling import main

METHODS = ("CycleGAN", "pix2pixHD", "U-GAT-IT", "SinGAN")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the results of a trial."""
    folder = tmp_path_factory.mktemp("results")
    assert main(["--smoke", "--out", str(folder / "scaling-some-cpu-torch1.2.3.json")]) == 0
    return folder


def test_every_point_of_the_trial_is_measured_and_counted(smoke: Path) -> None:
    (path,) = smoke.glob("*.json")
    found = json.loads(path.read_text())
    rows = [row for row in found["rows"] if row["group"] == "scaling"]
    assert [row["name"] for row in rows if "size" in row["sweeps"]] == [METHODS[0], *METHODS]
    assert all(row["ms_median"] > 0 and row["ref_ms_median"] > 0 for row in rows)
    assert all(row["tflop"] > 0 and row["floor_ms"] > 0 for row in rows)
    of = {row["batch"]: row for row in rows if row["name"] == "pix2pixHD"}
    assert of[2]["tflop"] == pytest.approx(2 * of[1]["tflop"])
    assert of[2]["parameters"] == of[1]["parameters"]
    widths = {row["width"]: row for row in rows if row["name"] == "CycleGAN" and "width" in row["sweeps"]}
    assert widths[4]["tflop"] > 2 * widths[2]["tflop"]
    assert [row["scale"] for row in rows if "scale" in row["sweeps"]] == [1]


def test_the_trial_is_drawn(smoke: Path, tmp_path: Path) -> None:
    made = scaling_plots.draw(smoke, tmp_path)
    names = ["cyclegan", "pix2pixhd", "ugatit", "singan"]
    assert [path.name for path in made] == [f"scaling-{name}-some-cpu-torch1.2.3.svg" for name in names]
    assert all(1000 < path.stat().st_size < 100_000 for path in made)


def result(name: str, sweep: str, value: int, ms: float, ref_ms: float, floor_ms: float) -> dict[str, object]:
    noise = {"aa_q1": 1 - ms / 1000, "aa_q3": 1 + ms / 1000}
    times = {"ms_median": ms, "ref_ms_median": ref_ms, "ratio_median": ref_ms / ms, "floor_ms": floor_ms, **noise}
    return {"group": "scaling", "name": name, "status": "ok", "sweeps": [sweep], sweep: value, **times}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    rows = [
        {"group": "ceiling", "name": "p", "status": "ok", "tflop_per_s": 700.0},
        {"group": "ceiling", "name": "c", "status": "ok", "gb_per_s": 4000.0},
        result("pix2pixHD", "size", 128, 40.0, 200.0, 10.0),
        result("pix2pixHD", "size", 64, 20.0, 50.0, 2.5),
        {"group": "scaling", "name": "pix2pixHD", "status": "no time"},
        result("SinGAN", "scale", 1, 10.0, 20.0, 1.0),
        result("SinGAN", "scale", 8, 20.0, 80.0, 16.0),
    ]
    machine = {"device": "NVIDIA H200", "torch": "2.11.0"}
    found = {"machine": machine, "rows": rows, "ours": "bf16, one graph", "plain": "tf32", "bytes": 2}
    (tmp_path / "scaling-nvidia-h200-torch2.11.0.json").write_text(json.dumps(found))
    return tmp_path


def test_table(written: Path) -> None:
    found = scaling_tables.lines(written, lambda head, rows: [list(head), *map(list, rows)])
    assert found[0].startswith("On NVIDIA H200, with torch 2.11.0: i2i in bf16, one graph, plain PyTorch in tf32.")
    assert found[0].endswith("reaches 700.0 TFLOP/s, a large pass 4000.0 GB/s.")
    assert [line.rpartition("/")[2] for line in found if isinstance(line, str) and "](" in line] == [
        "scaling-pix2pixhd-nvidia-h200-torch2.11.0.svg)",
        "scaling-singan-nvidia-h200-torch2.11.0.svg)",
    ]
    head, *rows = (line for line in found if isinstance(line, list))
    assert len(head) == len(rows[0])
    assert rows == [
        ["pix2pixHD", "height", "64 px", "128 px", "1.00", "2.00", "2.50 to 5.00", "0.96 to 1.04", "12% to 25%"],
        ["SinGAN", "scale", "1", "8", "", "", "2.00 to 4.00", "0.98 to 1.02", "10% to 80%"],
    ]
    assert scaling_tables.lines(written / "nothing", list) == ["Nothing was measured yet."]


def test_what_is_drawn(written: Path) -> None:
    ((_, found),) = scaling_tables.results(written)
    figure = scaling_plots.figure("pix2pixHD", scaling_tables.sweeps(found)["pix2pixHD"], found)
    (axes,) = figure.axes
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert drawn == {
        "plain PyTorch, tf32": ([64, 128], [50.0, 200.0]),
        "i2i, bf16, one graph": ([64, 128], [20.0, 40.0]),
        "floor": ([64, 128], [2.5, 10.0]),
    }
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("height (pixels)", "milliseconds per step")


def test_the_same_results_make_the_same_files(written: Path) -> None:
    made = scaling_plots.draw(written, written)
    before = [path.read_bytes() for path in made]
    assert [path.read_bytes() for path in scaling_plots.draw(written, written)] == before


def test_the_centre_is_measured_once() -> None:
    of = Sweeps(images, {"size": 64, "batch": 1}, {"size": (32, 64), "batch": (1, 2), "scale": (3,)})
    assert {tuple(dict(point).items()): belongs for point, belongs in of.points().items()} == {
        (("size", 32), ("batch", 1)): ["size"],
        (("size", 64), ("batch", 1)): ["size", "batch"],
        (("size", 64), ("batch", 2)): ["batch"],
        (("scale", 3),): ["scale"],
    }


def test_sweeps_are_even_and_have_their_centre() -> None:
    meter = OwnTime(torch.device("cpu"))
    for cuda in (False, True):
        meter.cuda = cuda
        for method, of in sweeps(meter, smoke=False).items():
            assert len(of.values) == 3
            for sweep, values in of.values.items():
                assert 4 <= len(values) <= 5
                assert list(values) == sorted(set(values))
                assert of.centre.get(sweep, values[0]) in values, (method, sweep)
                assert log(values[-1] / values[0]) >= log(2), (method, sweep)
