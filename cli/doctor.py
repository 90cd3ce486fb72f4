"""`uvgen doctor`: what is wrong with this machine, or with a file or folder."""

import sys
from pathlib import Path
from typing import Any

import click

from uvgen.cli.options import ANY_PATH, MODEL, untrusted_option
from uvgen.cli.results import json_option, print_json
from uvgen.storage.names import printable


@click.command("doctor")
@click.argument("path", type=ANY_PATH, required=False)
@click.option("--model", "model_path", type=MODEL, help="The model of the shards, or of the samples' parameters.")
@click.option("--deep", is_flag=True, help="Read everything, not names, sizes and a few samples alone.")
@click.option("--explain", metavar="CODE", help="Say what a code means, its cause and its cure, and stop.")
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
        _explain(explain)
        return
    from uvgen import diagnose

    found = diagnose(str(path) if str(path) == "builtin" else path, model=model_path, deep=deep, untrusted=untrusted)
    if as_json:
        print_json(found.to_plain())
        sys.exit(0 if found.sound else 1)
    if found.kind == "machine" and not quiet:
        for line in _facts(found.facts):
            click.echo(line)
    for finding in found.findings:
        if not quiet or finding.level != "note":
            click.echo(_shown(finding))
    if not quiet or found.findings:
        click.echo(found.verdict)
    sys.exit(0 if found.sound else 1)


def _shown(finding: Any) -> str:
    from uvgen.doctor.checks import CHECKS

    check = CHECKS[finding.code]
    return f"{finding.code} {check.level}: {check.title}\n    {printable(finding.text)}\n    {check.cure}"


def _explain(code: str) -> None:
    from uvgen.doctor.checks import CHECKS

    check = CHECKS.get(code.upper())
    if check is None:
        raise click.BadParameter(f"{code}: expected one of {', '.join(CHECKS)}", param_hint="--explain")
    click.echo(f"{code.upper()} ({check.level}): {check.title}\n\n{check.cause}\n\n{check.cure}")


def _facts(facts: dict[str, Any]) -> list[str]:
    def size(key: str) -> str:
        return f"{facts[key] / 1e9:.1f} GB" if key in facts else "unknown"

    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    optional = ", ".join(f"{name} {version}" for name, version in facts["optional"].items()) or "none"
    return [
        f"uvgen {facts['uvgen']}, Python {facts['python']}, {facts['system']}, HDF5 {facts['hdf5']}",
        f"packages: {packages}",
        f"optional packages: {optional}",
        f"{facts['usable_cores']} of {facts['cores']} cores, {size('available_memory_bytes')} of memory available, "
        f"{facts['open_files']} open files",
        f"free: {size('current_folder_free_bytes')} here, {size('temporary_folder_free_bytes')} for temporary files, "
        f"{size('shared_memory_folder_free_bytes')} of shared memory",
        f"compiled code: {facts['numba_cache'] or 'not kept'}; built-in samples: {facts['uvgen_cache']}",
    ]
