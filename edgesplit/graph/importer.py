"""Import of an ONNX file: checked, folded by ONNX Runtime, measured, cached."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from edgesplit.errors import ModelError
from edgesplit.graph import store
from edgesplit.graph.model import Graph, Pixels

FORMAT = 2
"""Generation of the cache's contents; another one imports anew."""


def import_model(
    path: Path, cache: Path, name: str | None = None, pixels: Pixels | None = None
) -> Graph:
    """Return the graph of a static-shape ONNX file, from the cache where it was imported before.

    Args:
        path: The ONNX file; external data must lie in its folder.
        cache: A folder for folded models; made where missing.
        name: The graph's name; by default the file's stem.
        pixels: How the model itself turns pixels into its inputs; without, it is given floats.

    Raises:
        ModelError: The file is missing or damaged, its inputs have dynamic shapes or strings, or
            its external data is missing, too short or outside its folder.
    """
    name = name or path.stem
    digest = store.recall_digest(cache, path)
    known = store.load_graph(cache, _entry(digest, pixels), name) if digest else None
    return known or _import(path, cache, name, pixels)


def _entry(digest: str, pixels: Pixels | None) -> str:
    """Return the digest of an imported graph: of its file, and of what is done to it."""
    text = f"{digest} {version('onnxruntime')} {FORMAT}{f' {pixels}' if pixels else ''}"
    return hashlib.sha256(text.encode()).hexdigest()


def _import(path: Path, cache: Path, name: str, pixels: Pixels | None) -> Graph:
    # A second import of a model needs none of this, and onnx takes half a second to load.
    from edgesplit.graph.building import build_graph  # noqa: PLC0415 - start-up time
    from edgesplit.graph.reading import read_source  # noqa: PLC0415 - start-up time

    source = read_source(path)
    if pixels:
        from edgesplit.graph.pixels import take_pixels  # noqa: PLC0415 - start-up time

        take_pixels(source.model, pixels, str(path))
    digest = _entry(source.digest, pixels)
    probes = cache / f"probes-{version('onnxruntime')}-{FORMAT}.json"
    try:
        if store.load_graph(cache, digest, name) is None:
            store.keep_graph(
                cache, digest, lambda folder: build_graph(source, folder, digest, probes)
            )
        store.note_digest(cache, path, source.marks, source.digest)
    except OSError as error:
        raise _unusable(cache, path, str(error.strerror)) from error
    graph = store.load_graph(cache, digest, name)
    if graph is None:
        raise _unusable(cache, path, "what was written can't be read back")
    return graph


def _unusable(cache: Path, path: Path, reason: str) -> ModelError:
    return ModelError(
        f"can't be imported into the cache {cache}: {reason}",
        where=str(path),
        remedy="check that the folder can be written and its disk is not full",
    )
