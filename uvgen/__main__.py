"""`uvgen` and `python -m uvgen`: the command, as long as what it is made of can be imported."""

import sys


def main() -> None:
    """Run the command; without a package that its start needs, say which one in a line."""
    try:
        import lazy_loader  # noqa: F401  (uvgen itself can be imported without it)

        from uvgen.cli.main import main as command
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
    command(prog_name="uvgen")


if __name__ == "__main__":
    main()
