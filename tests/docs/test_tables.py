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
    rows = tables.cyclegan_settings()
    meaning = "Fakes remembered per direction, to be judged again later; 0 for none."
    assert f"| `--pool-size` | `50` | {meaning} | `pool_size` |" in rows
    assert any(row.startswith("| `--skip-bad` | `false` |") for row in tables.run_settings())


def test_figures_come_from_the_results(tables, tmp_path, monkeypatch):
    def quartiles(kind: str, *values: float) -> dict[str, float]:
        return dict(zip((f"{kind}_q1", f"{kind}_median", f"{kind}_q3"), values, strict=True))

    info = quartiles("ratio", 0.91, 0.95, 0.99) | quartiles("aa", 0.98, 1.0, 1.02) | quartiles("wall", 7, 8, 9)
    extra = info | {"torch": "2.14.1", "cores": 2, "flags": ["avx2"], "target": 0.8}
    result = {"benchmarks": [{"name": "test_unpaired[8]", "extra_info": extra}]}
    (tmp_path / "cpu.json").write_text(json.dumps(result))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    lines = tables.benchmarks_cpu()
    assert "| unpaired, 8 | 0.91 | 0.95 | 0.99 | 0.8 | 0.98 to 1.02 |" in lines
    assert lines[-1].startswith("Measured on 2 cores (avx2) with torch 2.14.1.")
    assert not any("wall" in line for line in lines)


def test_what_was_not_measured_is_said(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    for table in (tables.evidence_demo(), tables.evidence_kills()):
        assert "not measured" in table[-1]
    assert tables.benchmarks_cpu()[-1] == "Nothing was measured yet."
    assert any(line.startswith("| unpaired | not measured |") for line in tables.benchmarks_cpu())


def test_a_row_for_each_seed(tables, tmp_path, monkeypatch):
    names = ("input itself", "best colour map (unpaired)", "model before training", "model after training")
    result = {name: {"psnr": 10.0 + i, "ssim": 0.5} for i, name in enumerate(names)}
    (tmp_path / "evidence-demo-cyclegan.json").write_text(
        json.dumps({"seeds": [{"seed": 3, "seconds": 120.4, "result": result}]})
    )
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    cells = [f"{10 + i}.00 dB, SSIM 0.500" for i in range(4)]
    assert tables.evidence_demo()[-1] == f"| 3 | {' | '.join(cells)} | +2.00 dB | 120 s |"


def test_a_difference_after_kills_stands_out(tables, tmp_path, monkeypatch):
    found = {"kills": 20, "batches": 300, "weights_equal": True, "metrics_equal": False}
    (tmp_path / "evidence-kills.json").write_text(json.dumps(found))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert tables.evidence_kills()[-1] == "| 20 | 300 | yes | NO |"
