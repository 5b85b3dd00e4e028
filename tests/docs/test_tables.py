from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_up_to_date(tables):
    for name in tables.PAGES:
        page = (ROOT / "docs" / name).read_text("utf-8")
        assert tables.rendered(page) == page, f"docs/{name}: run python docs/tables.py"
        assert "<!-- table:" in page


def test_every_table_has_its_place(tables):
    text = "".join((ROOT / "docs" / name).read_text("utf-8") for name in tables.PAGES)
    assert all(f"<!-- table: {name} -->" in text for name in tables.TABLES)


def test_settings_show_default_and_docstring(tables):
    rows = tables.recipe_settings()
    meaning = "Fakes remembered per direction, to be judged again later; 0 for none."
    assert f"| `--pool-size` | `50` | {meaning} | `pool_size` |" in rows
    assert any(row.startswith("| `--skip-bad` | `false` |") for row in tables.run_settings())


def quartiles(kind: str, *values: float) -> dict[str, float]:
    return dict(zip((f"{kind}_q1", f"{kind}_median", f"{kind}_q3"), values, strict=True))


def test_a_table_for_each_processor(tables, tmp_path, monkeypatch):
    info = quartiles("ratio", 0.91, 0.95, 0.99) | quartiles("aa", 0.98, 1.0, 1.02) | quartiles("wall", 7, 8, 9)
    extra = info | {"torch": "2.14.1", "cores": 2, "flags": ["avx2"], "target": 0.8}
    for name in ("One", "Two"):
        benchmark = {"name": "test_unpaired[8]", "extra_info": {**extra, "processor": name}}
        result = {"benchmarks": [benchmark], "datetime": "2030-01-02T03:04:05+00:00"}
        (tmp_path / f"speed-{name.lower()}.json").write_text(json.dumps(result))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    lines = tables.TABLES["benchmarks-cpu"]()
    row = "| loading images, batch of 8 | 0.91 | 0.95 | 0.99 | 0.8 | 0.98 to 1.02 |"
    assert lines.count(row) == 2
    first, second = (lines.index(f"{name}, 2 cores (avx2), torch 2.14.1, 2030-01-02:") for name in ("One", "Two"))
    assert first < lines.index(row) < second
    assert not any("wall" in line for line in lines)
    assert any(line.startswith("| CycleGAN 128 | not measured |") for line in lines)
    assert not any(line.startswith(("| kernel", "| device")) for line in lines)  # which are of GPUs


def row(group: str, variant: str, status: str = "ok", name: str = "net", **figures: object) -> dict[str, object]:
    return {"group": group, "name": name, "variant": variant, "status": status, **figures}


def on_a_gpu(**machine: str) -> dict[str, object]:
    """What the suite writes: ours is twice as fast as the plain step, and what is compiled 1.6 times."""
    timed = {"host_ms": 1.0, "aa_q1": 0.99, "aa_q3": 1.01, "memory_gb": 2.5, "launches": 300, "kernels": 400}
    ours = timed | {"ms_median": 10.0, **quartiles("ratio", 1.9, 2.0, 2.1), "floor_ms": 2.5, "of_floor": 0.25}
    gated = {
        "g/adv": {"base": 1.0, "tried": 1.2, "apart": 0.2, "spread": 0.1},
        "images: error": {"base": 50.0, "tried": 51.0, "apart": 1.0, "spread": 2.0},
        "images: apart": {"base": 28.0, "tried": 20.0, "apart": -8.0, "spread": 2.0},
    }
    top = [["gemm", 4.0, 20], ["norm<a|b>", 1.0, 50]]
    aims = {"target_ms": 8.0, "target_ratio": 1.5, "busy_ms": 8.0, "top": top}
    rows = [
        row("ceiling", "bf16", name="product", tflop_per_s=800.0),
        row("check", "a", passed=True),
        row("check", "b", passed=False),
        row("check", "c", "error"),
        row("step/net", "eager_ref", ms_median=20.0, host_ms=19.0, memory_gb=3.5, launches=700),
        row("step/net", "ours", **ours, **aims),
        row("step/net", "eager_tuned", **timed, ms_median=16.0, **quartiles("ratio", 1.2, 1.25, 1.3)),
        row("step/net", "compile", **timed, ms_median=12.5, **quartiles("ratio", 1.5, 1.6, 1.7)),
        row("step/net", "without graph", **timed, ms_median=40.0, **quartiles("ratio", 0.4, 0.5, 0.6)),
        row("step/net", "without kernels", "no time"),
        row("step/net", "tf32", "error", error="capture"),
        row(
            "kernel/norm", "ours", name="64x64", ms_median=0.1, ratio_median=4.0, of_copy=0.85, errors={"result": 1e-3}
        ),
        row("kernel/norm", "compile", name="64x64", ms_median=0.15, ratio_median=2.5),
        row("kernel/norm", "ours", name="wrong", passed=False, errors={"result": 0.5}),
        row("train/singan", "eager_ref, extrapolated", name="whole", seconds_in_all=400.0),
        row("train/singan", "ours", name="whole", seconds_in_all=50.0),
        row("train/singan", "tf32, extrapolated", "no time", name="whole"),
        row("gate", "bf16", name="net", passed=True, failed=[], allowed=3.2, found=gated),
        row("memory", "fp32, recompute", ms_median=12.0, host_ms=2.0, memory_gb=1.5),
    ]
    versions = {"device": "NVIDIA H200", "torch": "2.11.0", "triton": "3.6.0", "cuda": "13.0", "cudnn": 91900}
    return {"machine": {**versions, **machine}, "rows": rows}


