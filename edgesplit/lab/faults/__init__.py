"""Faults of a lab's hosts, each with its undo.

Clocks are left alone: all hosts share the kernel's one wall clock, for which there are no
namespaces, and what only pretends another time to some programs would prove nothing.
"""

from edgesplit.lab.faults.fault import Fault, Injected, Kind
from edgesplit.lab.faults.injection import inject, undo, undo_all
from edgesplit.lab.faults.ledger import active

__all__ = ["Fault", "Injected", "Kind", "active", "inject", "undo", "undo_all"]
