"""How commands print their results as JSON: one object on stdout, everything else on stderr."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from uvgen.cli.groups import as_typed
from uvgen.cli.options import HOW_IT_RUNS, option
from uvgen.cli.streams import print_result
from uvgen.storage.names import printable
from uvgen.wording import are, count

_MOST_NAMED, _MOST_ALIKE, _N_EXAMPLES = 20, 3, 3

json_option = option(
    "--json", "as_json", is_flag=True, group=HOW_IT_RUNS, help="Print the result as one JSON object on stdout."
)


def print_json(content: dict[str, Any]) -> None:
    """One object, readable, in UTF-8 whatever the terminal's encoding."""
    print_result(json.dumps(content, indent=2, ensure_ascii=True))


def name_other_drafts(out: Path) -> None:
    """Say on stderr which unfinished folders lie beside the one that is to be made, and are not continued."""
    from uvgen.storage.drafts import other_drafts

    for draft in other_drafts(out):
        click.echo(
            as_typed(printable(
                f"note: {draft}: left by a run that was interrupted when the folder was at another path, or by another "
                "user's; it is not continued: delete it if no other run is at work"
            )),
            err=True,
        )  # fmt: skip


def note_unfinished(shards: Path) -> None:
    """Say on stderr if samples of a set are still to be made: what reads it now does without them."""
    from uvgen.shards.index import Index, data_folder
    from uvgen.storage.urls import shown_path

    if missing := Index.read(data_folder(shards)).missing:
        click.echo(
            as_typed(f"note: {shown_path(shards)} is unfinished, {count(missing, 'sample')} {are(missing)} missing"),
            err=True,
        )


def name_skipped(skipped: Sequence[Any], listed_in: str, *, quiet: bool = False) -> None:
    """Print on stderr what was left out, with `name` and `reason`: one line for each, or for many of similar reasons.

    If only errors are asked for, one line says how many there are and names the first: the exit status is 3, and
    people want to know why.
    """
    if quiet and skipped:
        first = f"{skipped[0].name}: {skipped[0].reason}"
        more = f", first {first}; {listed_in} lists them all" if len(skipped) > 1 else f": {first}"
        click.echo(as_typed(printable(f"{len(skipped)} skipped{more}")), err=True)
        return
    alike = dict[str, list[Any]]()
    for skip in skipped:
        alike.setdefault(_kind_of(skip), []).append(skip)
    lines = list[tuple[str, int]]()  # and how many each stands for
    for group in alike.values():
        if len(group) > _MOST_ALIKE:
            names = ", ".join(skip.name for skip in group[:_N_EXAMPLES])
            text = f"skipped {len(group)} for similar reasons: {names}, ...; the first: {group[0].reason}"
            lines.append((text, len(group)))
        else:
            lines += [(f"skipped {skip.name}: {skip.reason}", 1) for skip in group]
    for text, _ in lines[:_MOST_NAMED]:
        click.echo(as_typed(printable(text)), err=True)
    if len(lines) > _MOST_NAMED:
        click.echo(f"and {sum(n for _, n in lines[_MOST_NAMED:])} more; {listed_in} lists them all", err=True)
    elif len(lines) < len(skipped):
        click.echo(f"{listed_in} lists them all", err=True)


def _kind_of(skip: Any) -> str:
    """Its reason without what is its own: paths with its name, and numbers."""
    stem = re.escape(skip.name.rpartition("/")[2])
    without_paths = re.sub(rf"\S*(?<!\w){stem}(?=[.:/])\S*", "", skip.reason)
    return re.sub(r"\d[\d.,]*", "0", without_paths)
