"""What a bench or a drill is run on: a deployment, its model, and the answers that are right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgesplit.deploy.record import Record, changed_since, load_record, record_path
from edgesplit.errors import DeployError
from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph
from edgesplit.operate.load import Workload, workload
from edgesplit.operate.prepare import store_folder
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.file import load_allocation
from edgesplit.shards.oracle import Oracle
from edgesplit.shards.store import Store
from edgesplit.zoo.cache import cache_folder
from edgesplit.zoo.model_file import resolve


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

        Answers may have been decoded, so the tolerance includes what the parity code promises.
        """
        work = workload(
            self.graph.inputs, self.oracle.run, seed=seed, tol=self.oracle.tolerance(recovered=1)
        )
        self.oracle.close()
        return work


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
    cache = cache_folder()
    graph = import_model(resolve(allocation.model.source, cache), cache)
    oracle = Oracle(graph, record.table, store=Store(store_folder()))
    return Trial(path, allocation, record, graph, oracle)
