"""Types of options' values: what is wrong with one in itself is wrong usage, whatever the files are."""

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    AnyType = click.ParamType[Any]  # which has no parameters before click 8.4
else:
    AnyType = click.ParamType


class Seed(click.types.IntParamType):
    """What `uvgen.checks.seed_number` takes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not -(2**63) <= number < 2**63:
            self.fail(f"{value}, expected a whole number from {-(2**63)} to {2**63 - 1}", param, ctx)
        return number


SEED = Seed()


class FiniteRange(click.FloatRange):
    """A range of numbers that takes neither ``nan``, which is in every range, nor ``inf``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value}, expected a finite number", param, ctx)
        return number


class NameList(AnyType):
    """Names separated by commas, as a tuple; each one of those that `allowed` lists, if it is given.

    The shell completes the names that `suggested` lists, which are those by default.
    """

    name = "list"

    def __init__(
        self,
        allowed: Callable[[], Iterable[str]] | None = None,
        *,
        suggested: Callable[[], Iterable[str]] | None = None,
        least: int = 0,
    ) -> None:
        self._allowed, self._least, self._suggested = allowed, least, suggested or allowed

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        before, comma, begun = incomplete.rpartition(",")
        there = before.split(",")
        names = [] if self._suggested is None else self._suggested()
        return completions((before + comma + name for name in names if name not in there), before + comma + begun)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        given = value.split(",") if isinstance(value, str) else value
        names = tuple(name.strip() for name in given if name.strip())
        allowed = list(self._allowed()) if self._allowed is not None else None
        if allowed is not None and (unknown := [name for name in names if name not in allowed]):
            self.fail(f"{unknown[0]}, expected one or more of {', '.join(allowed)}", param, ctx)
        if len(names) < self._least:
            more = f" of {', '.join(allowed)}" if allowed is not None else ""
            self.fail(f"none, expected one or more{more}", param, ctx)
        return names


def completions(words: Iterable[str], incomplete: str) -> "list[CompletionItem]":
    """Those that begin with what is typed."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


class CheckedText(AnyType):
    """A text that `check` of the library takes: its error is that of the option."""

    name = "text"

    def __init__(self, check: Callable[[str], Any]) -> None:
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from uvgen.errors import InputError

        try:
            self._check(value)
        except InputError as error:
            self.fail(without_name(error, param), param, ctx)
        return value


def without_name(error: Exception, param: click.Parameter | None) -> str:
    """An error of the library without the argument's name, in whose place the option's stands."""
    name, _, rest = str(error).partition(": ")
    own = param is not None and name in (param.name, *(opt.lstrip("-").replace("-", "_") for opt in param.opts))
    return rest if own else str(error)


def _check_split(name: str) -> None:
    from uvgen.datasets.split_files import check_split_name

    check_split_name(name)


SPLIT_NAME = CheckedText(_check_split)
"""Of a part that is written into ``splits.json``."""


class MapScale(AnyType):
    """A unit of maps by its name, or a number."""

    name = "scale"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "px|size|prnet|reshow|unit|NUMBER"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from uvgen.normalization import MAP_SCALES

        return completions(MAP_SCALES, incomplete)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from uvgen.errors import InputError
        from uvgen.normalization import MAP_SCALES, check_scale

        if value in MAP_SCALES:
            return value
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r}, expected px, size, prnet, reshow, unit or a number", param, ctx)
        try:
            check_scale(number)
        except InputError as error:
            self.fail(str(error).removeprefix("scale: "), param, ctx)
        return number


SCALE = MapScale()

SCALE_HELP = (
    "size (the crop's size), prnet (1.1 times that), reshow (280/256 times that), unit (as in ShardDataset), or a "
    "number to multiply them by."
)
"""What `SCALE` takes but for px, as the help of its options says it."""
