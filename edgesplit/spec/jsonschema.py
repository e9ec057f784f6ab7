"""JSON Schemas of the files, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any, Literal

from edgesplit.spec.cluster_sections import ClusterFile
from edgesplit.spec.model_sections import ModelFile
from edgesplit.spec.validate import Section

_FILES: dict[str, type[Section]] = {"cluster": ClusterFile, "model": ModelFile}


def json_schema(kind: Literal["cluster", "model"]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a kind of file."""
    schema = _FILES[kind].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
