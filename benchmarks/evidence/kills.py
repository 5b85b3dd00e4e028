"""Twenty kills at pseudo-random moments, with the command as users start it: benchmarks/results/evidence-kills.json."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from killing import KINDS, STEPS, Outcome, by_command, finish, killed_and_resumed, moments, train, write_photographs
from results import write

COUNT, SEED = 20, 2024


def main() -> int:
    """Run all kills; 1 if a resumed run differs from the undisturbed one."""
    kinds = list(KINDS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = write_photographs(folder / "data")
        whole = {kind: finish(train(kind, data, folder / kind, by_command), folder / kind) for kind in kinds}
        outcomes: list[Outcome] = []
        for index, moment in enumerate(moments(COUNT, SEED)):
            kind = kinds[index % len(kinds)]
            out = folder / f"{kind}-{index}"
            outcome = killed_and_resumed(kind, data, out, moment, whole[kind], start=by_command, again=by_command)
            half = ", a checkpoint or model half written" if outcome.half_written else ""
            told = "equal" if not outcome.differs else f"DIFFERS in {', '.join(outcome.differs)}"
            print(f"{index + 1:2} {kind:8} killed after batch {outcome.batch} of {STEPS}{half}: {told}", flush=True)
            outcomes.append(outcome)
    differing = {name for outcome in outcomes for name in outcome.differs}
    found = {
        "kills": len(outcomes),
        "batches": STEPS,
        "weights_equal": not differing - {"metrics.jsonl"},  # and pools, optimisers, samples: every file
        "metrics_equal": "metrics.jsonl" not in differing,
        "moments": [outcome._asdict() for outcome in outcomes],
    }
    write("evidence-kills", found)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
