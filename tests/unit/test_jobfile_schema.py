"""The JSON Schema, the sample job files, and that they keep up with the models."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from batchcrew.jobfile import JobFile, Problems, json_schema, load_jobfile
from batchcrew.jobfile.nodes import plain_data
from batchcrew.jobfile.syntax import read_document

SAMPLES = Path(__file__).parents[2] / "jobs"
JOB_FILES = ["demo.yaml", "reference.yaml"]


def load(name: str) -> JobFile:
    return load_jobfile(SAMPLES / name, environ={}, today=date(2026, 1, 31))


def data(name: str) -> Any:
    """The document as YAML 1.2 reads it: for PyYAML's own loaders the key `on` is true."""
    root, _ = read_document(SAMPLES / name, name, Problems())
    assert root is not None
    return plain_data(root)


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(keys_of(item) for item in value.values()))
    return set().union(*(keys_of(item) for item in value)) if isinstance(value, list) else set()


def test_the_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_schema_file_next_to_the_samples_matches_the_models() -> None:
    """Write it again with BATCHCREW_WRITE_DOCS=1 pytest tests/unit/test_docs.py."""
    assert json.loads((SAMPLES / "batchcrew.schema.json").read_text()) == json_schema()


@pytest.mark.parametrize("name", JOB_FILES)
def test_samples_keep_to_the_schema_and_say_where_it_is(name: str) -> None:
    text = (SAMPLES / name).read_text()
    jsonschema.validate(data(name), json_schema())
    assert text.startswith("# yaml-language-server: $schema=batchcrew.schema.json\n")


@pytest.mark.parametrize(("name", "count"), [("demo.yaml", 24), ("reference.yaml", 1 + 22 + 1 + 3 + 5)])
def test_samples_load(name: str, count: int) -> None:
    jobfile, problems = load(name), Problems()
    jobs = list(jobfile.jobs(problems))
    problems.raise_if_any()
    assert len(jobs) == count
    assert len({job.job_id for job in jobs}) == count
    assert jobfile.warnings == ()


def test_the_demo_gives_the_inputs_that_the_demo_crew_requires() -> None:
    for job in load("demo.yaml").jobs(Problems()):
        assert list(job.inputs) == ["budget", "interests", "duration", "age"]
        assert all(job.inputs.values())


def test_the_reference_shows_every_key() -> None:
    schema = json_schema()
    known: set[str] = set()
    for model in (schema, *schema["$defs"].values()):
        known |= set(model["properties"])
    of_basic = {"username", "password"}  # the reference shows the other strategy
    assert known <= keys_of(data("reference.yaml")) | {"crew"} | of_basic


def test_every_key_is_described() -> None:
    schema = json_schema()
    for model in (schema, *schema["$defs"].values()):
        for key, shape in model["properties"].items():
            assert shape.get("description") or "$ref" in shape, key


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ({"crew": {"url": "embedded"}, "jobs": [{"id": 7}]}, True),
        ({"crew": {"url": "embedded"}, "jobs": [{"rows": "x.csv"}], "run": {"concurrency": "${N}"}}, True),
        ({"crew": {"url": "embedded"}, "jobs": [{"rows": "x.csv"}], "run": {"concurrency": "many"}}, False),
        ({"crew": {"url": "embedded"}, "jobs": [{"rows": "x.csv", "grid": {}}]}, False),
        ({"crew": {"url": "embedded"}, "crews": {"a": {"url": "embedded"}}, "jobs": [{}]}, False),
        ({"jobs": [{}]}, False),
        ({"crew": {"url": "embedded"}, "jobs": []}, False),
        ({"crew": {"url": "embedded"}, "jobs": [{}], "job": 1}, False),
    ],
)
def test_the_schema_accepts_valid_job_files_only(document: dict[str, Any], valid: bool) -> None:
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(document) is valid
