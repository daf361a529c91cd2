"""The data of the suites: what is shipped, and what lies beside the checkout (left out with a reason where absent)."""

from pathlib import Path

import numpy as np
import pandas as pd

from expunge.core.dataset import Dataset
from expunge.data import diabetes130

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def diabetes() -> tuple[pd.DataFrame, Dataset]:
    """Scene XS13: Diabetes-130, readmitted or not, the patient owns the encounters."""
    frame = diabetes130()
    frame["readmitted"] = np.where(frame["readmitted"] == "NO", "no", "yes")
    data = Dataset.from_frame(frame, target="readmitted", subject="patient_nbr", ids="encounter_id")
    return frame.set_index("encounter_id", drop=True).drop(columns="patient_nbr"), data


def adult() -> tuple[pd.DataFrame, Dataset]:
    """Adult census income, both splits, every person owns one record."""
    path = SHARED / "adult" / "adult.csv.xz"
    if not path.exists():
        raise FileNotFoundError("adult is not beside the checkout")
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""]).drop(columns="split")
    return frame, Dataset.from_frame(frame, target="income")


SCENES = {"adult": adult, "diabetes130": diabetes}