#: what the tables say of that, below their heads
ON_A_GPU = {
    "benchmarks-gpu": [
        "| net | 20.0 | 10.0 | 2.5 | 25% | 1.9 / 2.0 / 2.1 | 0.99 to 1.01 | 1.60 | 1.25 | "
        "8.0 ms, 1.5x: 25% over the time |",
    ],
    "benchmarks-gpu-ablation": ["| net | 10.0 | 4.00 |  |  |  |  |  |"],
    "benchmarks-gpu-kernels": [
        "| norm | 64x64 | 0.1 | 0.15 | 4.0 | 1.60 | 85% | 0.001 |",
        "| norm | wrong | wrong |  |  |  |  |  |",
    ],
    "benchmarks-gpu-whole": [
        "| eager_ref, extrapolated | 400.0 | 1.0 |",
        "| ours | 50.0 | 8.0 |",
        "| tf32, extrapolated | not measured |  |",
    ],
    "benchmarks-gpu-details": [
        "| net | eager_ref | 20.0 | 19.0 |  |  |  | 3.5 GB | 700 |",
        "| net | ours | 10.0 | 1.0 | 1.9 | 2.0 | 25% | 2.5 GB | 400 |",
        "| net | eager_tuned | 16.0 | 1.0 | 1.2 | 1.25 |  | 2.5 GB | 300 |",
        "| net | compile | 12.5 | 1.0 | 1.5 | 1.6 |  | 2.5 GB | 400 |",
        "| net | without graph | 40.0 | 1.0 | 0.4 | 0.5 |  | 2.5 GB | 300 |",
        "| net | without kernels | not measured |  |  |  |  |  |  |",
        "| net | tf32 | failed |  |  |  |  |  |  |",
        "| net | fp32, recompute | 12.0 | 2.0 |  |  |  | 1.5 GB |  |",
    ],
    "benchmarks-gpu-gate": ["| net | bf16 against TF32 | g/adv: 2.0 | 3.2 | 50.0 | 51.0 | 28.0 | 20.0 | passed |"],
    "benchmarks-gpu-profile": ["| net | `gemm` | 20 | 4.0 | 50% |", "| net | `norm<a\\|b>` | 50 | 1.0 | 12% |"],
}


