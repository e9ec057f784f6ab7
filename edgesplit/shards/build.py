"""Shards: ONNX sub-models with their weights beside them, named by what is in them."""

from __future__ import annotations

import onnx_ir as ir

from edgesplit.graph.model import Graph
from edgesplit.plan.shard import ShardSpec
from edgesplit.shards.shard import Shard
from edgesplit.shards.store import Store
from edgesplit.shards.submodel import submodel
from edgesplit.shards.weights import SUFFIX, externalise

MODEL_SUFFIX = ".onnx"


def build_shard(graph: Graph, spec: ShardSpec, store: Store) -> Shard:
    """Cut one shard out of the model's file and put it into the store.

    The bytes depend on the graph and the spec alone (the number of its task apart).

    Raises:
        ShardError: The model's file doesn't hold what the graph says, or a parity row is asked of
            an operator that has none.
    """
    model = submodel(graph, spec)
    # Those of subgraphs too: in the model's own file they are external as any other.
    values = [value for part in model.graphs() for value in part.initializers.values()]
    tensors, weights = externalise([_tensor(value) for value in values], store)
    for value, tensor in zip(values, tensors, strict=True):
        value.const_value = tensor
    data = ir.to_proto(model).SerializeToString(deterministic=True)
    digest = store.put([data], MODEL_SUFFIX)
    names = [f"{digest}{MODEL_SUFFIX}", *([f"{weights}{SUFFIX}"] if weights else [])]
    files = tuple((name, (store.folder / name).stat().st_size) for name in names)
    return Shard(digest, files, sum(size for _, size in files[1:]))


def _tensor(value: ir.Value) -> ir.TensorProtocol:
    assert value.const_value is not None  # noqa: S101 - initialisers of a sub-model have one
    return value.const_value
