"""Kills at pseudo-random moments, with the command as users start it: benchmarks/results/evidence-kills*.json.

Twenty kills of runs in one piece; of runs with stages, two within each stage (one in the last), one at each border.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from killing import (
    KINDS,
    STAGED,
    STEPS,
    Moment,
    Outcome,
    by_command,
    finish,
    killed_and_resumed,
    moments,
    moments_in_stages,
    train,
    write_photographs,
)
from results import write

COUNT, SEED = 20, 2024


def kill_all(name: str, kinds: Sequence[str], when: Sequence[Moment]) -> bool:
    """Run all kills and write what came of them; True if every resumed run equals the undisturbed one."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = write_photographs(folder / "data")
        whole = {kind: finish(train(kind, data, folder / kind, by_command), folder / kind) for kind in kinds}
        outcomes: list[Outcome] = []
        for index, moment in enumerate(when):
            kind = kinds[index % len(kinds)]
            out = folder / f"{kind}-{index}"
            outcome = killed_and_resumed(kind, data, out, moment, whole[kind], start=by_command, again=by_command)
            half = ", a checkpoint or model half written" if outcome.half_written else ""
            told = "equal" if not outcome.differs else f"DIFFERS in {', '.join(outcome.differs)}"
            print(f"{index + 1:2} {kind:16} killed after batch {outcome.batch} of {STEPS}{half}: {told}", flush=True)
            outcomes.append(outcome)
    differing = {each for outcome in outcomes for each in outcome.differs}
    found = {
        "kills": len(outcomes),
        "batches": STEPS,
        "weights_equal": not differing - {"metrics.jsonl"},  # and pools, optimisers, samples: every file
        "metrics_equal": "metrics.jsonl" not in differing,
        "moments": [outcome._asdict() for outcome in outcomes],
    }
    write(name, found)
    return not differing


def main() -> int:
    """Run all kills; 1 if a resumed run differs from the undisturbed one."""
    pieces = kill_all("evidence-kills", list(KINDS), moments(COUNT, SEED))
    stages = kill_all("evidence-kills-singan", list(STAGED), moments_in_stages(SEED))
    return 0 if pieces and stages else 1


if __name__ == "__main__":
    sys.exit(main())
