"""The whole model with rounded activations, as a file beside the model's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Graph
from edgesplit.graph.slicing import closure
from edgesplit.plan.encoding import Encodings
from edgesplit.plan.shard import ShardSpec


@contextmanager
def rounded_file(graph: Graph, encodings: Encodings) -> Iterator[Path]:
    """Yield the ONNX file of a model that rounds these values; its own where there are none.

    It is there until the end: sessions that were opened meanwhile have mapped the weights of the
    model's own file.
    """
    if not encodings:
        yield graph.path
        return
    # Most oracles round nothing, and onnx_ir takes half a second to load.
    import onnx_ir as ir  # noqa: PLC0415 - start-up time

    from edgesplit.shards.submodel import submodel  # noqa: PLC0415 - start-up time

    model = ir.to_proto(submodel(graph, _whole(graph, encodings)))
    with NamedTemporaryFile(prefix=".rounded-", suffix=".onnx", dir=graph.path.parent) as file:
        file.write(model.SerializeToString(deterministic=True))
        file.flush()
        yield Path(file.name)


def _whole(graph: Graph, encodings: Encodings) -> ShardSpec:
    outputs = tuple((port.name, Region.full(port.shape)) for port in graph.outputs)
    return ShardSpec(
        task=0,
        nodes=tuple(node.name for node in closure(graph, dict(outputs), ())),
        inputs=tuple((port.name, Region.full(port.shape)) for port in graph.inputs),
        outputs=outputs,
        encodings=tuple(encodings.items()),
    )
