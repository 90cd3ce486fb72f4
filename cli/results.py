"""How commands print what came of them as JSON: one object on stdout, everything else on stderr."""

import json
from typing import Any

import click

from uvgen.cli.options import HOW_IT_RUNS, option

json_option = option(
    "--json", "as_json", is_flag=True, group=HOW_IT_RUNS, help="Print the result as one JSON object on stdout."
)


def print_json(content: dict[str, Any]) -> None:
    """One object, readable, in UTF-8 whatever the terminal's encoding."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=True))
