"""How commands print their results as JSON: one object on stdout, everything else on stderr."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from uvgen.cli.groups import as_typed
from uvgen.cli.options import HOW_IT_RUNS, option
from uvgen.storage.names import printable

_MOST_NAMED = 20

json_option = option(
    "--json", "as_json", is_flag=True, group=HOW_IT_RUNS, help="Print the result as one JSON object on stdout."
)


def print_json(content: dict[str, Any]) -> None:
    """One object, readable, in UTF-8 whatever the terminal's encoding."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=True))


def name_other_drafts(out: Path) -> None:
    """Say on stderr which unfinished folders lie beside the one that is to be made, and are not continued."""
    from uvgen.storage.files import other_drafts

    for draft in other_drafts(out):
        click.echo(
            as_typed(printable(
                f"note: {draft}: left by a run that was interrupted when the folder was at another path, or by another "
                "user's; it is not continued: delete it if no other run is at work"
            )),
            err=True,
        )  # fmt: skip


def name_skipped(skipped: Sequence[Any], listed_in: str, *, quiet: bool = False) -> None:
    """Print on stderr what was left out, with `name` and `reason`: one line for each of the first few.

    If only errors are asked for, one line says how many there are and names the first: the exit status is 3, and
    people want to know why.
    """
    if quiet and skipped:
        first = f"{skipped[0].name}: {skipped[0].reason}"
        more = f", first {first}; {listed_in} lists them all" if len(skipped) > 1 else f": {first}"
        click.echo(as_typed(printable(f"{len(skipped)} skipped{more}")), err=True)
        return
    for skip in skipped[:_MOST_NAMED]:
        click.echo(as_typed(printable(f"skipped {skip.name}: {skip.reason}")), err=True)
    if len(skipped) > _MOST_NAMED:
        click.echo(f"and {len(skipped) - _MOST_NAMED} more; {listed_in} lists them all", err=True)
