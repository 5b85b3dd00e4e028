"""What helps where colours come out inverted: benchmarks/results/evidence-remedies.json.

Changes of the row "full" of ablation.py, which has no identity terms; otherwise the same.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ablation import fill

ROWS: Mapping[str, Mapping[str, Any]] = {
    "full, identity 0.1": {"identity_weight": 0.1},
    "full, smaller initial weights": {"identity_weight": 0.0, "init_gain": 0.01},
    "full, R1": {"identity_weight": 0.0, "r1_weight": 0.1},
    "full, warm-up": {"identity_weight": 0.0, "warm_up": 100},
}


def main() -> int:
    """Train what is missing."""
    fill("evidence-remedies", ROWS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
