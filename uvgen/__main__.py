"""`python -m uvgen`: the command."""

from uvgen.cli.main import main

if __name__ == "__main__":
    main(prog_name="uvgen")
