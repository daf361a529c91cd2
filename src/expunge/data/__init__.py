"""Data that ships with the package; see ``NOTICE.md`` beside it for licence and attribution."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def diabetes130() -> pd.DataFrame:
    """Return the Diabetes-130 hospital encounters: 101,766 rows of 71,518 patients (``patient_nbr``), 1999–2008.

    The target is ``readmitted`` (``NO``, ``>30``, ``<30``); ``encounter_id`` names the record.

    Source: Strack et al., BioMed Research International 2014; UCI Machine Learning Repository; CC BY 4.0.
    """
    import pandas as pd

    with as_file(files(__name__) / "diabetes130.csv.xz") as path:
        return pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)
