"""Interruption: why a search winds down before its end, and the exit code that follows."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any

from rich.console import Console

from tune.surroundings import open_console

__all__ = ["Interrupted", "Interruption", "conclude_on_signal"]

_KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECONDS_TO_END = 20.0


class Interrupted(BaseException):
    """A signal asked the process to end, and nothing has to be told before it does."""


class Interruption:
    """A signal seen once, or a place that takes no more files: the search winds down.

    What is done so far is kept, and the same command goes on. SIGTERM and SIGHUP, the
    closed terminal, mean what SIGINT means. A second SIGINT ends the process at once.

    Args:
        kept: What the user is told of it.
    """

    def __init__(self, kept: str = "what is trained so far is kept") -> None:
        self._farewell = f"\nstopping; {kept}\n".encode()
        self.exit_code = 0
        self.reason = ""
        self._listens = self._winds_down = False

    @property
    def is_set(self) -> bool:
        """Shall the search wind down?"""
        return self.exit_code != 0

    @property
    def is_signal(self) -> bool:
        """Was it a signal?"""
        return self.exit_code > 128

    def halt(self, reason: str) -> None:
        """Wind down with exit code 1, as no trial could go on.

        Args:
            reason: A sentence for the user.
        """
        if not self.is_set:
            self.exit_code, self.reason = 1, reason

    def note(self, number: int, frame: FrameType | None) -> None:
        """Signal handler; outside of :meth:`winding_down` it raises ``Interrupted``."""
        if self.is_signal and number == signal.SIGINT:
            os._exit(128 + number)
        if self.is_signal:
            return
        self.exit_code = 128 + number
        signal.alarm(0)  # Ray's own handler, if it was there first, ends the process in 3 s
        with suppress(OSError):  # a closed terminal
            os.write(2, self._farewell)
        if not self._winds_down:
            raise Interrupted

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hold the signals while the block runs; one that was ignored before stays ignored.

        A block that has not ended 20 s after the first signal ends with the process.
        """
        kinds = [kind for kind in _KINDS if signal.getsignal(kind) != signal.SIG_IGN]
        with ExitStack() as stack:
            if not self._listens:
                self._listens = True
                stack.callback(setattr, self, "_listens", False)
                stack.enter_context(_ending_in_time())
                stack.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
                sys.unraisablehook = partial(_pass_over, sys.unraisablehook)
            for kind in kinds:
                stack.callback(signal.signal, kind, signal.signal(kind, self.note))
            yield

    @contextmanager
    def winding_down(self) -> Iterator[None]:
        """Only note a signal while the block runs: it looks for it, and ends in order.

        Holds the signals anew, as Ray takes SIGTERM for itself when it starts.
        """
        before, self._winds_down = self._winds_down, True
        try:
            with self.listening():
                yield
        finally:
            self._winds_down = before


def conclude_on_signal(
    act: Callable[[Console, Interruption], int], interruption: Interruption | None = None
) -> int:
    """Do what may take hours; a signal ends it in order, and the exit code says which.

    Args:
        act: Called with where to show things and with why to wind down; returns its exit code.
        interruption: Notes the signals; that of a training if not given.

    Returns:
        The exit code.
    """
    console, code = open_console(), 0
    interruption = interruption or Interruption()
    try:
        with interruption.listening():
            code = act(console, interruption)
    except Interrupted:
        pass
    except Exception:
        if not interruption.is_signal:  # else it broke because it was ended
            raise
    if interruption.is_signal:
        console.print("interrupted: the same command goes on from here", style="yellow")
        return interruption.exit_code
    return code


def _pass_over(hook: Callable[[Any], object], unraisable: Any) -> None:
    """Where Python cannot raise, as in a finaliser, the signal is noted nevertheless."""
    if unraisable.exc_type is not Interrupted:
        hook(unraisable)


@contextmanager
def _ending_in_time() -> Iterator[None]:
    """Have a thread see the signals, too: the main one may hang in Ray's code and hear nothing.

    Ray's processes may have got the same signal, and Ray waits for them for minutes.
    """
    hears, tells = socket.socketpair()
    tells.setblocking(False)
    before = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=_end_in_time, args=(hears,), daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        tells.close()
        listener.join()
        hears.close()


def _end_in_time(hears: socket.socket) -> None:
    """End the process at a second SIGINT, or when its time is over: what is on disk is whole."""
    first, until = 0, 0.0
    while True:
        hears.settimeout(max(until - time.monotonic(), 0.001) if first else None)
        try:
            heard = hears.recv(1)
        except TimeoutError:
            os._exit(128 + first)
        if not heard:
            return
        if first and heard[0] == signal.SIGINT:
            os._exit(128 + heard[0])
        if not first and heard[0] in _KINDS:
            first, until = heard[0], time.monotonic() + _SECONDS_TO_END
