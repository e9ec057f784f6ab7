"""How rounded activations read."""

from __future__ import annotations

from edgesplit.shards.oracle import Rounded


def rounding_told(activations: str, rounded: Rounded) -> str:
    """Return what rounding activations to a type costs, as the whole model shows it."""
    agreeing = "" if rounded.agreement is None else f", the same best class {rounded.agreement:.0%}"
    return (
        f"activations travel as [bold]{activations}[/]: {off_by_rounding(rounded.error)} "
        f"({rounded.inputs} random inputs{agreeing})"
    )


def off_by_rounding(error: float) -> str:
    """Return how far rounding moves answers at most, relative to their largest number."""
    return f"rounding moves answers by up to [bold]{error:.1e}[/] of max|y|"
