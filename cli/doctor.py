"""`uvgen doctor`: what is wrong with this machine, or with a file or folder."""

import difflib
import itertools
import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from uvgen.cli.groups import as_typed
from uvgen.cli.options import ANY_PATH, MODEL, untrusted_option
from uvgen.cli.progress import reported
from uvgen.cli.results import json_option, print_json
from uvgen.storage.names import printable
from uvgen.wording import count, shown_size


def _codes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from uvgen.doctor.checks import CHECKS

    return [code for code in CHECKS if code.startswith(incomplete.upper())]


@click.command("doctor")
@click.argument("path", type=ANY_PATH, required=False)
@click.option("--model", "model_path", type=MODEL,
              help="The model of the shards, or of the samples' parameters.  [default: for a folder that `uvgen fit` "
                   "or `uvgen synth` made, the model that it was made with]")  # fmt: skip
@click.option("--deep", is_flag=True, help="Read everything, not only names, sizes and a few samples.")
@click.option(
    "--explain",
    metavar="CODE",
    shell_complete=_codes,
    help="Print what a code means, its cause and its cure, and stop.",
)
@untrusted_option
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
def command(
    path: Path | None,
    model_path: Path | str | None,
    deep: bool,
    explain: str | None,
    untrusted: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find out what is wrong with this machine, a data set, a folder of samples, or a model file.

    Every finding has a code, such as UV203, which keeps its meaning; docs/doctor.md lists them all. The last line is
    the verdict.

    \b
    Example:
      uvgen doctor
      uvgen doctor shards/ --deep
      uvgen doctor 300W_LP/ --model bfm.h5
      uvgen doctor --explain UV203

    \b
    Exit status: 0 no errors (warnings included), 1 errors, 2 wrong usage.
    """
    if explain is not None:
        _explain(explain, as_json=as_json)
        return
    from uvgen import diagnose

    if path is None and model_path is not None:
        raise click.UsageError("--model goes with a data set or a folder of samples; a model alone: uvgen doctor FILE")
    named = str(path) if str(path) == "builtin" else path
    with reported(quiet=quiet):
        found = diagnose(named, model=model_path, deep=deep, untrusted=untrusted)
    if as_json:
        print_json(found.to_plain())
        sys.exit(0 if found.sound else 1)
    if found.kind == "machine" and not quiet:
        for line in _facts(found.facts):
            click.echo(line)
    told = [finding for finding in found.findings if not quiet or finding.level != "note"]
    for _, alike in itertools.groupby(told, key=lambda finding: finding.code):
        click.echo(as_typed(_shown([*alike])))
    if not quiet and (line := _checked(found)):
        click.echo(printable(line))
    if not quiet or told:
        click.echo(found.verdict)
    sys.exit(0 if found.sound else 1)


_ADVICE = re.compile(r"; (?:build|copy|make|name|remove|rename|run) [^;]*\Z")
"""Advice that other commands append to the same error; a check's cure replaces it."""


def _shown(findings: list[Any]) -> str:
    """All findings of one code, with what to do about them once."""
    from uvgen.doctor.checks import CHECKS

    code = findings[0].code
    check = CHECKS[code]
    found = [finding.text for finding in findings]
    if "message" not in check.cure:  # which says what to do for all of them
        found = [_ADVICE.sub("", text) for text in found]
    texts = "\n".join(f"    {printable(text)}" for text in found)
    return f"{code} {check.level}: {check.title}\n{texts}\n    {check.cure}"


def _checked(found: Any) -> str:
    """What was looked at, in a line."""
    facts = found.checked
    if not facts:
        return ""
    deep, nme = facts["deep"], facts.get("label_nme")
    labels = "" if nme is None else f", label NME {nme:.2%} (median)"
    if found.kind == "data set":
        held = f"{count(facts['samples'], 'sample')} in {count(facts['shards'], 'shard')}"
        maps = ", maps compared with their parameters" if facts["compared_with_model"] else ""
        how = f"all read{maps}" if deep else "names and sizes; --deep reads all"
        return f"checked: {held}, {shown_size(facts['size_bytes'])}, model {facts['model']}{labels}; {how}"
    if found.kind == "samples":
        few = "" if facts["read"] == facts["samples"] else f", {facts['read']} of them read"
        more = "; " + "; ".join([
            *(["--model also tries what `uvgen build` refuses"] if facts["model"] is None else []),
            *(["--deep reads all"] if few and not deep else []),
        ])  # fmt: skip
        with_model = "" if facts["model"] is None else f", with model {facts['model']}"
        return f"checked: {count(facts['samples'], 'sample')}{few}{with_model}{labels}{more if len(more) > 2 else ''}"
    components = f"{facts['n_shape']} shape + {count(facts['n_expression'], 'expression component')}"
    return (
        f"checked: {facts['name']}, {count(facts['n_vertices'], 'vertex')}, {components}{', its hash' if deep else ''}"
    )


def _explain(code: str, *, as_json: bool) -> None:
    from uvgen.doctor.checks import CHECKS

    key = code.upper() if code.upper().startswith("UV") else f"UV{code}"
    check = CHECKS.get(key)
    if check is None:
        first, *_, last = CHECKS
        near = difflib.get_close_matches(key, CHECKS, n=3, cutoff=0.75)
        hint = f"did you mean {' or '.join(near)}? Codes" if near else "codes"
        raise click.BadParameter(
            f"{code}: no such code; {hint} go from {first} to {last}, docs/doctor.md lists them",
            param_hint="--explain",
        )
    if as_json:
        about = {"level": check.level, "title": check.title, "cause": check.cause, "cure": check.cure}
        print_json({"code": key, **about})
        return
    click.echo(f"{key} ({check.level}): {check.title}\n\n{check.cause}\n\n{check.cure}")


def _facts(facts: dict[str, Any]) -> list[str]:
    def size(key: str) -> str:
        return f"{facts[key] / 1e9:.1f} GB" if key in facts else "unknown"

    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    optional = ", ".join(f"{name} {version}" for name, version in facts["optional"].items()) or "none"
    cores = f"{facts['usable_cores']} of {facts['cores']}" if "cores" in facts else os.cpu_count()  # without joblib
    return [
        f"uvgen {facts['uvgen']}, Python {facts['python']}, {facts['system']}, HDF5 {facts.get('hdf5', 'missing')}",
        f"packages: {packages}",
        f"optional packages: {optional}",
        f"{cores} cores, {size('available_memory_bytes')} of memory available, "
        f"{count(facts['open_files'], 'open file')}",
        f"free: {size('current_folder_free_bytes')} here, {size('temporary_folder_free_bytes')} for temporary files, "
        f"{size('shared_memory_folder_free_bytes')} of shared memory",
        f"compiled code: {facts['numba_cache'] or 'not kept'}; built-in samples: {facts.get('uvgen_cache', 'unknown')}",
    ]
