"""What an import of the audit costs: no torch, no matplotlib, no scikit-learn, no jinja2."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["", ".utility", ".likeness", ".cost", ".membership", ".shadows", ".report", ".bundle", ".worlds", ".examine"],
)
def test_heavy_libraries_stay_out(module):
    heavy = "{'torch', 'matplotlib', 'sklearn', 'jinja2', 'joblib', 'scipy', 'pandas'}"
    code = f"import sys, expunge.audit{module}; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
