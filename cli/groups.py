"""Groups of commands: errors in one style, and suggestions for what was mistyped."""

import contextlib
import difflib
import errno
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from uvgen.cli.streams import ended_with_reader, is_of_stdout
from uvgen.interrupts import exit_status
from uvgen.storage.names import brief, printable

ARGUMENTS = "uvgen.arguments"
"""Where the context of `uvgen` notes the command line."""

STARTED = "uvgen.started"
"""Where the context of `uvgen` notes when the command began."""

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
        except click.Abort as error:
            if isinstance(error.__cause__, KeyboardInterrupt):  # before the command has begun
                click.echo("uvgen: interrupted", err=True)
                sys.exit(exit_status(error.__cause__))
            click.echo("uvgen: aborted", err=True)
            sys.exit(1)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            text = _as_sentence(error)
            mark = "" if text.endswith("?") else ";"
            command = self._called(args) if context is None else context.command_path
            click.echo(f"uvgen: {text}{mark} see `{command} --help`", err=True)
            sys.exit(error.exit_code)
        except (ImportError, OSError) as error:
            # of the machine, wherever it happened: a folder without rights, a name too long, a library that is not
            # loaded
            if isinstance(error, ImportError) or "shared object" in str(error):
                what = brief(" ".join(str(error).split()))[:200]
                again = "install uvgen again; `uvgen doctor` lists what is missing"
                advice = (
                    again if isinstance(error, ModuleNotFoundError) else "too little memory, or install uvgen again?"
                )
                click.echo(f"uvgen: cannot be loaded ({what}); {advice}", err=True)
                sys.exit(1)
            if error.errno is None or error.errno == errno.EPIPE:
                raise
            advice = "free space, limits (ulimit -a)?" if error.errno in _LIMITS else "was it moved, may it be read?"
            if "temporary directory" in (error.strerror or ""):  # Python's words when no folder takes one
                advice = "set TMPDIR to a folder that can be written"
            where = f"{brief(error.filename)}: " if error.filename else ""
            if is_of_stdout(error):
                where, advice = "stdout: ", "only this text is lost, finished files are kept"
            if not where and not _has_working_folder():
                where, advice = "the working folder: ", "it was deleted or moved; change to another one (cd)"
            with contextlib.suppress(OSError):
                click.echo(f"uvgen: {where}{error.strerror}; {advice}", err=True)
            sys.exit(1)
        sys.exit(status if isinstance(status, int) else 0)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with ended_with_reader():  # of what --help prints
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with ended_with_reader():
            return super().invoke(ctx)

    def _called(self, args: Any) -> str:
        """The command that the arguments call; `uvgen` if they call none."""
        words: list[str] = [*(sys.argv[1:] if args is None else args)]
        called, group = [self.name or ""], self
        while words and isinstance(group, click.Group):
            group = group.get_command(click.Context(group), words[0])  # type: ignore[assignment]
            called += [words.pop(0)] if group is not None else []
        return " ".join(called)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:  # all releases of click alike: the help, and wrong usage
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if f"--{args[0]}" in (name for param in self.get_params(ctx) for name in param.opts):
                near = [f"--{args[0]}"]
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


_NAMED = {
    "argument `weights` of FaceDetector": "--detector-model",
    "symmetric=False or the pairs as `mirror`": "--asymmetric",
    "symmetric=False": "--asymmetric",
}
_MENTIONED = re.compile(r"argument `([a-z][a-z0-9_]*)`")


def as_typed(text: str) -> str:
    """A text of the library in the words of the command line: options for the arguments, and its paths, as typed.

    The library mentions arguments as ``argument `uv_from```, and works with absolute paths, since its processes may
    have another working folder.
    """
    for mentioned, named in _NAMED.items():
        text = text.replace(mentioned, named)
    text = _MENTIONED.sub(lambda found: f"--{found[1].replace('_', '-')}", text)
    context = click.get_current_context(silent=True)
    arguments = [] if context is None else context.find_root().meta.get(ARGUMENTS, [])
    words = [word.partition("=")[2] if word.startswith("--") else word for word in arguments]
    typed = [word for word in words if word[:1] not in ("", "-") and not Path(word).is_absolute()]
    # the folder of a video's landmarks; Path.is_file would raise for words that are too long for a name
    typed += [os.path.splitext(word)[0] for word in typed if os.path.isfile(word)]  # noqa: PTH113
    wholes = {os.path.abspath(path): path for path in typed}
    for whole in sorted(wholes, key=len, reverse=True):
        path = printable(wholes[whole].rstrip(os.sep))
        text = re.sub(rf"(?<![\w./]){re.escape(printable(whole))}(?![\w.-])", lambda _, path=path: path, text)  # type: ignore[misc]
    return text


