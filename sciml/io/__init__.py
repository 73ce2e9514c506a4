"""Exchange with other programs' file formats."""
