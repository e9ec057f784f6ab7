"""The verbs of the command line, in the order in which a person meets them."""

from __future__ import annotations

from typing import Annotated

import typer

from edgesplit.cli import (
    demo,
    deployment,
    doctor,
    drills,
    lab,
    logs,
    planning,
    profile,
    requests,
    tune,
)

app = typer.Typer(
    name="edgesplit",
    help="Run one ONNX model across several small computers, and keep answering while one dies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from edgesplit import __version__

        typer.echo(f"edgesplit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Hold the options of edgesplit itself."""


app.command()(demo.demo)
app.command()(planning.init)
app.command()(planning.plan)
app.command()(doctor.doctor)
app.command()(profile.profile)
app.command()(tune.tune)
app.command()(deployment.deploy)
app.command()(deployment.rollback)
app.command()(deployment.status)
app.command()(logs.logs)
app.command()(requests.infer)
app.command()(requests.bench)
app.command("fail-node")(drills.fail_node)
app.command()(deployment.down)
app.command()(planning.schema)
app.add_typer(lab.app, name="lab")
