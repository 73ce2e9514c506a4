"""Entry point of ``python -m validation``."""

from validation.cli import app

app(prog_name="python -m validation")
