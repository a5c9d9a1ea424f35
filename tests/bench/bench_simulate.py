"""The simulated sale of a million, measured: time and memory of the whole command.

    python -m tests.bench.bench_simulate [--crowd 1000000] [words of `waitroom simulate` …]

The budget is 60 s and 500 MB resident on one core. Processor time is what counts where cores are shared.
"""

import argparse
import resource
import subprocess
import sys
import time

BUDGET_S, BUDGET_MB = 60, 500
SALE = ["--rate", "400/s", "--over", "30m", "--no-shows", "20%", "--slow-tabs", "10%", "--patience", "1h"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--crowd", type=int, default=1_000_000)
    known, words = parser.parse_known_args()
    started = time.monotonic()
    command = [sys.executable, "-m", "waitroom", "simulate", "--crowd", str(known.crowd), *(words or SALE)]
    subprocess.run(command, check=True)
    wall_s = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s, resident_mb = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(
        f"\n{known.crowd:,} people: {wall_s:.1f} s ({cpu_s:.1f} s of processor), {resident_mb:.0f} MB resident at most"
    )
    print(
        f"budget {BUDGET_S} s, {BUDGET_MB} MB: {'kept' if cpu_s <= BUDGET_S and resident_mb <= BUDGET_MB else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
