"""Cases with known answers and benchmarks against peers: ``python -m validation list | run | bench | report``."""
