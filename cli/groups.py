"""Groups of commands: errors in one style, and suggestions for what was mistyped."""

import contextlib
import difflib
import errno
import sys
from typing import Any

import click

from uvgen.storage.names import brief

_LIMITS = {
    getattr(errno, name)
    for name in ("EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "ESTALE")
    if hasattr(errno, name)
}


class SpokenGroup(click.Group):
    """A group whose errors are one line each, ``uvgen: …``, and that suggests the command that was meant."""

    def main(
        self,
        args: Any = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            status = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.Abort:
            click.echo("uvgen: aborted", err=True)
            sys.exit(1)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            help_ = f" (see `{context.command_path} --help`)" if context is not None else ""
            click.echo(f"uvgen: {_as_sentence(error)}{help_}", err=True)
            sys.exit(error.exit_code)
        except OSError as error:  # of the machine, wherever it happened: a folder without rights, a name too long
            if error.errno is None or error.errno == errno.EPIPE:
                raise
            advice = "free space, limits (ulimit -a)?" if error.errno in _LIMITS else "was it moved, may it be read?"
            where = f"{brief(error.filename)}: " if error.filename else ""
            with contextlib.suppress(OSError):
                click.echo(f"uvgen: {where}{error.strerror}; {advice}", err=True)
            sys.exit(1)
        sys.exit(status if isinstance(status, int) else 0)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(self.list_commands(ctx))}"
            raise click.UsageError(f"no command {args[0]!r}; {hint}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every command with its whole first sentence."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            rows.append((name, "" if command is None else (command.help or "").split("\n\n")[0].replace("\n", " ")))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _as_sentence(error: click.ClickException) -> str:
    """What click says, as uvgen's other errors read."""
    text = " ".join(error.format_message().split()).rstrip(".")
    return f"{text[:1].lower()}{text[1:]}" if text[1:2].islower() else text
