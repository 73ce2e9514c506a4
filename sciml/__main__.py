"""``python -m sciml`` is the command `sciml`."""

from sciml.cli import main

main()
