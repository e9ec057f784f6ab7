"""`lab fault`: break a host of a lab in one of many ways, and mend it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgesplit.cli.arguments import Json
from edgesplit.errors import UsageError

if TYPE_CHECKING:
    from edgesplit.lab.faults import Fault

app = typer.Typer(
    help="Break a host of a lab, and mend it with `undo`.",
    no_args_is_help=True,
)

Host = Annotated[str, typer.Argument(help="Host of the lab.", show_default=False)]
Folder = Annotated[Path, typer.Option("--folder", help="The lab's folder.")]
Processes = Annotated[
    str,
    typer.Argument(
        metavar="[PID|WORDS]",
        help="A pid of the host, or a part of a command line; executors by default.",
        show_default=False,
    ),
]
LAB = Path("lab")


@app.command()
def kill(host: Host, processes: Processes = "", *, folder: Folder = LAB) -> None:
    """Kill processes (SIGKILL); whatever supervises them may start them again."""
    _inject(folder, _fault("kill", host, processes=processes))


@app.command()
def hang(host: Host, processes: Processes = "", *, folder: Folder = LAB) -> None:
    """Stop processes where they are (SIGSTOP); their connections stay."""
    _inject(folder, _fault("hang", host, processes=processes))


@app.command()
def freeze(host: Host, *, folder: Folder = LAB) -> None:
    """Stop everything on a host; only its kernel still answers."""
    _inject(folder, _fault("freeze", host))


@app.command("link-down")
def link_down(host: Host, *, folder: Folder = LAB) -> None:
    """Unplug a host: its link has no carrier."""
    _inject(folder, _fault("link-down", host))


@app.command()
def blackhole(host: Host, *, folder: Folder = LAB) -> None:
    """Drop all that a host sends and is sent; nobody is told."""
    _inject(folder, _fault("blackhole", host))


@app.command()
def partition(
    host: Host,
    other: Annotated[str, typer.Argument(help="Who hears it no more: a host, or `controller`.")],
    *,
    folder: Folder = LAB,
) -> None:
    """Drop what a host sends to another; the other direction stays."""
    _inject(folder, _fault("partition", host, other=other))


@app.command()
def loss(
    host: Host,
    percent: Annotated[float, typer.Argument(help="Percent of the frames, each way.")],
    *,
    folder: Folder = LAB,
) -> None:
    """Lose a part of what a host sends and is sent."""
    _inject(folder, _fault("loss", host, percent / 100))


@app.command()
def slow(
    host: Host,
    rate: Annotated[str, typer.Argument(help="What is left, such as `10 Mbit/s`.")],
    *,
    folder: Folder = LAB,
) -> None:
    """Make a host's link slow, both ways."""
    from edgesplit.spec.units import parse_rate

    _inject(folder, _fault("slow", host, _read(parse_rate, rate)))


@app.command()
def jitter(
    host: Host,
    tail: Annotated[str, typer.Argument(help="Mean of the delay each way, such as `40 ms`.")],
    *,
    folder: Folder = LAB,
) -> None:
    """Delay what a host sends and is sent by a long-tailed time."""
    from edgesplit.spec.units import parse_seconds

    _inject(folder, _fault("jitter", host, _read(parse_seconds, tail)))


@app.command()
def cpu(
    host: Host,
    cores: Annotated[float, typer.Argument(help="Cores of this machine that are left.")],
    *,
    folder: Folder = LAB,
) -> None:
    """Leave a host less CPU; means of many requests hold, percentiles don't."""
    _inject(folder, _fault("cpu", host, cores))


@app.command()
def memory(
    host: Host,
    limit: Annotated[str, typer.Argument(help="What is left, such as `256 MiB`.")],
    *,
    folder: Folder = LAB,
) -> None:
    """Leave a host less memory; the kernel kills who needs more."""
    from edgesplit.spec.units import parse_bytes

    _inject(folder, _fault("memory", host, _read(parse_bytes, limit)))


@app.command("disk-full")
def disk_full(
    host: Host,
    free: Annotated[str, typer.Argument(help="What is left free, such as `1 MiB`.")] = "0 B",
    *,
    folder: Folder = LAB,
) -> None:
    """Fill a host's home; its files stay, and this machine's own disk isn't filled."""
    from edgesplit.spec.units import parse_bytes

    _inject(folder, _fault("disk-full", host, _read(parse_bytes, free)))


@app.command("power-off")
def power_off(host: Host, *, folder: Folder = LAB) -> None:
    """Cut a host's power; `undo` boots it."""
    _inject(folder, _fault("power-off", host))


@app.command("power-cycle")
def power_cycle(host: Host, *, folder: Folder = LAB) -> None:
    """Cut a host's power and boot it; address, keys and files are as before."""
    _inject(folder, _fault("power-cycle", host))


@app.command()
def undo(
    host: Host,
    kind: Annotated[
        str | None, typer.Argument(help="Only faults of this kind.", show_default=False)
    ] = None,
    *,
    folder: Folder = LAB,
) -> None:
    """Undo a host's faults, the latest first."""
    from edgesplit.lab.bed import load_lab
    from edgesplit.lab.faults import Kind, undo_all
    from edgesplit.report.console import working
    from edgesplit.report.lab_faults import show_undone

    if kind is not None and kind not in list(Kind):
        raise UsageError(f"there is no fault {kind!r}", remedy=f"the faults are {', '.join(Kind)}")
    with working("undoing"):
        undone = undo_all(load_lab(folder), host, None if kind is None else Kind(kind))
    show_undone(host, undone)


@app.command("list")
def list_(*, folder: Folder = LAB, as_json: Json = False) -> None:
    """Show the faults that a lab has now."""
    from edgesplit.lab.bed import load_lab
    from edgesplit.lab.faults import active
    from edgesplit.report.console import write_json
    from edgesplit.report.lab_faults import faults_result, show_faults

    found = active(load_lab(folder))
    if as_json:
        write_json(faults_result(found))
    else:
        show_faults(found)


def _fault(
    kind: str, host: str, amount: float | None = None, *, other: str = "", processes: str = ""
) -> Fault:
    from edgesplit.lab.faults import Fault, Kind

    return Fault(Kind(kind), host, amount, other, processes)


def _inject(folder: Path, fault: Fault) -> None:
    from edgesplit.lab.bed import load_lab
    from edgesplit.lab.faults import inject
    from edgesplit.report.console import working
    from edgesplit.report.lab_faults import show_injected

    with working(f"{fault.kind} of {fault.host}"):
        injected = inject(load_lab(folder), fault)
    show_injected(injected, folder)


def _read(parse: Callable[[object], float], text: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
