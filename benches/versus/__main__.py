"""Compares Headrace with TensorFlow: `python benches/versus [--job NAME ...] [--rounds N]`.

Run it as a script on an idle machine, not with `-m` from the root, which would put `./keras` in
the place of the real Keras.  Each job leaves `benches/results/<job>.json`; `--readme` renders
them into README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import duel
import machine
import table
from jobs import JOBS, Job

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benches" / "results"
DATA = ROOT / "out" / "versus"
COLD = "images"  # the pipeline whose first batch is timed from a cold process


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/versus", description=__doc__)
    parser.add_argument("--job", action="append", choices=list(JOBS), help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per job (default 5)")
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="least length of a run (default 0.5)"
    )
    parser.add_argument("--only", choices=duel.SIDES, help="run one side; writes no result")
    parser.add_argument("--fast", action="store_true", help="rates only; writes no result")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the records")
    parser.add_argument("--readme", action="store_true", help="only render what was measured")
    parser.add_argument("--list", action="store_true", help="only list the jobs")
    return parser.parse_args()


def compare(
    job: Job, players: dict[str, duel.Player], options: argparse.Namespace, log: Path
) -> dict[str, Any]:
    """Everything measured of one job."""
    rounds = duel.alternate(players, job.name, options.rounds, options.seconds)
    result = {
        "job": job.name,
        "title": job.title,
        "target": job.target,
        "unit": f"{job.unit}/s",
        **duel.summary(rounds),
        "rounds": rounds,
    }
    if options.fast:
        return result
    if job.same:
        digests = {
            side: player.tell("digest", job=job.name) for side, player in players.items()
        }
        result["equal"] = len(set(digests.values())) == 1
        result["same"] = job.same
    result["memory"] = {
        side: duel.memory(side, job.name, options.data, log) for side in players
    }
    if job.name == COLD:
        result["first_batch_s"] = {
            side: duel.first_batches(side, job.name, options.data, log) for side in players
        }
    return result


def report(result: dict[str, Any]) -> str:
    """One line for the terminal."""
    parts = [f"{result['job']:18}"]
    parts += [f"{side} {rate:,.0f} {result['unit']}" for side, rate in result["rates"].items()]
    if "ratio" in result:
        ratio = result["ratio"]
        verdict = "ok" if ratio["median"] >= result["target"] else "BELOW"
        parts.append(
            f"{ratio['median']:.2f}x ({ratio['min']:.2f}-{ratio['max']:.2f}), "
            f"aim {result['target']:g}x {verdict}"
        )
    if not result.get("equal", True):
        parts.append("NOT EQUAL")
    for key in ("memory", "first_batch_s"):
        for side, numbers in result.get(key, {}).items():
            parts.append(f"{side} " + ", ".join(f"{k} {v:.2f}" for k, v in numbers.items()))
    return " | ".join(parts)


def main() -> int:
    options = arguments()
    if options.list:
        for job in JOBS.values():
            print(f"{job.name:18} at least {job.target:g}x  {job.title}")
        return 0
    if options.readme:
        table.insert(ROOT / "README.md", table.render(table.load(RESULTS, list(JOBS))))
        return 0

    sides = (options.only,) if options.only else duel.SIDES
    options.data.mkdir(parents=True, exist_ok=True)
    log = options.data / "stderr.log"
    log.write_text("")
    players = {side: duel.Player(side, options.data, log) for side in sides}
    failed = []
    try:
        names = options.job or list(JOBS)
        if any(JOBS[name].files for name in names):
            players[sides[0]].tell("write_records")
        for name in names:
            start = time.perf_counter()
            try:
                result = compare(JOBS[name], players, options, log)
            except duel.SideError as error:
                failed.append(name)
                print(f"{name:18} failed: {error} (traceback in {log})", flush=True)
                continue
            print(f"{report(result)} | {time.perf_counter() - start:.0f} s", flush=True)
            if not options.only and not options.fast:
                result["machine"] = machine.describe()
                RESULTS.mkdir(exist_ok=True)
                text = json.dumps(result, indent=1) + "\n"
                (RESULTS / f"{name}.json").write_text(text)
    finally:
        for player in players.values():
            player.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
