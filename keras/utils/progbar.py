"""Progbar: Keras's progress bar with time per step and ETA."""

from __future__ import annotations

import sys
import time
from typing import Any

__all__ = ["Progbar", "print_line"]

_BOLD, _GREEN, _WHITE, _RESET = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"
_FULL = "━"


def print_line(text: str) -> None:
    """`text` on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Progbar:
    """A progress bar on standard output.

    On a terminal (or in a notebook) it is redrawn at most every `interval` seconds; into a
    file, only the finished line is written.

    Args:
        target: number of steps; None if unknown.
        width: width of the bar, in characters.
        verbose: 1: bar, 2: one line at the end, 0: nothing.
        interval: seconds between two drawings.
        stateful_metrics: names of values to show as they are; others are averaged over steps.
            None: all are shown as they are.
        unit_name: what a step is called.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Any = None,
        unit_name: str = "step",
    ):
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self.stateful_metrics = None if stateful_metrics is None else set(stateful_metrics)
        self._dynamic = sys.stdout.isatty() or "ipykernel" in sys.modules
        self._values: dict[str, Any] = {}
        self._sums: dict[str, tuple[float, int]] = {}
        self._start = time.monotonic()
        self._first_step_s: float | None = None
        self._last_draw = 0.0
        self._drawn = 0
        self._seen = 0

    def is_due(self, current: int) -> bool:
        """Whether `update` would draw now: a cheap test before values are computed."""
        if self._first_step_s is None:
            self._first_step_s = time.monotonic() - self._start
        if self.verbose != 1 or not self._dynamic:
            return False
        return time.monotonic() - self._last_draw >= self.interval

    def update(self, current: int, values: Any = None, finalize: bool | None = None) -> None:
        """Show that `current` steps are done.

        Args:
            current: steps done so far.
            values: ``(name, value)`` pairs.
            finalize: whether it is the last call; by default, whether `target` is reached.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        self._take(values or (), current)
        due = self.is_due(current)
        if self.verbose == 1 and (finalize or due):
            self._draw(current, finalize)
        elif self.verbose == 2 and finalize:
            self._line(current)

    def add(self, n: int, values: Any = None) -> None:
        """Show that `n` more steps are done."""
        self.update(self._seen + n, values)

    def _take(self, values: Any, current: int) -> None:
        steps = max(current - self._seen, 1)
        for name, value in values:
            if self.stateful_metrics is None or name in self.stateful_metrics:
                self._values[name] = value
            else:
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + value * steps, count + steps)
                self._values[name] = self._sums[name][0] / self._sums[name][1]
        self._seen = current

    def _draw(self, current: int, finalize: bool) -> None:
        now = time.monotonic()
        self._last_draw = now
        text = self._progress(current)
        per_step = self._per_step(current, now)
        if self.target is None or finalize:
            text += f" {self._bold(_duration(now - self._start))}"
        else:
            text += f" {self._bold(_duration(per_step * (self.target - current)))}"
        text += f" {_step_time(per_step)}/{self.unit_name}{self._metrics()}"
        visible = len(_strip(text))
        padding = " " * max(0, self._drawn - visible)
        self._drawn = visible
        lead = "\r" if self._dynamic else ""
        sys.stdout.write(lead + text + padding + ("\n" if finalize else ""))
        sys.stdout.flush()

    def _progress(self, current: int) -> str:
        if self.target is None:
            return self._bold(f"{current}/Unknown")
        digits = len(str(self.target))
        share = min(1.0, current / self.target) if self.target else 1.0
        done = int(self.width * share)
        left = self.width - done
        bar = _FULL * done, _FULL * left
        count = self._bold(f"{current:{digits}d}/{self.target}")
        if not self._dynamic:
            return f"{count} {bar[0]}{bar[1]}"
        return f"{count} {_GREEN}{bar[0]}{_RESET}{_WHITE}{bar[1]}{_RESET}"

    def _line(self, current: int) -> None:
        now = time.monotonic()
        total = f"{current}/{self.target if self.target is not None else 'Unknown'}"
        per_step = _step_time(self._per_step(current, now))
        print_line(
            f"{total} - {_duration(now - self._start)} - {per_step}/{self.unit_name}"
            f"{self._metrics()}"
        )

    def _per_step(self, current: int, now: float) -> float:
        """Seconds per step; the first one, which may trace and compile, counts only alone."""
        elapsed = now - self._start
        if self._first_step_s is not None and current > 1:
            return (elapsed - self._first_step_s) / (current - 1)
        return elapsed / max(current, 1)

    def _metrics(self) -> str:
        shown = ""
        for name, value in self._values.items():
            if value is None:
                continue
            shown += f" - {name}: {_number(value)}"
        return shown

    def _bold(self, text: str) -> str:
        return f"{_BOLD}{text}{_RESET}" if self._dynamic else text


def _number(value: Any) -> str:
    try:
        value = float(value)
    except (TypeError, ValueError):
        return str(value)
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole > 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    if whole > 60:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole}s"


def _step_time(seconds: float) -> str:
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def _strip(text: str) -> str:
    for code in (_BOLD, _GREEN, _WHITE, _RESET):
        text = text.replace(code, "")
    return text
