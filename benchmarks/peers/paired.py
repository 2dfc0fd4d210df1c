"""Run two commands in turn and print the ratio of what they measured, pair by pair.

    python benchmarks/peers/paired.py [-n PAIRS] [--value cpu_ms] --ours 'COMMAND' --theirs 'COMMAND'

Each command ends by printing one line of JSON. The machine's speed drifts, so only times of one pair are
divided by each other; the median of the ratios (theirs / ours) and their range are what is reported. Every
process gets one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
from statistics import median

ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "RAYON", "NUMBA")
}


def run(command: str) -> dict[str, float]:
    """What the command printed on its last line."""
    done = subprocess.run(
        shlex.split(command), env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print both results of every pair, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", required=True)
    parser.add_argument("--theirs", required=True)
    parser.add_argument("-n", "--pairs", type=int, default=5)
    parser.add_argument("--value", default="cpu_ms", help="which number of both results is divided")
    given = parser.parse_args()
    ours, theirs = [], []
    for pair in range(given.pairs):
        commands = [(ours, given.ours), (theirs, given.theirs)]
        for results, command in commands if pair % 2 == 0 else reversed(commands):
            results.append(run(command))
        print(f"ours {json.dumps(ours[-1])}\ntheirs {json.dumps(theirs[-1])}", flush=True)
    ratios = [theirs[pair][given.value] / ours[pair][given.value] for pair in range(given.pairs)]
    print(f"{given.value}: ours {median(one[given.value] for one in ours):.4g}", end="")
    print(f", theirs {median(one[given.value] for one in theirs):.4g} (medians);", end=" ")
    print(f"ratio {median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g}), {given.pairs} pairs")


if __name__ == "__main__":
    main()
