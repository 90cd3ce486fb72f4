"""How commands print what came of them as JSON: one object on stdout, everything else on stderr."""

import json
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object (docs/json.md).")


def print_json(content: dict[str, Any]) -> None:
    """One object, readable, in UTF-8 whatever the terminal's encoding."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=True))
