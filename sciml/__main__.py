"""``python -m sciml`` is the command `sciml`."""

import sys


def main() -> None:
    """Entry point; Ctrl-C has its exit code and one line while Python still imports the command line, too."""
    try:
        from sciml.cli import app

        app(prog_name="sciml")
    except KeyboardInterrupt:
        print("interrupted: nothing was begun", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
