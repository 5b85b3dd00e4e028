from __future__ import annotations

import pytest

from benchmarks.results_name import named, slug


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Intel(R) Xeon(R) Processor", "intel-xeon"),
        ("Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz", "intel-core-i7-8700k"),
        ("AMD Ryzen Threadripper PRO 5995WX 64-Cores", "amd-ryzen-threadripper-pro-5995wx"),
        ("AMD EPYC 9654 96-Core Processor", "amd-epyc-9654"),
        ("NVIDIA GeForce RTX™ 4090", "nvidia-geforce-rtx-4090"),
        ("NVIDIA A100-SXM4-80GB", "nvidia-a100-sxm4-80gb"),
        ("arm64", "arm64"),
    ],
)
def test_slug(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_names() -> None:
    path = named("kernels", "NVIDIA H200", "torch2.11.0+cu128", "triton3.6.0")
    assert path.name == "kernels-nvidia-h200-torch2.11.0-triton3.6.0.json"
    assert path.parent.parts[-2:] == ("benchmarks", "results")
