"""`uvgen select`: the samples that meet criteria, as a list, a split, or a data set of their own."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from uvgen.cli.options import (
    ANY_PATH,
    ANY_PATH_OR_DASH,
    EXISTING_FILE,
    HOW_IT_RUNS,
    PATH_OR_URL,
    GroupedCommand,
    option,
    output_of,
    refuse_given,
    untrusted_option,
    workers_option,
)
from uvgen.cli.progress import finish, reported
from uvgen.cli.results import json_option, print_json
from uvgen.cli.streams import print_result
from uvgen.cli.value_types import SPLIT_NAME, FiniteRange
from uvgen.wording import count

_WHICH, _RESULT, _RUN = "Which samples", "What comes out (one of them)", HOW_IT_RUNS

_OPTIONS = (
    option("--list", "list_path", type=EXISTING_FILE, group=_WHICH,
           help="Samples that a text file names, one per line."),
    option("--split", metavar="NAME", group=_WHICH, help="Samples of a part of splits.json."),
    option("--subset", "subsets", multiple=True, metavar="NAME", group=_WHICH, help="Samples of a subset; repeatable."),
    option("--min-nme", type=FiniteRange(0), metavar="PERCENT", group=_WHICH,
           help="Samples whose label NME is known and at least this."),
    option("--max-nme", type=FiniteRange(0), metavar="PERCENT", group=_WHICH,
           help="Samples whose label NME is known and at most this."),
    option("--min-yaw", type=FiniteRange(0, 180), metavar="DEGREES", group=_WHICH,
           help="Samples whose face is turned by at least this, to either side."),
    option("--max-yaw", type=FiniteRange(0, 180), metavar="DEGREES", group=_WHICH,
           help="Samples whose face is turned by at most this, to either side."),
    option("--flipped/--not-flipped", default=None, group=_WHICH,
           help="Samples that an augmentation mirrored, or did not."),
    option("--whole-photographs", is_flag=True, group=_WHICH,
           help="Add all versions of the chosen samples' photographs."),
    option("--as", "split_name", type=SPLIT_NAME, metavar="NAME", group=_RESULT,
           help="Write them as a part of this name into splits.json."),
    option("-o", "--out", type=ANY_PATH_OR_DASH, metavar="FILE", group=_RESULT,
           help="Write a list of names, as --list of this command and of build takes it; - is stdout."),
    option("--copy", "copy_to", type=ANY_PATH, metavar="FOLDER", group=_RESULT,
           help="Copy them into a data set of their own."),
    option("--overwrite", is_flag=True, group=_RUN, help="Replace a part, a list or a data set that is there."),
    workers_option,
    untrusted_option,
    json_option,
    option("-q", "--quiet", is_flag=True, group=_RUN, help="Print errors and warnings only."),
)  # fmt: skip


def criteria(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `uvgen select` and `uvgen drop` have in common."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


@click.command("select", cls=GroupedCommand)
@click.argument("shards", type=PATH_OR_URL)
@criteria
def command(shards: Path, **options: Any) -> None:
    """Choose samples that meet all criteria given.

    \b
    Example:
      uvgen select shards/ --max-nme 5 --max-yaw 60 --as clean
      uvgen select shards/ --split val --copy val/
      uvgen select shards/ --min-nme 10 --out doubtful.txt

    \b
    Exit status: 0 done, 1 failed or no sample meets them, 2 wrong usage.
    """
    choose(shards, options, drop=False)


def choose(shards: Path, options: dict[str, Any], *, drop: bool) -> None:
    """Choose samples, and hand them over as the options say."""
    from uvgen.datasets.selection import Criteria, select_names
    from uvgen.errors import InputError

    targets = [name for name in ("split_name", "out", "copy_to") if options[name] is not None]
    if len(targets) != 1:
        raise click.UsageError("no single output, expected one of --as NAME, --out FILE and --copy FOLDER")
    if options["copy_to"] is None:
        refuse_given(["workers", "retries", "timeout", "backend", "address"], "goes with --copy")
    if options["as_json"] and str(options["out"]) == "-":
        raise click.UsageError("--json and --out - are both for stdout, expected one of them")
    for what, unit in (("nme", "%"), ("yaw", "°")):
        low, high = options[f"min_{what}"], options[f"max_{what}"]
        if None not in (low, high) and low > high:
            raise click.UsageError(
                f"--min-{what} {low:g}{unit} is above --max-{what} {high:g}{unit}: no sample has both"
            )
    percents = {name: None if options[name] is None else options[name] / 100 for name in ("min_nme", "max_nme")}
    chosen = Criteria(
        names=options["list_path"], split=options["split"], subsets=options["subsets"],
        min_yaw_deg=options["min_yaw"], max_yaw_deg=options["max_yaw"], flipped=options["flipped"], **percents,
    )  # fmt: skip
    if chosen == Criteria():
        raise click.UsageError(
            "no criterion, expected one or more of --list, --split, --subset, --min-nme, --max-nme, --min-yaw, "
            "--max-yaw, --flipped and --not-flipped"
        )
    names = select_names(
        shards, chosen, drop=drop, whole_photographs=options["whole_photographs"], untrusted=options["untrusted"]
    )
    if not names:
        raise InputError(f"{shards}: {'no sample is left' if drop else 'no sample meets the criteria'}")
    {"split_name": _as_split, "out": _as_list, "copy_to": _as_data_set}[targets[0]](
        shards, names, chosen, options, drop
    )


def _as_split(shards: Path, names: list[str], chosen: Any, options: dict[str, Any], drop: bool) -> None:
    from uvgen.datasets.split_files import SPLITS, Split, check_split_name, write_splits
    from uvgen.errors import InputError
    from uvgen.shards.index import data_folder

    check_split_name(options["split_name"])
    given = chosen.to_plain()
    if options["whole_photographs"]:
        given["whole_photographs"] = True
    made = {"drop" if drop else "select": given}
    folder = data_folder(shards, changes="splits.json is written into it")
    if not os.access(folder, os.W_OK):  # a part has no other place
        raise InputError(
            f"{folder}: cannot be written, expected a folder that takes {SPLITS}; write a list of the names instead "
            "(--out), or copy the samples (--copy)"
        )
    path = folder / SPLITS
    with output_of("--as"):
        write_splits(path, [Split(options["split_name"], tuple(names), made)], overwrite=options["overwrite"])
    _tell(path, names, options, f"{path}: {options['split_name']}, {count(len(names), 'sample')}")


def _as_list(shards: Path, names: list[str], chosen: Any, options: dict[str, Any], drop: bool) -> None:
    from uvgen.errors import InputError, SettingsError
    from uvgen.storage.files import check_file, replaced_on_success
    from uvgen.storage.names import brief, printable

    if odd := [name for name in names if not name.strip() or printable(name) != name]:
        raise InputError(
            f"sample {brief(repr(odd[0]))}: a name that no list can hold; make a part of the set, or a copy"
        )
    out, text = options["out"], "".join(f"{name}\n" for name in names)
    if str(out) == "-":
        print_result(text, nl=False)
        return
    if out.exists() and not options["overwrite"]:
        raise SettingsError(f"{out}: exists, expected a new file; choose another name, or overwrite it")
    check_file(out)
    with replaced_on_success(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    _tell(out, names, options, f"{out}: {count(len(names), 'name')}")


def _tell(out: Path, names: list[str], options: dict[str, Any], line: str) -> None:
    if options["as_json"]:
        print_json({"out": str(out), "split": options["split_name"], "samples": len(names), "names": names})
    elif not options["quiet"]:
        click.echo(line)


def _as_data_set(shards: Path, names: list[str], chosen: Any, options: dict[str, Any], drop: bool) -> None:
    from uvgen import merge_shards
    from uvgen.datasets.output_folder import check_output

    with output_of("--copy"):
        check_output(options["copy_to"], overwrite=options["overwrite"])
    quiet = options["quiet"]
    with output_of("--copy"), reported(quiet=quiet) as shown:
        result = merge_shards(
            shards, options["copy_to"], names=names, run=options["run"](), overwrite=options["overwrite"],
            untrusted=options["untrusted"], progress=shown.shard_finished,
        )  # fmt: skip
    finish(options["copy_to"], result, quiet=quiet, verbose=False, as_json=options["as_json"])
