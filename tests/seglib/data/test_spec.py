from __future__ import annotations

import pytest
from pydantic import ValidationError

from seglib.data.spec import WINDOWS, DataSpec


@pytest.mark.parametrize("name", [*WINDOWS, "Lung"])
def test_a_window_may_be_named(name: str) -> None:
    window = DataSpec.model_validate({"window_hu": name}).window_hu
    assert window == WINDOWS[name.lower()]
    assert DataSpec.model_validate({"window_hu": list(window)}).window_hu == window


def test_the_window_is_wide_unless_asked_for() -> None:
    assert DataSpec().window_hu == (-1000.0, 400.0)


def test_an_unknown_window_is_told_what_there_is() -> None:
    with pytest.raises(ValidationError, match="two numbers, or one of wide, lung, mediastinum"):
        DataSpec.model_validate({"window_hu": "liver"})
    with pytest.raises(ValidationError, match="low end must be below the high end"):
        DataSpec.model_validate({"window_hu": [5, 5]})


def test_the_schema_takes_names_and_numbers() -> None:
    schema = DataSpec.model_json_schema()["properties"]["window_hu"]
    assert schema["anyOf"][0]["enum"] == list(WINDOWS)
    assert schema["anyOf"][1]["minItems"] == 2
