from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tune.study_schema import schema, schema_text
from tune.yaml_lines import read_yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "searchspaces").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_file_fits_the_schema(path):
    jsonschema.validate(read_yaml(path)[0].plain(), schema())


def test_shipped_schema_is_current():
    assert (ROOT / "searchspaces" / "schema.json").read_text() == schema_text()


def test_schema_tells_a_suite_by_its_studies():
    jsonschema.validate({"studies": [{"space": "task1.yaml"}]}, schema())
    with pytest.raises(jsonschema.ValidationError, match="'folder' was unexpected"):
        jsonschema.validate({"studies": [{"space": "a.yaml", "folder": "x"}]}, schema())
    with pytest.raises(jsonschema.ValidationError, match="'method' was unexpected"):
        jsonschema.validate({"method": "grid", "studies": [{"space": "task1.yaml"}]}, schema())


def test_schema_knows_a_misspelt_field():
    assert "$schema" in json.loads(schema_text())
    with pytest.raises(jsonschema.ValidationError, match="batchsize"):
        jsonschema.validate({"method": "grid", "parameters": {"batchsize": {"value": 1}}}, schema())
