"""What a bench or a drill is run on: a deployment, its model, and the answers that are right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgesplit.deploy.record import Record, changed_since, load_record, record_path
from edgesplit.errors import DeployError
from edgesplit.graph.model import Graph
from edgesplit.operate.load import Workload, workload
from edgesplit.operate.prepare import store_folder
from edgesplit.operate.requests import Arrays
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.file import load_allocation
from edgesplit.plan.planner import graph_of
from edgesplit.shards.oracle import Oracle, compare
from edgesplit.shards.store import Store
from edgesplit.zoo.cache import cache_folder


@dataclass(frozen=True)
class Trial:
    """A deployed allocation with the whole model beside it."""

    path: Path
    allocation: Allocation
    record: Record
    graph: Graph
    oracle: Oracle

    def random_work(self, seed: int) -> Workload:
        """Return seeded random inputs with the whole model's answers.

        Answers may have been decoded, so the tolerance includes what the parity code promises;
        and twice what rounding activations costs, on these inputs if that is more.
        """
        tolerance = self.oracle.tolerance(recovered=1)
        work = workload(self.graph.inputs, self.oracle.run, seed=seed, tol=tolerance)
        self.oracle.close()
        known = self.oracle.rounded
        if known is None:
            return work
        exact = self._exact(work)
        more = max(0.0, compare(work.expected, exact).error - known.error)
        return replace(work, exact=exact, tolerance=tolerance + 2 * more)

    def exact_work(self, work: Workload) -> Workload:
        """Return the same inputs with the answers of the whole model that rounds nothing."""
        if not work.exact:
            return work
        tolerance = self.oracle.exact.tolerance()
        return Workload(work.inputs, work.exact, tolerance)

    def _exact(self, work: Workload) -> tuple[Arrays, ...]:
        answers = tuple(map(self.oracle.exact.run, work.inputs))
        self.oracle.exact.close()
        return answers


def open_trial(path: Path) -> Trial:
    """Return the trial of an allocation file that is deployed.

    Raises:
        SpecErrors: The allocation file is wrong.
        DeployError: It is not deployed, or another was under this name.
    """
    allocation, record = load_allocation(path), load_record(record_path(path))
    if changed_since(path, record):
        raise DeployError(
            "this file was changed after it was deployed",
            where=str(path),
            remedy="deploy it again, or name the file that was deployed",
        )
    graph = graph_of(allocation.model, cache_folder())
    oracle = Oracle(graph, record.table, store=Store(store_folder()))
    return Trial(path, allocation, record, graph, oracle)
