"""One case a file: a module with a one-line title as docstring and ``run(...) -> CheckReport``; the file's name is the case's name."""
