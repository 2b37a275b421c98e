"""Kill a compile at random moments and see whether the next one goes on from there.

    python benchmarks/kill_resume.py [--kills 10] [--seed 0]

Compiles `examples/lenet` without interruption, then again with an empty store, killed by SIGKILL at
random moments until it has been killed often enough, then once more to the end. Every artefact
seen after a kill must be whole, and the last ones must have the bytes of the first. Writes
`results/kill_resume.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lenet_curve import machine

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "examples" / "lenet" / "lenet.lotto"


def start(out: Path, store: Path) -> subprocess.Popen[bytes]:
    """A compile in a process group of its own, children included."""
    command = [sys.executable, "-m", "lottoc.cli", "compile", str(RECIPE), "-q"]
    command += ["-o", str(out), "--store", str(store)]
    return subprocess.Popen(command, start_new_session=True)


def files(folder: Path) -> dict[str, bytes]:
    """What a user of the folder can see."""
    if not folder.exists():
        return {}
    visible = (p for p in sorted(folder.iterdir()) if not p.name.startswith("."))
    return {p.name: p.read_bytes() for p in visible}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        began = time.monotonic()
        assert start(folder / "whole", folder / "store-1").wait() == 0
        whole = time.monotonic() - began
        expected = files(folder / "whole")
        moments, halves, finished = [], 0, 0
        began = time.monotonic()
        # each kill comes a random share of what an undisturbed run takes after its start; early
        # kills only re-import, so moments are drawn up to a fifth of it and progress accumulates
        while len(moments) < arguments.kills:
            process = start(folder / "out", folder / "store-2")
            moment = draw.uniform(0.2, whole / 5)
            try:
                process.wait(timeout=moment)
                finished += 1  # done before the kill: compile again from an empty store
                (folder / "store-2").rename(folder / f"store-2-{finished}")
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                moments.append(round(moment, 2))
            seen = files(folder / "out")
            halves += any(seen[name] != expected.get(name) for name in seen)
        assert start(folder / "out", folder / "store-2").wait() == 0
        interrupted = time.monotonic() - began
        same = files(folder / "out") == expected
        left = [p.name for p in (folder / "out").iterdir() if p.name.startswith(".")]
    result = {
        "machine": machine(),
        "seconds_uninterrupted": round(whole, 1),
        "seconds_with_kills": round(interrupted, 1),
        "killed_after_seconds": moments,
        "runs_that_finished_before_their_kill": finished,
        "half_written_artefacts_seen": halves,
        "same_bytes_at_the_end": same,
        "left_over_files": left,
    }
    (ROOT / "benchmarks" / "results").mkdir(exist_ok=True)
    text = json.dumps(result, indent=2) + "\n"
    (ROOT / "benchmarks" / "results" / "kill_resume.json").write_text(text)
    print(text, end="")
    sys.exit(0 if same and not halves else 1)


if __name__ == "__main__":
    main()
