"""Provenance tells origins apart and survives JSON."""

import dataclasses
import importlib.metadata
import json
import subprocess
import sys

import pytest

from elicit.results import ModelId, Provenance, ResultError, canonical_json, installed_versions

ORIGIN = Provenance(
    base=ModelId("org/base", "aa"),
    post=ModelId("org/post", "bb"),
    seed=3,
    dtype="float32",
    device="cpu",
    arguments={"layers": (0, 1), "margin": 0.1, "nested": {"k": None}},
    task_digests={"facts": "cc"},
)


def test_provenance_survives_json():
    read = Provenance.from_json(json.loads(canonical_json(ORIGIN.to_json())))
    assert read == ORIGIN
    assert Provenance.from_json(Provenance().to_json()) == Provenance()


def test_provenance_holds_arguments_as_they_are_read_back():
    assert ORIGIN.arguments["layers"] == [0, 1]


def test_every_field_tells_origins_apart():
    other = Provenance(
        base=ModelId("org/base", "ab"),
        versions={},
        seed=4,
        dtype="float16",
        device="cuda",
        matmul_precision="high",
        surroundings=["training mode"],
        arguments={"margin": 0.2},
        task_digests={"facts": "cd"},
    )
    for item in dataclasses.fields(Provenance):
        changed = dataclasses.replace(ORIGIN, **{item.name: getattr(other, item.name)})
        assert changed != ORIGIN, item.name
        assert canonical_json(changed.to_json()) != canonical_json(ORIGIN.to_json())


def test_arguments_that_json_cannot_hold_are_refused_by_name():
    with pytest.raises(ResultError, match=r"arguments\.sites\[1\]"):
        Provenance(arguments={"sites": [1, object()]})


@pytest.mark.parametrize(
    "change", [{"when": "today"}, {"base": {"name": "a"}}, {"base": {"name": "a", "x": "b"}}]
)
def test_provenance_of_another_version_is_refused(change):
    with pytest.raises(ResultError, match="another version"):
        Provenance.from_json({**ORIGIN.to_json(), **change})


def test_versions_are_those_installed_and_name_what_is_missing(monkeypatch):
    found = installed_versions()
    assert found["torch"] == importlib.metadata.version("torch")
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(found) == {
        "elicit", "numpy", "python", "sae_lens", "torch", "transformer_lens", "transformers",
    }  # fmt: skip


@pytest.mark.slow(checked=True)
def test_an_error_class_costs_no_torch_and_versions_no_import():
    code = (
        "import sys\n"
        "from elicit.results import ElicitError\nfrom elicit.runs import NoProgress\n"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules), 'errors'\n"
        "from elicit.results import installed_versions\nfrom elicit.runs import RunDirectory\n"
        "installed_versions()\n"
        "heavy = {'transformers', 'transformer_lens', 'sae_lens', 'pandas', 'pyarrow', 'plotly'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
