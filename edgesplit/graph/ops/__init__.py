"""What each operator needs of its inputs for a box of its output: one small entry per operator."""

from edgesplit.graph.ops.site import Site, Step
from edgesplit.graph.ops.table import RULES, in_passing, known, partial_step, reduces, step
from edgesplit.graph.ops.work import HEAVY, macs

__all__ = [
    "HEAVY",
    "RULES",
    "Site",
    "Step",
    "in_passing",
    "known",
    "macs",
    "partial_step",
    "reduces",
    "step",
]