@pytest.mark.parametrize("name", ON_A_GPU)
def test_figures_of_a_gpu(tables, name, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    (tmp_path / "speed-trial.json").write_text(json.dumps(on_a_gpu(device="cpu")))
    assert tables.TABLES[name]() == ["Not measured yet."]
    (tmp_path / "speed-nvidia-h200.json").write_text(json.dumps(on_a_gpu()))
    assert tables.TABLES[name]()[2:] == ON_A_GPU[name]


def test_every_table_of_a_gpu_is_checked(tables):
    assert set(ON_A_GPU) == set(tables.gpu_table.TABLES)


def test_the_gpu_and_its_checks_are_named(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert tables.TABLES["benchmarks-gpu-machine"]() == ["No GPU was measured yet."]
    (tmp_path / "speed-nvidia-h200.json").write_text(json.dumps(on_a_gpu()))
    assert tables.TABLES["benchmarks-gpu-machine"]() == [
        "NVIDIA H200 with torch 2.11.0, triton 3.6.0, CUDA 13.0, cuDNN 91900. product in bf16: 800.0 TFLOP/s. "
        "1 of 3 checks of what it computes were passed."
    ]


def test_what_was_not_measured_is_said(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    unmeasured = ("evidence_demo", "evidence_kills", "evidence_ablation", "evidence_remedies")
    for table in (getattr(tables, name)() for name in unmeasured):
        assert "not measured" in table[-1]
    ratios = tables.TABLES["benchmarks-cpu"]()
    assert ratios[0] == "Nothing was measured yet."
    assert any(line.startswith("| loading images, batch of | not measured |") for line in ratios)


def test_a_row_for_each_seed(tables, tmp_path, monkeypatch):
    names = ("input itself", "best colour map (unpaired)", "model before training", "model after training")
    result = {name: {"psnr": 10.0 + i, "ssim": 0.5} for i, name in enumerate(names)}
    (tmp_path / "evidence-demo-cyclegan.json").write_text(
        json.dumps({"seeds": [{"seed": 3, "seconds": 120.4, "result": result}]})
    )
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    cells = [f"{10 + i}.00 dB, SSIM 0.500" for i in range(4)]
    assert tables.evidence_demo()[-1] == f"| 3 | {' | '.join(cells)} | +2.00 dB | 120 s |"


def test_the_demo_of_pairs_shows_the_mean_image_too(tables, tmp_path, monkeypatch):
    names = ("input itself", "best colour map", "mean image", "model before training", "model after training")
    result = {name: {"psnr": 10.0 + i, "ssim": 0.5} for i, name in enumerate(names)}
    run = {"seed": 0, "seconds": 200.0, "processor_seconds": 90.4, "result": result}
    (tmp_path / "evidence-demo-pix2pix.json").write_text(json.dumps({"seeds": [run]}))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    cells = [f"{10 + i}.00 dB, SSIM 0.500" for i in range(5)]
    told = f"| 0 | {' | '.join(cells)} | +3.00 dB | 200 s (90 s of one core) |"
    assert tables.TABLES["evidence-demo-pix2pix"]()[-1] == told
    assert tables.recipe_settings(tables.Pix2PixSettings)[-1].startswith("| `--discriminator-lr` | none |")


def test_the_ablation_shows_mean_and_spread(tables, tmp_path, monkeypatch):
    def likeness(psnr: float, ssim: float) -> dict[str, float]:
        return {"psnr": psnr, "ssim": ssim}

    def run(row: str, seed: int, psnr: float) -> dict[str, object]:
        forward, back = likeness(psnr, psnr / 100), likeness(psnr - 5, -0.04)
        return {"row": row, "seed": seed, "a2b": forward, "b2a": back, "cycle_a": likeness(30 + psnr, 0.9)}

    runs = [run("full", 0, 18.0), run("GAN alone", 0, 10.0), run("full", 1, 21.0)]
    simple = {"a2b": {"input itself": likeness(14, 0.5)}, "b2a": {"input itself": likeness(13, 0.4)}}
    (tmp_path / "evidence-ablation.json").write_text(json.dumps({"baselines": simple, "runs": runs}))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert tables.evidence_ablation()[2:] == [
        "| input itself | 14.0 | .50 | 13.0 | .40 |  |  |  |",
        "| full | 19.5 (18.0 to 21.0) | .20 (.18 to .21) | 14.5 (13.0 to 16.0) | -.04 (-.04 to -.04) | "
        "49.5 (48.0 to 51.0) | 2 | 2 |",
        "| GAN alone | 10.0 | .10 | 5.0 | -.04 | 40.0 | 1 | 1 |",
    ]
    right = {"row": "R1", "seed": 0, "a2b": likeness(9, 0.2), "b2a": likeness(9, 0.0), "cycle_a": likeness(9, 0.2)}
    (tmp_path / "evidence-remedies.json").write_text(json.dumps({"baselines": simple, "runs": [right]}))
    assert tables.evidence_remedies()[2:] == ["| R1 | 9.0 | .20 | 9.0 | .00 | 9.0 | 0 | 1 |"]


def test_a_difference_after_kills_stands_out(tables, tmp_path, monkeypatch):
    moments = [{"half_written": True}, {"half_written": False}, {"half_written": True}]
    found = {"kills": 20, "batches": 300, "weights_equal": True, "metrics_equal": False, "moments": moments}
    (tmp_path / "evidence-kills.json").write_text(json.dumps(found))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert tables.evidence_kills()[-2] == "| in one piece | 20 | 2 | 300 | yes | NO |"
    assert tables.evidence_kills()[-1] == f"| with stages {'| not measured ' * 5}|"


def test_tiles_are_compared_with_one_pass(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert "not measured" in tables.evidence_tiles()[-1]
    seam = {"largest": -2.0, "mean": 0.126, "difference": 1.234}
    same = {"largest": 0.0, "mean": 0.0, "difference": 0.0}
    tiles = {"memory": 2**30, "seconds": 200.2, "seam": seam, "same_statistics": same}
    images = {"photograph": {"size": [20, 15], "passes": {"whole": {"memory": 2**32, "seconds": 89.6}, "tiles": tiles}}}
    (tmp_path / "evidence-tiles.json").write_text(json.dumps({"images": images}))
    assert tables.evidence_tiles()[2:] == [
        "| photograph, 20x15 | one pass | 4.00 GiB | 90 s |  |  |  |  |",
        "| photograph, 20x15 | tiles | 1.00 GiB | 200 s | -2 / +0.13 |  | +0 / +0.00 | 1.23 |",
    ]
