"""A database as the ledger's place: one driver per study, patient while the server is away.

Every connection to PostgreSQL that writes holds the study's lock itself. The server frees
it when the connection ends, however the driver ended; and a driver that was cut off, while
another took the study over, gets no connection any more with which it could write.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.pool import NullPool

from seglib.errors import Problem, RunError, SegtuneError, UnwritableError
from tune.postgres import SECONDS_TO_CONNECT, Line
from tune.urls import hide_password, is_postgres, scrub

__all__ = ["claim", "close", "connect", "view"]

PATIENCE_S = 60.0
"""So long a server may be away; a restart takes seconds, a standby that takes over longer."""

_RAW = re.compile(r"//[^/@:?#]*:[^@]*[/?#@][^@]*@")
_OWNER = "run"
_AWAY = (InterfaceError, InternalError, OperationalError)

Result = TypeVar("Result")

log = logging.getLogger("segtune")


def connect(url: str, study: str) -> BaseStorage:
    """A database, ready for one writing driver.

    Args:
        url: Of any database that Optuna can use.
        study: Name of the study; with PostgreSQL its lock is held while the driver lives.

    Returns:
        Optuna's storage. A server that is away is waited for, a minute at most; then its
        methods raise UnwritableError.

    Raises:
        RunError: It cannot be used, or another driver has the study.
    """

    def act() -> BaseStorage:
        line = Line(url)
        with line.making_tables() if is_postgres(url) else nullcontext():
            RDBStorage(*_engine(url, line)).engine.dispose()
        return _PatientStorage(url, study)

    return _open(url, act)


def view(url: str) -> BaseStorage:
    """The same to look at only; no lock is taken.

    Args:
        url: Of the database.

    Returns:
        Optuna's storage.

    Raises:
        RunError: It cannot be used.
    """
    engine, options = _engine(url, Line(url))
    options |= {"poolclass": NullPool} if is_postgres(url) else {}  # nobody closes it
    return _open(url, lambda: RDBStorage(engine, options, skip_table_creation=True))


def close(storage: BaseStorage) -> None:
    """End a database's connections, and with them the lock; of a journal there are none.

    Args:
        storage: Of any kind.
    """
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


def claim(storage: BaseStorage, study: str, goal: str, run: str) -> None:
    """See that a study in a database is this run directory's; the first to come has it.

    Args:
        storage: From :func:`connect`.
        study: Its name; made if it is not there.
        goal: ``maximize`` or ``minimize``.
        run: What the run directory is known by.

    Raises:
        RunError: It belongs to another one.
    """
    try:
        number = storage.get_study_id_from_name(study)
    except KeyError:
        direction = StudyDirection.MAXIMIZE if goal == "maximize" else StudyDirection.MINIMIZE
        try:
            number = storage.create_new_study([direction], study)
        except DuplicatedStudyError:
            number = storage.get_study_id_from_name(study)
    owner = storage.get_study_user_attrs(number).get(_OWNER)
    if owner is None and not storage.get_all_trials(number, deepcopy=False):
        storage.set_study_user_attr(number, _OWNER, run)
        owner = storage.get_study_user_attrs(number).get(_OWNER)
    if owner != run:
        found = f"a study {study!r} that another run directory began"
        hint = "give the --out it was begun with, or give this study another name"
        raise RunError("command line", [Problem("--storage", found, "its own study", hint)])


class _PatientStorage(RDBStorage):
    """Optuna's storage, whose calls are made again for a while when the server is away.

    What was asked for before the line broke may have been done, though nobody was told:
    each call is such that asking again does no harm.

    Args:
        url: Of the database.
        study: Whose lock is held.
    """

    def __init__(self, url: str, study: str) -> None:
        self._place, self._secret_url = hide_password(url), url
        self._gone = ""
        engine, options = _engine(url, Line(url, study))
        one = {"pool_size": 1, "max_overflow": 0} if is_postgres(url) else {}  # two would part it
        options |= one
        super().__init__(engine, options, True, skip_table_creation=True)  # both done already

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        try:
            return self._patiently(partial(super().create_new_study, directions, study_name))
        except DuplicatedStudyError:
            if study_name is None:
                raise
            return self.get_study_id_from_name(study_name)

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        number = self._patiently(partial(self._count_trials, study_id))
        create = partial(super()._create_new_trial, study_id, template_trial)
        created = self._patiently(create)
        if created.number == number:
            return created
        # made before the line broke, and once more: there is one driver, so both are ours
        for twin in self.get_all_trials(study_id, deepcopy=False)[number + 1 :]:
            self.set_trial_user_attr(twin._trial_id, "withdrawn", True)
            self.set_trial_state_values(twin._trial_id, TrialState.FAIL)
        return self.get_all_trials(study_id)[number]

    def _count_trials(self, study_id: int) -> int:
        question = text("SELECT count(*) FROM trials WHERE study_id = :study")
        with self.engine.connect() as connection:
            return int(connection.execute(question, {"study": study_id}).scalar_one())

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        tried: list[bool] = []

        def act() -> bool:
            if tried and RDBStorage.get_trial(self, trial_id).state == state:
                return True
            tried.append(True)
            return RDBStorage.set_trial_state_values(self, trial_id, state, values)

        return self._patiently(act)

    def _patiently(self, act: Callable[[], Result]) -> Result:
        if self._gone:  # once is enough: everybody who asks would wait as long
            raise UnwritableError(self._place, self._gone)
        until, pause_s = time.monotonic() + PATIENCE_S, 0.1
        while True:
            try:
                result = act()
            except (*_AWAY, StorageInternalError) as error:
                reason = scrub(_reason_of(error), self._secret_url)
                if not _is_away(error):
                    raise
                if time.monotonic() >= until:
                    self._gone = f"the database does not answer ({reason}). Bring it back; "
                    self._gone += "then the same command goes on"
                    raise UnwritableError(self._place, self._gone) from None
            else:
                if pause_s > 0.1:
                    log.warning("%s: the database answers again", self._place)
                return result
            if pause_s == 0.1:
                log.warning("%s: waiting for the database (%s)", self._place, reason)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 2.0)


def _patient(method: Callable[..., Result]) -> Callable[..., Result]:
    """The same call, made again while the server is away; done twice it is as done once."""

    def call(self: _PatientStorage, *words: Any, **named: Any) -> Result:
        return self._patiently(partial(method, self, *words, **named))

    return call


for _name in (
    "_get_trials",
    "_set_trial_param",
    "get_study_directions",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_system_attrs",
    "get_study_user_attrs",
    "get_trial",
    "get_trial_id_from_study_id_trial_number",
    "set_study_system_attr",
    "set_study_user_attr",
    "set_trial_intermediate_value",
    "set_trial_system_attr",
    "set_trial_user_attr",
):
    setattr(_PatientStorage, _name, _patient(getattr(RDBStorage, _name)))


def _is_away(error: Exception) -> bool:
    """Is it the server's or the line's fault, and not what was asked for?"""
    return isinstance(error, _AWAY) or isinstance(error.__cause__, _AWAY)


def _engine(url: str, line: Line) -> tuple[str, dict[str, Any]]:
    """What SQLAlchemy is told; of PostgreSQL it never hears the password."""
    if is_postgres(url):
        return "postgresql+psycopg://", {"creator": line.open, "pool_pre_ping": True}
    # SQLite has no server to wait for.
    server = "://" in url and not url.startswith("sqlite")
    timeout = {"connect_args": {"connect_timeout": SECONDS_TO_CONNECT}} if server else {}
    return url, {"pool_pre_ping": server, **timeout}


def _open(url: str, connect: Callable[[], BaseStorage]) -> BaseStorage:
    """What is wrong with a database is told in one sentence and without the password."""
    if _RAW.search(url):
        found, hint = hide_password(url), "in a URL / is written as %2F, @ as %40, ? as %3F"
        problem = Problem("--storage", found, "a password without / @ ? or #", hint)
        raise RunError("command line", [problem])
    if url.startswith("postgres") and not is_postgres(url):
        found, hint = hide_password(url), "the search's lock and patience are of psycopg 3"
        problem = Problem("--storage", found, "postgresql://USER@HOST/DATABASE", hint)
        raise RunError("command line", [problem])
    try:
        return connect()
    except SegtuneError:
        raise
    except Exception as error:
        # drivers have exceptions of their own, so no list of kinds would be complete
        reason = scrub(_reason_of(error), url)
        found = f"{hide_password(url)} ({type(error).__name__}: {reason})"
        wanted = "the URL of a database that answers"
        wanted += "" if is_postgres(url) else ", as in sqlite:///search.db"
        raise RunError(
            "command line", [Problem("--storage", found, wanted, _hint(error, url))]
        ) from None


def _hint(error: Exception, url: str) -> str:
    if isinstance(error, ImportError):
        if is_postgres(url):
            return "pip install -e '.[cluster]' in segtune's checkout"
        return "install the driver of that database"
    if "password" in str(error) and is_postgres(url):
        return "it belongs in ~/.pgpass (mode 0600), PGPASSWORD, or SEGTUNE_STORAGE=URL"
    return ""


def _reason_of(error: Exception) -> str:
    """The first line of what the driver of the database said."""
    cause = error.__cause__ or error
    said = str(getattr(cause, "orig", None) or cause)
    return (said.splitlines() or [""])[0]
