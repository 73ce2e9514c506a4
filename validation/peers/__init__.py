"""Other people's codes, driven the way their own examples drive them, so that a comparison is one with the real thing."""
