"""The two sides of a comparison as processes, taking turns on an otherwise idle machine.

While one side runs the other is stopped (SIGSTOP): its thread pools would otherwise spin on
the cores it is measured against.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SIDES = ("headrace", "tensorflow")


class SideError(RuntimeError):
    """A side could not do what it was told."""


class Player:
    """A child process that runs one library; commands are methods of `child.Side`."""

    def __init__(self, library: str, data: Path, log: Path, env: dict[str, str] | None = None):
        self.library = library
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | (env or {})
        with log.open("a") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "child.py"), library, str(data)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment,
                process_group=0,  # the workers that a library starts stop with it
            )

    def tell(self, command: str, **arguments: Any) -> Any:
        """The answer to a command, the process running only meanwhile."""
        assert self._process.stdin and self._process.stdout
        os.killpg(self._process.pid, signal.SIGCONT)
        self._process.stdin.write(json.dumps([command, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SideError(f"{self.library} died in {command}({arguments})")
        os.killpg(self._process.pid, signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise SideError(f"{self.library}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """Ends the process and those it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def alternate(
    players: dict[str, Player], job: str, rounds: int, seconds: float
) -> list[dict[str, float]]:
    """The rates of each round, the sides taking turns at going first."""
    for player in players.values():
        player.tell("prepare", job=job)
    results = []
    for turn in range(rounds):
        order = list(players) if turn % 2 == 0 else list(reversed(players))
        results.append(
            {side: players[side].tell("run", job=job, seconds=seconds) for side in order}
        )
    for player in players.values():
        player.tell("drop", job=job)
    return results


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Median rates and, with both sides, the median and range of the rounds' ratios."""
    sides = rounds[0].keys()
    found: dict[str, Any] = {
        "rates": {side: statistics.median(each[side] for each in rounds) for side in sides}
    }
    if len(sides) == 2:
        ours, theirs = SIDES
        ratios = [each[ours] / each[theirs] for each in rounds]
        found["ratio"] = {
            "median": statistics.median(ratios),
            "min": min(ratios),
            "max": max(ratios),
        }
    return found


def memory(library: str, job: str, data: Path, log: Path) -> dict[str, float]:
    """Peak memory of one pass in a process of its own."""
    with Player(library, data, log) as player:
        return player.tell("memory", job=job)


def first_batches(library: str, job: str, data: Path, log: Path) -> dict[str, float]:
    """Seconds to the first batch of fresh processes: kernel caches empty, then filled."""
    with tempfile.TemporaryDirectory() as cache:
        env = {"HEADRACE_CACHE_DIR": cache, "NUMBA_CACHE_DIR": cache}
        with Player(library, data, log, env) as player:
            empty = player.tell("first_batch", job=job)
        with Player(library, data, log, env) as player:  # fills what the first one left out
            for _ in range(2):
                player.tell("memory", job=job)
        with Player(library, data, log, env) as player:
            return {"empty": empty, "filled": player.tell("first_batch", job=job)}
