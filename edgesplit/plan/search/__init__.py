"""The search: dynamic programming over runs of layers, their splits, grids and device groups."""

from edgesplit.plan.search.random_assignment import random_allocation
from edgesplit.plan.search.searching import search

__all__ = ["random_allocation", "search"]
