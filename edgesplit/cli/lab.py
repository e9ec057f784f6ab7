"""`lab up`, `down`, `status` and `exec`: an emulated cluster on this machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgesplit.cli import lab_faults
from edgesplit.cli.arguments import Json
from edgesplit.errors import UsageError
from edgesplit.lab.bed import Level

app = typer.Typer(
    help="Emulate a cluster on this machine: hosts, ssh, links.", no_args_is_help=True
)

app.add_typer(lab_faults.app, name="fault")

LabFolder = Annotated[Path, typer.Option("--folder", help="The lab's folder.")]


class LinkKind(StrEnum):
    """What hosts are linked by."""

    ETHERNET = "ethernet"
    WIFI = "wifi"


@app.command()
def up(
    *,
    devices: Annotated[
        int | None, typer.Option(min=1, help="How many hosts; 4 if nothing says it.")
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(help="The board to imitate, as NAME or NAME:COUNT. May be repeated."),
    ] = None,
    folder: LabFolder = Path("lab"),
    name: Annotated[str, typer.Option(help="Tells labs apart that are up at a time.")] = "lab",
    level: Annotated[
        Level | None, typer.Option(help="The best that this machine allows, by default.")
    ] = None,
    link: Annotated[LinkKind, typer.Option(help="What hosts are linked by.")] = LinkKind.ETHERNET,
    loss: Annotated[float, typer.Option(min=0, max=0.99, help="Share of frames lost.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of delays and losses.")] = 0,
    gateway_rate: Annotated[str, typer.Option(help="The controller's own link.")] = "1 Gbit/s",
    slice_: Annotated[
        bool, typer.Option("--slice", help="Slow hosts down by a CPU quota, not by pacing.")
    ] = False,
    bare: Annotated[
        bool, typer.Option("--bare", help="Keep this machine's Python out of the hosts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a cluster of emulated hosts, and the cluster file for it."""
    from edgesplit.lab.presets import link_rate, presets
    from edgesplit.lab.up import Wanted, bring_up
    from edgesplit.report.console import working, write_json
    from edgesplit.report.lab import raised_result, show_raised

    wanted = Wanted(
        presets(preset or (), devices),
        folder,
        name,
        level,
        radio=link is LinkKind.WIFI,
        loss=loss,
        seed=seed,
        gateway_rate=link_rate(gateway_rate),
        sliced=slice_,
        bare=bare,
    )
    with working("making the lab"):
        raised = bring_up(wanted)
    if as_json:
        write_json(raised_result(raised))
    else:
        show_raised(raised)


@app.command()
def down(
    folder: LabFolder = Path("lab"),
    name: Annotated[str | None, typer.Option(help="Find it by its name instead.")] = None,
) -> None:
    """Take a lab down, whatever state it is in; nothing of it stays."""
    from edgesplit.lab.down import take_down
    from edgesplit.report.lab import show_taken_down

    show_taken_down(take_down(folder, name))


@app.command()
def status(folder: LabFolder = Path("lab"), as_json: Json = False) -> None:
    """Show each host of a lab: whether it is on, its memory, its processes."""
    from edgesplit.lab.bed import load_lab
    from edgesplit.lab.status import lab_status
    from edgesplit.report.console import write_json
    from edgesplit.report.lab import show_lab, status_result

    lab = load_lab(folder)
    hosts = lab_status(lab)
    if as_json:
        write_json(status_result(lab, hosts))
    else:
        show_lab(lab, hosts)


@app.command("exec", context_settings={"allow_interspersed_args": False})
def execute(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[HOST] -- COMMAND...", help="Without HOST: where edgesplit runs."),
    ],
    folder: LabFolder = Path("lab"),
    root: Annotated[bool, typer.Option("--root", help="On a host: not as its login.")] = False,
) -> None:
    """Run a command on a host of a lab, or in the controller's place on its network."""
    from edgesplit.lab.bed import load_lab
    from edgesplit.lab.enter import become

    lab = load_lab(folder)
    known = any(host.name == words[0] for host in lab.hosts)
    host = lab.host(words[0]) if known or words[1:2] == ["--"] else None
    command = [word for word in words[1:2] if word != "--"] + words[2:] if host else words
    if not command:
        raise UsageError(
            "there is no command to run", remedy=f"write one: edgesplit lab exec {words[0]} -- ls"
        )
    as_root = root or lab.level is Level.PLAIN
    become(lab, host, command, user=None if as_root else lab.login)
