"""What of a place's URL may be shown, written down, and said on a command line."""

from __future__ import annotations

import pytest

from seglib.errors import RunError
from tune.urls import choose_ledger, hide_password, is_url, name_of, scrub


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@ss%2Fw@host:5/db", "postgresql://u:***@host:5/db"),
        ("postgresql://u:a/b@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:a?b#c@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u@host/db", "postgresql://u@host/db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("mysql+pymysql://u:p:q@h/db?x=a@b", "mysql+pymysql://u:***@h/db?x=a@b"),
        ("sqlite:///a/b@c.db", "sqlite:///a/b@c.db"),
        ("postgresql://h/db?user=u&Password=p@s&x=1", "postgresql://h/db?user=u&Password=***&x=1"),
        ("postgresql://h/db?sslkey=client.key", "postgresql://h/db?sslkey=client.key"),
        ("s3://KEY:SECRET@bucket/runs", "s3://KEY:***@bucket/runs"),
        ("s3://bucket/runs?aws_secret_access_key=x", "s3://bucket/runs?aws_secret_access_key=***"),
    ],
)
def test_password_is_hidden_and_nothing_else(url: str, shown: str) -> None:
    assert hide_password(url) == shown


def test_place_has_one_name_with_a_password_and_without() -> None:
    assert name_of("postgresql://u:secret@h/db") == name_of("postgresql://u@h/db")


@pytest.mark.parametrize("said", ["no user p@ss/w", "no user p%40ss%2Fw", "bad u:p%40ss%2Fw@h"])
def test_message_of_a_driver_loses_the_password_in_any_form(said: str) -> None:
    told = scrub(said, "postgresql://u:p%40ss%2Fw@h/db")
    assert "ss" not in told.replace("***", "")
    assert "***" in told


@pytest.mark.parametrize(("text", "url"), [("s3://b", True), ("/a/b", False), ("a:b", False)])
def test_path_is_no_url(text: str, url: bool) -> None:
    assert is_url(text) == url


def test_environment_names_the_ledger_where_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SEGTUNE_STORAGE", raising=False)
    assert choose_ledger(None) is None
    monkeypatch.setenv("SEGTUNE_STORAGE", "postgresql://u:secret@h/db")
    assert choose_ledger(None) == "postgresql://u:secret@h/db"
    assert choose_ledger("sqlite:///x.db") == "sqlite:///x.db"


def test_password_on_the_command_line_is_refused_and_not_repeated() -> None:
    with pytest.raises(RunError, match=r"~/\.pgpass .*PGPASSWORD, or SEGTUNE_STORAGE") as caught:
        choose_ledger("postgresql://u:secret@h/db")
    assert "secret" not in str(caught.value)
