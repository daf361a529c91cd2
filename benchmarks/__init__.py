"""Suites against peers, one thread each; every suite writes JSON into results/, and the docs' tables are made of it."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