_ARGUMENT = re.compile(r"([a-z][a-z0-9_]*): ")
_OTHERWISE_NAMED = {"names": ("list_path",)}


def with_option(text: str, command: click.Command | None, arguments: Sequence[str]) -> str:
    """An error of the library that begins with the name of a function's argument, with the option for it instead.

    Parameters
    ----------
    text : str
        ``by: '(', expected …``.
    command : click.Command or None
        The one that was called.
    arguments : sequence of str
        The command line: a word in it may be a file, with which errors begin too.
    """
    found = _ARGUMENT.match(text)
    if found is None or command is None or found[1] in arguments:
        return text
    wanted = {found[1], found[1].removesuffix("_mm"), f"{found[1]}_path", *_OTHERWISE_NAMED.get(found[1], ())}
    for param in command.params:
        if isinstance(param, click.Option):
            name = _label(param)
            if wanted & {param.name, name.lstrip("-").replace("-", "_")}:
                return f"{name}: {text[found.end() :]}"
    return text


def _as_sentence(error: click.ClickException) -> str:
    """An error of click's in the order of uvgen's other errors: the option, what was found, what was expected."""
    if isinstance(error, click.NoSuchOption):
        return _no_such_option(error)
    if isinstance(error, click.MissingParameter):
        param = error.param
        expected = getattr(param, "help", None) if isinstance(param, click.Option) else None
        if expected and isinstance(param.type, click.Choice):  # type: ignore[union-attr]
            expected = f"one of {', '.join(map(str, param.type.choices))}"  # type: ignore[union-attr]
        return f"missing {_label(param)}{f' ({_first_words(expected)})' if expected else ''}"
    if isinstance(error, click.BadOptionUsage):
        return f"{error.option_name}: {_lowered(error.message.partition('requires ')[2] or error.message, 'expected ')}"
    if isinstance(error, click.BadParameter):
        hint = error.param_hint if isinstance(error.param_hint, str) else _label(error.param)
        return f"{hint}: {_bad_value(error)}"
    return _lowered(error.format_message())


def _lowered(text: str, before: str = "") -> str:
    text = " ".join(text.split()).rstrip(".")
    return before + (f"{text[:1].lower()}{text[1:]}" if text[1:2].islower() else text)


def _label(param: click.Parameter | None) -> str:
    """An option's long name, or an argument's in the usage line."""
    if param is None:
        return "a value"
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return (param.metavar or (param.name or "").upper()) if isinstance(param, click.Argument) else str(param.name)


def _first_words(text: str) -> str:
    words = " ".join(text.replace("\b", "").split())
    first = re.split(r"(?<=[^.])[.;:](?:\s|$)", words)[0]
    return f"{first[:1].lower()}{first[1:]}" if first[1:2].islower() or first[1:2] == " " else first


def _bad_value(error: click.BadParameter) -> str:
    """``huge, expected a whole number``."""
    kind: Any = getattr(error.param, "type", None)
    found = re.match(r"'?(.*?)'? is not (?:a valid|in the range|one of)", error.message, flags=re.DOTALL)
    if found is None:
        return _lowered(error.message)
    if isinstance(kind, click.Choice):
        return f"{found[1]}, expected one of {', '.join(map(str, kind.choices))}"
    whole = isinstance(kind, (click.IntRange, click.types.IntParamType))
    text = "a whole number" if whole else "a number"
    if isinstance(kind, (click.IntRange, click.FloatRange)) and (kind.min is not None or kind.max is not None):
        bound = str if whole else "{:g}".format
        low = None if kind.min is None else f"{'above ' if kind.min_open else ''}{bound(kind.min)}"
        high = None if kind.max is None else f"{'below ' if kind.max_open else ''}{bound(kind.max)}"
        if low and high:
            text += f" {'' if kind.min_open else 'from '}{low} {'and' if kind.max_open else 'to'} {high}"
        else:
            text += f" {low if kind.min_open else f'of {low} or more'}" if low else f" of {high} or less"
    return f"{found[1]}, expected {text}"


def _no_such_option(error: click.NoSuchOption) -> str:
    """With the option that was meant, if one is near: a prefix of it, or a letter or two off."""
    command = error.ctx.command if error.ctx is not None else None
    there = [name for param in (command.params if command else ()) for name in param.opts if name.startswith("--")]
    name = error.option_name
    near = [one for one in there if name.startswith("--") and (one.startswith(name) or name.startswith(one))]
    near = near or difflib.get_close_matches(name, there, n=1, cutoff=0.75)
    return f"no option {name}{f'; did you mean {near[0]}?' if near else ''}"


def _has_working_folder() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True
