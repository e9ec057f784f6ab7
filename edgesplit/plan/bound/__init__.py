"""The certified bound: what no allocation of a model on a cluster can beat in the simulator.

It shares the arithmetic of boxes with the planner, and nothing with the search.
"""

from edgesplit.plan.bound.bounding import Bound, lower_bound

__all__ = ["Bound", "lower_bound"]
