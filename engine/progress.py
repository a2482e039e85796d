"""Progress on stderr: a live bar on a terminal, plain lines everywhere else.

Standard output carries data only, so nothing here ever writes to it.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

BAR_WIDTH = 16
REDRAW_SECONDS = 0.1
SPINNER = "|/-\\"


class Progress:
    """Shows the steps of one job."""

    def __init__(self, steps: int, stream: TextIO | None = None) -> None:
        self.steps = steps
        self.done = 0
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()

    @contextlib.contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Run one step; the line says how it went even when it raises."""
        started = time.monotonic()
        outcome = "failed after"
        stop, painter = self._start(label, started)
        try:
            yield
            outcome = "done in"
        finally:
            self._finish(stop, painter)
            self._line(label, f"{outcome} {time.monotonic() - started:.1f} s")
        self.done += 1

    def _start(self, label: str, started: float) -> tuple[threading.Event, threading.Thread | None]:
        stop = threading.Event()
        if not self.live:
            self._line(label, "...")
            return stop, None
        painter = threading.Thread(target=self._paint, args=(label, started, stop), daemon=True)
        painter.start()
        return stop, painter

    def _finish(self, stop: threading.Event, painter: threading.Thread | None) -> None:
        stop.set()
        if painter:
            painter.join()
            print("\r\033[K", end="", file=self.stream, flush=True)

    def _paint(self, label: str, started: float, stop: threading.Event) -> None:
        """Redraw the current line until the step ends."""
        turn = 0
        while not stop.wait(REDRAW_SECONDS):
            filled = BAR_WIDTH * self.done // max(self.steps, 1)
            bar = "#" * filled + "." * (BAR_WIDTH - filled)
            spin = SPINNER[turn % len(SPINNER)]
            turn += 1
            line = f"[{bar}] {spin} {self.done + 1}/{self.steps} {label} {time.monotonic() - started:.0f} s"
            print(f"\r\033[K{line}", end="", file=self.stream, flush=True)

    def _line(self, label: str, tail: str) -> None:
        print(f"engine: [{self.done + 1}/{self.steps}] {label} {tail}", file=self.stream, flush=True)
