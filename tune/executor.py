"""The Ray side of a search: Tune runs what the ledger asks for and owns no truth."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from seglib.data.splits import Split
from seglib.errors import RunError, UnwritableError
from tune.cluster import NodeLostError, require_disk, running_ray
from tune.deaths import Deaths, Fault, in_a_line
from tune.interruption import Interruption
from tune.joined import SECONDS_TO_COME_BACK, await_cluster, find_head
from tune.ledger import Ledger, Order
from tune.number_format import named
from tune.patience import Patience
from tune.probe import marked, versions_here
from tune.remote import PATIENCE_S
from tune.room import Room
from tune.study_parts import Fold
from tune.temporary import temporary_folder
from tune.trial_files import trial_folder

__all__ = ["Job", "Observer", "execute"]

MOST_STARTS_IN_VAIN = 3
SLOWEST_COPY = 5e6
"""Bytes a second: a machine that fetches the prepared data at that rate is slow, and not hung."""

log = logging.getLogger("segtune")


class Observer(Protocol):
    """Something that looks on: a screen, a tracker. It can delay nothing and decide nothing."""

    def started(self, order: Order) -> None:
        """A trial begins or goes on."""

    def reported(self, number: int, row: dict[str, float]) -> None:
        """A trial has finished an epoch."""

    def finished(self, number: int) -> None:
        """A trial has ended; the ledger knows how."""


@dataclass(frozen=True)
class Job:
    """What all trials of a search share.

    Args:
        run_dir: The run directory; trials get ``trials/<number>`` in it.
        store: The prepared data.
        split: Which groups train and which validate.
        cpus: CPU threads of a trial.
        gpus: GPUs of a trial; a fraction shares one.
        concurrent: Most trials at once; None for as many as fit.
        retries: How often a trial whose process died is tried again.
        address: Of a running Ray cluster; ``local`` starts one for this search.
        shared: Folders and URLs that each node of a joined cluster must see as this machine does.
        marks: What stands in a small file in each of them; None with a Ray of our own.
        url: The run directory's place, to which trials put their files; None for the folder.
        store_url: Where nodes take the prepared data from; None for ``store`` itself.
        store_key: What nodes copy to their own disks; None to map the files where they lie.
        patience: How long a trial may be silent before it counts as hung.
        compile: Whether networks are compiled where they train on a GPU.
        precision: Number format of recipes that leave it open; None for what each device takes.
        folds: Which groups train and validate in trials that are for a fold.
    """

    run_dir: Path
    store: Path
    split: Split
    cpus: int = 1
    gpus: float = 0.0
    concurrent: int | None = None
    retries: int = 3
    address: str = "local"
    shared: tuple[Path | str, ...] = ()
    marks: dict[str, str] | None = None
    url: str | None = None
    store_url: str | None = None
    store_key: str | None = None
    patience: Patience = field(default_factory=Patience)
    compile: bool = False
    precision: str | None = None
    folds: Mapping[Fold, Split] = field(default_factory=dict)

    def folder(self, number: int) -> Path:
        """Where a trial keeps its files."""
        return trial_folder(self.run_dir, number)

    def config(self, order: Order, ledger: Ledger) -> dict[str, Any]:
        """The plain data that ``tune.trainable.train`` works from."""
        return {
            "number": order.number,
            "recipe": named(order.recipe, self.precision).model_dump(),
            "auto_precision": order.recipe.precision == "auto",
            "seed": order.seed,
            "num_reported": order.num_reported,
            "folder": str(self.folder(order.number)),
            "url": self.url and f"{self.url}/trials/{order.number}",
            "private": self.url is not None and self.address != "local",
            "store": self.store_url or str(self.store),
            "store_key": self.store_key,
            "split": asdict(self.split if order.fold is None else self.folds[order.fold]),
            "metric": ledger.file.metric.name,
            "maximize": ledger.file.metric.goal == "maximize",
            "threads": self.cpus,
            "compiled": str(self.run_dir / "compiled") if self.compile else None,
            "joined": self.address != "local",
            "marks": self.marks,
            "versions": None if self.marks is None else versions_here(),
        }


def execute(
    ledger: Ledger,
    job: Job,
    observers: Sequence[Observer] = (),
    interruption: Interruption | None = None,
) -> int:
    """Run trials until the ledger has no more to ask; returns an exit code.

    A trial whose process dies is tried again after its last epoch, ``job.retries``
    times, and then fails: what dies with it, a process, a node or Ray, does not end
    the search. When memory runs out with several trials at once, fewer go on at a time.

    Args:
        ledger: What to run, and where results go.
        job: What all trials share.
        observers: Told of every start, epoch and end.
        interruption: Why to wind down; None for one of its own.

    Returns:
        0 when done, 1 when Ray cannot be started or nothing can be written, 130 or 143 when
        interrupted.

    Raises:
        RunError: There is no Ray cluster at the address.
    """
    interruption = interruption or Interruption()
    # where its head was, it comes back: once it has died, nothing says any more where that is
    job = replace(job, address=find_head(job.address))
    search = _Search(ledger, job, observers, interruption, Deaths(job.retries + 1))
    starts_in_vain, fault = 0, None
    with interruption.listening():
        while not interruption.is_set:
            if fault is not None and job.address != "local" and not await_cluster(job.address):
                interruption.halt(_say_gone(fault, job.address))
                break
            try:
                fault = _run_ray(search)
            except RunError as error:  # no cluster there; but if there was one, it may come back
                if fault is None:
                    raise
                fault = Fault(str(error.problems[0]))
            if fault is None or interruption.is_set:
                break
            starts_in_vain = 0 if fault.at_work else starts_in_vain + 1
            if starts_in_vain >= MOST_STARTS_IN_VAIN:
                interruption.halt(f"Ray failed {starts_in_vain} times in a row before any trial "
                                  f"was at work; the last time: {fault.what}")  # fmt: skip
                break
            again = "starting Ray again" if job.address == "local" else "joining the cluster again"
            if fault.of_memory and fault.at_work > 1:
                search.job = replace(search.job, concurrent=fault.at_work - 1)
                again += f", with {search.job.concurrent} at a time"
            log.warning("%s; %s", fault.what, again)
            ledger.take_up_unfinished()
    if interruption.exit_code == 1:
        log.error("error: %s", interruption.reason)
    return interruption.exit_code


@dataclass
class _Search:
    """What lasts from one start of Ray to the next."""

    ledger: Ledger
    job: Job
    observers: Sequence[Observer]
    interruption: Interruption
    deaths: Deaths


def _run_ray(search: _Search) -> Fault | None:
    """Ray from its start to its end; what ended it too soon, or None."""
    job = search.job
    try:
        with ExitStack() as stack:
            pulse = stack.enter_context(running_ray(job.address, job.cpus, job.concurrent))
            if pulse is not None:
                marks = stack.enter_context(marked(job.shared))
                search = replace(search, job=replace(job, marks=marks))
            stack.enter_context(search.interruption.winding_down())
            halt = search.interruption.halt
            room = Room(job.cpus, job.gpus, job.concurrent, pulse, halt=halt)
            return _run_tuner(search, room)
    except (RunError, UnwritableError):
        raise
    except Exception as error:
        return Fault(in_a_line(error))


def _run_tuner(search: _Search, room: Room) -> Fault | None:
    from ray import tune as ray_tune

    from tune.adapters import LedgerScheduler, LedgerSearcher, StopWhen
    from tune.trainable import train
    from tune.watch import NodeWatch, Silence, Watchdog

    job, interruption = search.job, search.interruption
    searcher = LedgerSearcher(
        search.ledger, job, search.observers, interruption, deaths=search.deaths, room=room
    )
    watchdog = Watchdog(search.ledger, searcher, _patience(job))
    with tempfile.TemporaryDirectory(dir=temporary_folder()) as scratch:
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(train, partial(_place_for, cpus=job.cpus, gpus=job.gpus)),
            tune_config=ray_tune.TuneConfig(
                search_alg=searcher,
                scheduler=LedgerScheduler(searcher),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=ray_tune.RunConfig(
                name="search",
                storage_path=scratch,
                verbose=0,
                stop=StopWhen(interruption),
                callbacks=[NodeWatch(searcher, room), watchdog, Silence()],
                # the searcher tries again, so that there is one count of deaths
                failure_config=ray_tune.FailureConfig(max_failures=0),
            ),
        )
        try:
            tuner.fit()
        except (Exception, NodeLostError) as error:
            require_disk()  # or no trial is to blame
            return searcher.close(error)
    return None


def _patience(job: Job) -> Patience:
    """More where files come from afar: copying the prepared data, and places that are away."""
    unknown_s, away_s = job.patience.unknown_s, 0.0
    if job.store_key:
        size = sum(file.stat().st_size for file in job.store.iterdir())
        unknown_s = max(unknown_s, size / SLOWEST_COPY)
    if job.url:  # a try that is under way when patience ends may take as long again, and more
        away_s = 3 * PATIENCE_S
    return replace(job.patience, unknown_s=unknown_s, away_s=away_s)


def _place_for(config: Mapping[str, Any], *, cpus: float, gpus: float) -> Any:
    """What Ray reserves for a trial, and on which nodes of a cluster not."""
    from ray.tune import PlacementGroupFactory

    others = {"ray.io/node-id": f"!in({','.join(config['avoid'])})"}
    where = {"bundle_label_selector": [others]} if config["avoid"] else {}
    return PlacementGroupFactory([{"CPU": cpus, "GPU": gpus}], **where)


def _say_gone(fault: Fault, address: str) -> str:
    return (f"{fault.what}; no cluster has answered at {address} for "
            f"{SECONDS_TO_COME_BACK:.0f} s; the same command goes on, also on another cluster "
            "with its --address")  # fmt: skip
