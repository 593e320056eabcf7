"""Views of the ledger in Weights & Biases and TensorBoard: they look on and can delay nothing."""

from __future__ import annotations

import logging
import math
import os
import queue
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tune.ledger import Ledger, Order

__all__ = ["TensorBoardTracker", "WandbTracker", "build_trackers", "choose_wandb_mode"]

MOST_SECONDS_AT_EXIT = 30.0
_SECONDS_FOR_AN_ANSWER = 10.0
_SECONDS_TO_END = 3.0
_QUIET = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}  # no telemetry either

log = logging.getLogger("segtune")


class _Background:
    """Runs jobs one after another in a thread of its own; a fault ends it, not the search."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._closing = False
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Do this some time; returns at once."""
        self._jobs.put(job)

    def close(self, seconds: float) -> bool:
        """Wait for the jobs to be done, no longer than this; was all done?"""
        self._jobs.put(None)
        self._thread.join(seconds)
        self._closing = True
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                if not self._closing:
                    log.warning(
                        "%s stopped (%s); the search goes on without it",
                        self._name,
                        _first_line(error),
                    )
                return


class WandbTracker:
    """One W&B run per trial, grouped by study, made in the driver and never in a trial.

    A run's id follows from the study and the trial's number, so a continued search
    continues the same runs. A run is told all that the ledger knows of its trial, so
    the files of the last one written under an id are complete. When the server does
    not answer, the runs are written offline from then on, for ``wandb sync``.

    Args:
        ledger: The memory of the search.
        folder: Where W&B keeps its files: the run directory.
        mode: ``online`` or ``offline``.
        shared: Configuration that all trials share, such as the data.
    """

    def __init__(self, ledger: Ledger, folder: Path, mode: str, shared: Mapping[str, Any]) -> None:
        self._ledger, self._folder, self._mode = ledger, folder, mode
        self._shared = dict(shared)
        self._answered = False
        self._runs: dict[int, Any] = {}
        self._background = _Background("Weights & Biases")

    def started(self, order: Order) -> None:
        """Open the trial's run."""
        known = list(self._ledger.entry(order.number).rows)
        self._background.submit(lambda: self._open(order, known))

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Log an epoch's figures."""
        self._background.submit(lambda: self._log(number, row))

    def finished(self, number: int) -> None:
        """Write the summary and close the trial's run."""
        entry = self._ledger.entry(number)
        scores = [row["score"] for row in entry.rows]
        summary: dict[str, Any] = {"state": entry.state, "epochs": len(scores)}
        if entry.reason:
            summary["reason"] = entry.reason
        if scores:
            choose = max if self._ledger.file.metric.goal == "maximize" else min
            summary |= {"best_score": choose(scores), "last_score": scores[-1]}
        self._background.submit(lambda: self._close(number, summary))

    def close(self) -> None:
        """Finish what is open, within ``MOST_SECONDS_AT_EXIT`` in all."""
        self._background.submit(self._close_all)
        done = self._background.close(MOST_SECONDS_AT_EXIT)
        if not done:
            said = "Weights & Biases did not finish in %.0f s; `wandb sync` can send %s later"
            log.warning(said, MOST_SECONDS_AT_EXIT, self._folder / "wandb")
        _end_wandb(_SECONDS_TO_END if done else 0)

    def _open(self, order: Order, known: Sequence[Mapping[str, float]]) -> None:
        if order.number in self._runs:
            return
        os.environ.update(_QUIET)
        if self._mode == "online" and not self._answered:
            self._ask_server()
        self._runs[order.number] = self._new_run(order)
        for row in known:
            self._log(order.number, row)

    def _ask_server(self) -> None:
        """Go offline if nobody answers, before W&B tries for minutes and then gives up."""
        import wandb

        url = str(wandb.setup().settings.base_url)
        try:
            urllib.request.urlopen(url, timeout=_SECONDS_FOR_AN_ANSWER).close()
        except urllib.error.HTTPError:
            pass  # an answer too
        except OSError as error:
            self._mode = "offline"
            log.warning("%s does not answer (%s); W&B runs are written offline", url, error)
        self._answered = True

    def _new_run(self, order: Order) -> Any:
        import wandb

        file, entry = self._ledger.file, self._ledger.entry(order.number)
        name = f"{file.name}-{entry.point or order.number}"
        return wandb.init(
            project=file.project or "segtune",
            entity=file.entity,
            group=file.name,
            name=name if entry.seed is None else f"{name}-seed{entry.seed}",
            id=f"{self._ledger.uid}-{order.number}",
            resume="allow" if self._mode == "online" else None,
            dir=self._folder,
            mode=self._mode,  # type: ignore[arg-type]
            config={**self._shared, **order.recipe.model_dump(), "seed": order.seed},
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def _log(self, number: int, row: Mapping[str, float]) -> None:
        figures = {key: value for key, value in row.items() if key != "epoch"}
        self._runs[number].log(figures, step=int(row["epoch"]))

    def _close_all(self) -> None:
        for number in list(self._runs):
            self._close(number, {})

    def _close(self, number: int, summary: dict[str, Any]) -> None:
        run = self._runs.pop(number, None)
        if run is not None:
            run.summary.update(summary)
            run.finish()


class TensorBoardTracker:
    """One TensorBoard run per trial, under ``tensorboard/<number>`` of the run directory.

    A trial that goes on gets a new event file with all that the ledger knows, which
    makes TensorBoard drop the steps of the file before.

    Args:
        ledger: The memory of the search.
        folder: The run directory.
    """

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self._ledger, self._folder = ledger, folder
        self._writers: dict[int, Any] = {}

    def started(self, order: Order) -> None:
        """Open the trial's event file."""
        from tensorboardX import SummaryWriter

        folder = self._folder / "tensorboard" / str(order.number)
        known = list(self._ledger.entry(order.number).rows)
        self._writers[order.number] = SummaryWriter(str(folder), purge_step=1 if known else None)
        for row in known:
            self._log(order.number, row)

    def reported(self, number: int, row: dict[str, float]) -> None:
        """Write an epoch's figures."""
        self._log(number, row)

    def finished(self, number: int) -> None:
        """Close the trial's event file."""
        writer = self._writers.pop(number, None)
        if writer is not None:
            writer.close()

    def close(self) -> None:
        """Close what is open."""
        for number in list(self._writers):
            self.finished(number)

    def _log(self, number: int, row: Mapping[str, float]) -> None:
        writer = self._writers[number]
        for key, value in row.items():
            if key != "epoch" and math.isfinite(value):
                writer.add_scalar(key, value, int(row["epoch"]))
        writer.flush()


def build_trackers(ledger: Ledger, folder: Path) -> list[WandbTracker | TensorBoardTracker]:
    """The views that the study file asks for.

    Args:
        ledger: The memory of the search.
        folder: The run directory.

    Returns:
        None, one or both.
    """
    trackers: list[WandbTracker | TensorBoardTracker] = []
    mode = choose_wandb_mode(ledger.file.tracking.wandb)
    if mode is not None:
        data = ledger.file.data.model_dump(mode="json")
        shared = {"study": ledger.file.name, "demo": ledger.file.demo, "data": data}
        trackers.append(WandbTracker(ledger, folder, mode, shared))
    if ledger.file.tracking.tensorboard:
        trackers.append(TensorBoardTracker(ledger, folder))
    return trackers


def choose_wandb_mode(wish: str) -> str | None:
    """``online``, ``offline`` or None, from the study file's ``tracking.wandb``.

    ``auto`` goes online only when a key is there: in ``WANDB_API_KEY`` or in the
    netrc file that ``wandb login`` writes. ``WANDB_MODE`` has the last word.

    Args:
        wish: ``auto``, ``online``, ``offline`` or ``off``.

    Returns:
        The mode, or None for no tracking there.
    """
    forced = os.environ.get("WANDB_MODE")
    if wish == "off" or forced == "disabled":
        return None
    if forced in ("online", "offline"):
        return forced
    if wish != "auto":
        return wish
    return "online" if os.environ.get("WANDB_API_KEY") or _netrc_knows_wandb() else "offline"


def _netrc_knows_wandb() -> bool:
    import netrc

    try:
        path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
        return netrc.netrc(str(path)).authenticators("api.wandb.ai") is not None
    except (OSError, RuntimeError, netrc.NetrcParseError):
        return False


def _end_wandb(seconds: float) -> None:
    """End W&B's helper process: on leaving Python, W&B would wait for it for minutes.

    All runs are finished by now, or will not be: what they were told lies in the
    run directory, for ``wandb sync``.
    """
    if "wandb" not in sys.modules:
        return
    import wandb
    from wandb.sdk import wandb_setup

    service = wandb_setup.singleton()._connection
    process = getattr(getattr(service, "_proc", None), "_process", None)
    if process is None:
        return
    ending = threading.Thread(target=wandb.teardown, name="end of W&B", daemon=True)
    ending.start()
    ending.join(seconds)
    if ending.is_alive():
        process.kill()
        ending.join(_SECONDS_TO_END)


def _first_line(error: Exception) -> str:
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
