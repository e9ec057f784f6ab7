"""The cache of imported models: a folder per digest, a note per source file.

Readers never see a half-written entry: folders and notes are made under a temporary name and
renamed. Whoever finds an entry broken makes it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesplit.dataflow.table import Port
from edgesplit.files import replacing
from edgesplit.graph.model import Graph, Layer, Node, Value

MODEL = "model.onnx"
_GRAPH = "graph.json"


def load_graph(cache: Path, digest: str, name: str) -> Graph | None:
    """Return a cached graph, or None where there is none or it is broken."""
    folder = _folder(cache, digest)
    try:
        data = json.loads((folder / _GRAPH).read_text(encoding="utf-8"))
        sizes = {file: (folder / file).stat().st_size for file in data["files"]}
        return _graph(data, folder, digest, name) if sizes == data["files"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def keep_graph(cache: Path, digest: str, build: Callable[[Path], Graph]) -> None:
    """Make an entry of the cache: `build` writes its files into a folder and returns the graph.

    Of several processes that make the same entry, one wins and the others' work is dropped.
    """
    cache.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".import-", dir=cache))
    try:
        _write_graph(build(scratch), scratch)
        _put(scratch, _folder(cache, digest), lambda: load_graph(cache, digest, "") is not None)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def recall_digest(cache: Path, path: Path) -> str | None:
    """Return the digest noted for a file, if neither it nor its data files changed since."""
    try:
        note = json.loads(_note(cache, path).read_text(encoding="utf-8"))
        same = all(fingerprint(Path(file)) == mark for file, mark in note["files"].items())
        return str(note["digest"]) if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def note_digest(cache: Path, path: Path, marks: dict[str, list[int]], digest: str) -> None:
    """Note the digest of a file whose parts had these fingerprints before they were read."""
    target = _note(cache, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as scratch:
        scratch.write_text(json.dumps({"files": marks, "digest": digest}), encoding="utf-8")


def recall_verdicts(file: Path) -> dict[str, bool]:
    """Return what probes found before, by key; nothing where the file is missing or broken."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {str(key): bool(verdict) for key, verdict in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def keep_verdicts(file: Path, verdicts: dict[str, bool]) -> None:
    """Write what probes found, and what others wrote meanwhile."""
    with replacing(file) as scratch:
        scratch.write_text(json.dumps(recall_verdicts(file) | verdicts), encoding="utf-8")


def fingerprint(path: Path) -> list[int]:
    """Return what changes whenever a file's contents do: inode, size, and times in ns."""
    found = path.stat()
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _folder(cache: Path, digest: str) -> Path:
    return cache / digest[:32]


def _note(cache: Path, path: Path) -> Path:
    key = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()
    return cache / "sources" / f"{key[:32]}.json"


def _put(scratch: Path, target: Path, valid: Callable[[], bool]) -> None:
    """Rename a finished folder into place, unless a valid one came to be there."""
    with contextlib.suppress(OSError):
        scratch.rename(target)
        return
    if not valid():
        broken = Path(tempfile.mkdtemp(prefix=".broken-", dir=target.parent))
        target.rename(broken / target.name)
        scratch.rename(target)
        shutil.rmtree(broken, ignore_errors=True)


def _write_graph(graph: Graph, folder: Path) -> None:
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    position = {node.name: i for i, node in enumerate(graph.nodes)}
    data = {
        "files": files,
        "opset": graph.opset,
        "values": [asdict(value) for value in graph.values.values()],
        "nodes": [asdict(node) for node in graph.nodes],
        "layers": [_layer_data(layer, position) for layer in graph.layers],
        "inputs": [asdict(port) for port in graph.inputs],
        "outputs": [asdict(port) for port in graph.outputs],
    }
    (folder / _GRAPH).write_text(json.dumps(data, separators=(",", ":")), encoding="utf-8")


def _layer_data(layer: Layer, position: dict[str, int]) -> dict[str, Any]:
    return {
        "name": layer.name,
        "heavy": layer.heavy and position[layer.heavy.name],
        "nodes": [position[node.name] for node in layer.nodes],
        "macs": layer.macs,
        "weight_bytes": layer.weight_bytes,
    }


def _graph(data: dict[str, Any], folder: Path, digest: str, name: str) -> Graph:
    nodes = tuple(Node(**_tuples(node)) for node in data["nodes"])
    return Graph(
        name=name,
        digest=digest,
        path=folder / MODEL,
        values={value["name"]: Value(**_tuples(value)) for value in data["values"]},
        nodes=nodes,
        layers=tuple(_layer(layer, nodes) for layer in data["layers"]),
        inputs=_ports(data["inputs"]),
        outputs=_ports(data["outputs"]),
        opset=data["opset"],
    )


def _layer(data: dict[str, Any], nodes: tuple[Node, ...]) -> Layer:
    heavy = None if data["heavy"] is None else nodes[data["heavy"]]
    return Layer(**data | {"heavy": heavy, "nodes": tuple(nodes[i] for i in data["nodes"])})


def _ports(data: Iterable[dict[str, Any]]) -> tuple[Port, ...]:
    return tuple(Port(**_tuples(port)) for port in data)


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    """Undo what JSON does to tuples, attributes included."""
    return {
        key: tuple(value)
        if isinstance(value, list)
        else _tuples(value)
        if isinstance(value, dict)
        else value
        for key, value in data.items()
    }
