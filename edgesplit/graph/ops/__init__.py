"""What each operator needs of its inputs for a box of its output: one small entry per operator."""

from edgesplit.graph.ops.site import Site, Step
from edgesplit.graph.ops.table import RULES, known, step
from edgesplit.graph.ops.work import HEAVY, macs

__all__ = ["HEAVY", "RULES", "Site", "Step", "known", "macs", "step"]
