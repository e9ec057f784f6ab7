"""The cost database of a class of devices: how long kernels take there, as measured and fitted.

A regression for every type of layer on multiply-accumulates and bytes says how a kernel's time
grows; the measured points say how far kernels of one form are from it (*Collaborative Execution of
Deep Neural Networks on Internet of Things Devices*, section 4, profiles its layers likewise).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, combinations
from math import inf, log
from statistics import mean

import numpy as np

from edgesplit.cost.crowd import Crowd
from edgesplit.cost.kernel import Kernel
from edgesplit.spec.cluster import Link

ANY = "any"
"""The regression over all operators, for those that none was fitted for."""

_Ratios = tuple[list[float], list[float]]

LEAST = 1e-7
"""Seconds that a kernel takes at least: a regression may say 0 of a very small one."""


@dataclass(frozen=True, slots=True)
class Point:
    """A measured kernel: `seconds` are the least of several runs."""

    kernel: Kernel
    seconds: float


@dataclass(frozen=True, slots=True)
class Session:
    """Kernels that one session runs, and the `seconds` that it was measured to take for all.

    ONNX Runtime lets maps go from one to the next in the order that suits the processor, so it
    takes less than its kernels apart; where they are small it may take more.
    """

    kernels: tuple[Kernel, ...]
    seconds: float

    @property
    def key(self) -> Hashable:
        """What says which kernels these are, in whatever order."""
        return _counted(self.kernels)

    @property
    def size(self) -> float:
        """The logarithm of the elements that they make."""
        return _size(self.kernels)


@dataclass(frozen=True, slots=True)
class Rate:
    """A fitted line: seconds to begin with, a multiply-accumulate, a byte of weights, one moved.

    `error` is the mean of |fitted / measured - 1| over the points it was fitted to, `points` how
    many those were.
    """

    start: float = 0.0
    mac: float = 0.0
    weight: float = 0.0
    moved: float = 0.0
    error: float = 0.0
    points: int = 0

    def seconds(self, kernel: Kernel) -> float:
        """Return what the line says of a kernel."""
        return max(
            LEAST,
            self.start
            + self.mac * kernel.macs
            + self.weight * kernel.weights
            + self.moved * kernel.moved,
        )


@dataclass(frozen=True, eq=False)
class Database:
    """What kernels cost on a class of devices, in seconds.

    `models` are whole models by digest, `sessions` rows of kernels, each measured in one session.
    `run` is what it costs to run a session at all, `step` what a task costs beside its session,
    `message` what each end of a message does, both in the executor's own code; `crowds` say what it
    and its bytes cost with several devices at work, by cluster, small crowds first.
    `links` are those to other classes and to the gateway, by cluster, as messages found them; plans
    are made with what the cluster file says.
    """

    name: str
    machine: str = ""
    points: tuple[Point, ...] = ()
    sessions: tuple[Session, ...] = ()
    rates: Mapping[str, Rate] = field(default_factory=dict)
    models: Mapping[str, float] = field(default_factory=dict)
    run: float = 0.0
    step: float | None = None
    message: float | None = None
    crowds: Mapping[str, tuple[Crowd, ...]] = field(default_factory=dict)
    links: Mapping[str, Mapping[str, Link]] = field(default_factory=dict)
    _seen: dict[Kernel, float] = field(default_factory=dict, compare=False, repr=False)

    def seconds(self, kernel: Kernel) -> float:
        """Return the time of a kernel: the regression, corrected by the points of its form."""
        if kernel not in self._seen:
            self._seen[kernel] = self.line(kernel).seconds(kernel) * self._correction(kernel)
        return self._seen[kernel]

    def line(self, kernel: Kernel) -> Rate:
        """Return the regression for a kernel's operator, or that over all."""
        return self.rates.get(kernel.op) or self.rates[ANY]

    def together(self, kernels: Collection[Kernel]) -> float:
        """Return the time of kernels that one session runs.

        It is their sum, corrected by sessions of the same forms that were measured.
        """
        alone = sum(map(self.seconds, kernels))
        if len(kernels) < 2 or not self.sessions:
            return alone
        exact = self._exact.get(_counted(kernels))
        return alone * self._joint(kernels) if exact is None else exact

    def knows(self, kernel: Kernel) -> bool:
        """Tell whether a kernel of this form was measured."""
        return (kernel.op, kernel.form) in self._ratios

    def measured(self, kernels: Collection[Kernel]) -> bool:
        """Tell whether just these kernels were measured in one session."""
        if len(kernels) == 1:
            return self._points.issuperset(kernels)
        return _counted(kernels) in self._exact

    def joint(self, session: Session) -> float:
        """Return what part a session took of what its kernels take apart."""
        return session.seconds / sum(map(self.seconds, session.kernels))

    def with_points(self, points: Iterable[Point]) -> Database:
        """Return the database fitted anew with more points; of one kernel the newest counts."""
        known = {point.kernel: point for point in (*self.points, *points)}
        return fit(self, known.values())

    def knowing(self, seen: Iterable[Session]) -> Database:
        """Return the database with sessions, those of one kernel as points."""
        seen = tuple(seen)
        points = [Point(*one.kernels, one.seconds) for one in seen if len(one.kernels) == 1]
        fitted = self.with_points(points) if points else self
        return fitted.with_sessions(one for one in seen if len(one.kernels) > 1)

    def with_sessions(self, sessions: Iterable[Session]) -> Database:
        """Return the database with more sessions; of the same kernels the newest counts."""
        known = {one.key: one for one in (*self.sessions, *sessions)}
        return replace(self, sessions=tuple(known.values()))

    def _joint(self, kernels: Collection[Kernel]) -> float:
        """Return together over apart, between the measured sizes next to those of kernels."""
        return _between(self._joints.get(_forms(kernels)), _size(kernels))

    @cached_property
    def _exact(self) -> Mapping[Hashable, float]:
        return {one.key: one.seconds for one in self.sessions}

    @cached_property
    def _points(self) -> frozenset[Kernel]:
        return frozenset(point.kernel for point in self.points)

    @cached_property
    def _joints(self) -> Mapping[Hashable, _Ratios]:
        return _by_size((_forms(one.kernels), one.size, self.joint(one)) for one in self.sessions)

    def _correction(self, kernel: Kernel) -> float:
        """Return measured over fitted, between the measured sizes next to a kernel's."""
        return _between(self._ratios.get((kernel.op, kernel.form)), _size([kernel]))

    @cached_property
    def _ratios(self) -> Mapping[Hashable, _Ratios]:
        return _by_size(
            (
                (one.kernel.op, one.kernel.form),
                _size([one.kernel]),
                one.seconds / self.rates[one.kernel.op].seconds(one.kernel),
            )
            for one in self.points
        )


