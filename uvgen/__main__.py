"""`uvgen` and `python -m uvgen`: the command, as long as what it is made of can be imported."""

import sys


def main() -> None:
    """Run the command; without a package that its start needs, say which one in a line."""
    try:
        import lazy_loader  # noqa: F401  (uvgen itself can be imported without it)

        from uvgen.cli.main import main as command
        from uvgen.interrupts import ignore_interrupts
    except KeyboardInterrupt:  # Ctrl-C right after the start
        sys.stderr.write("uvgen: interrupted\n")
        sys.exit(130)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "uvgen"):
            raise
        sys.exit(
            f"uvgen: cannot be loaded ({package} is not installed); install it with `python -m pip install {package}`, "
            "then `uvgen doctor` lists what else is missing"
        )
    try:
        command(prog_name="uvgen")
    finally:
        ignore_interrupts()  # all is done: Ctrl-C while Python ends would print a traceback


if __name__ == "__main__":
    main()