def _by_size(seen: Iterable[tuple[Hashable, float, float]]) -> Mapping[Hashable, _Ratios]:
    """Return, of each form, sizes in order and the mean ratio that was seen at each."""
    found: defaultdict[Hashable, defaultdict[float, list[float]]]
    found = defaultdict(lambda: defaultdict(list))
    for form, size, ratio in seen:
        found[form][size].append(ratio)
    return {
        form: (sorted(ratios), [mean(ratios[size]) for size in sorted(ratios)])
        for form, ratios in found.items()
    }


def _between(known: _Ratios | None, size: float) -> float:
    """Return the ratio between the sizes next to this one; 1 of what was never seen."""
    return 1.0 if known is None else float(np.interp(size, *known))


def _counted(kernels: Iterable[Kernel]) -> Hashable:
    return frozenset(Counter(kernels).items())


def _forms(kernels: Iterable[Kernel]) -> Hashable:
    return frozenset(Counter((one.op, one.form) for one in kernels).items())


def _size(kernels: Iterable[Kernel]) -> float:
    return log(max(1, sum(one.size for one in kernels)))


def fit(database: Database, points: Iterable[Point]) -> Database:
    """Return the database with these points alone, and a regression for each operator and for all.

    Least squares of the relative error, no coefficient negative: a kernel of more work must not
    be predicted to be faster.
    """
    points = tuple(points)
    by_op: defaultdict[str, list[Point]] = defaultdict(list)
    for point in points:
        by_op[point.kernel.op].append(point)
    rates = {op: _rate(measured) for op, measured in by_op.items()}
    return replace(database, points=points, rates={ANY: _rate(points), **rates}, _seen={})


def _rate(points: Sequence[Point]) -> Rate:
    """Fit a line: the best of all choices of columns whose coefficients come out positive."""
    seconds = np.array([point.seconds for point in points])
    table = np.array([_row(point.kernel) for point in points]) / seconds[:, None]
    best, least = np.zeros(table.shape[1]), inf
    chosen = chain.from_iterable(combinations(range(table.shape[1]), n) for n in (1, 2, 3, 4))
    for columns in map(list, chosen):
        found, *_ = np.linalg.lstsq(table[:, columns], np.ones(len(points)), rcond=None)
        coefficients = np.zeros(table.shape[1])
        coefficients[columns] = found
        residual = float(np.square(table @ coefficients - 1).sum())
        if (found >= 0).all() and residual < least:
            best, least = coefficients, residual
    error = float(np.abs(table @ best - 1).mean())
    start, mac, weight, moved = map(float, best)
    return Rate(start, mac, weight, moved, error, len(points))


def _row(kernel: Kernel) -> tuple[float, float, float, float]:
    return (1.0, kernel.macs, kernel.weights, kernel.moved)
