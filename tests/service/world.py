"""A small clinic with a canary: a person whose values occur nowhere else, in columns of every kind."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pandas as pd

from expunge import catalog
from expunge.core.deployment import Deployment
from expunge.core.errors import ClassVanished
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.service.create import Recipe, create
from expunge.service.forgetting import Wish

PERSON = "canary.quagga@example.org"
STRANGER = "another.okapi@example.org"
CANARY = {
    "age": 83652.4375,
    "city": "Zanzibar-Quux",
    "note": "the zebra plays a violet xylophone at midnight",
    "height": 173.53125,
}
IDS = ("visit-CANARY-817231", "visit-CANARY-817232")
NUMBERS = (83652.4375, 173.53125)
TEXTS = (PERSON, "Zanzibar-Quux", "violet xylophone", *IDS)
QUICK = Policy(probes=("utility", "likeness", "membership", "cost"), n_shadows=0)
TALLY = catalog.Entry("learner", "tally", "expunge.core.tiny:Tally", "Counts, for tests.")


def plant_tally() -> None:
    """Put the tiny learner on the menu."""
    if TALLY not in catalog.ENTRIES:
        catalog.ENTRIES = (*catalog.ENTRIES, TALLY)


def clinic(n: int = 120) -> pd.DataFrame:
    """Return n visits of n/3 people, and the canary's two."""
    draw = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "email": [f"person{i // 3}@example.org" for i in range(n)],
            "visit": [f"visit-{i:06d}" for i in range(n)],
            "age": draw.integers(18, 90, n).astype(float),
            "city": draw.choice(["Bern", "Oslo", "Kyoto"], n),
            "note": [f"patient number {i} came in and went home again today" for i in range(n)],
            "height": draw.normal(170, 9, n).round(2),
            "born": [f"19{i % 80 + 10}-03-{i % 27 + 1:02d}" for i in range(n)],
            "ill": np.where(draw.random(n) < 0.4, "yes", "no"),
        }
    )
    people = [PERSON, PERSON, STRANGER]
    extra = pd.DataFrame([CANARY] * 3).assign(
        email=people, visit=[*IDS, "visit-OKAPI-1"], born="1907-12-31", ill=["yes", "no", "yes"]
    )
    extra.loc[2, ["age", "city", "note", "height"]] = [44.0, "Oslo", "an okapi came by and left a parcel here", 171.0]
    return pd.concat([frame, extra], ignore_index=True)


RECIPE = Recipe("ill", "tally", {}, "email", "visit", holdout=0.25)


def build(root: Path, recipe: Recipe = RECIPE, frame: pd.DataFrame | None = None) -> Deployment:
    """Make a store in which the canary is in the training data."""
    plant_tally()
    data = recipe.read(clinic() if frame is None else frame)
    for seed in range(100):
        try:
            deployment = recipe.train(data, Key.public(seed))
        except ClassVanished:  # all of a rare class fell into the holdout
            continue
        if deployment.data.owned_by(PERSON):
            break
    create(root, deployment, recipe)
    return deployment


def wish(subject: str = PERSON, **rest: object) -> Wish:
    """Return the wish to forget the canary."""
    return Wish(ForgetRequest(subject=subject), QUICK, **rest)  # type: ignore[arg-type]


def patterns() -> dict[str, bytes]:
    """Return the canary in every encoding that the store could have used."""
    found = {}
    for text in TEXTS:
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            found[f"{text} as {encoding}"] = text.encode(encoding)
    for number in NUMBERS:
        for form in ("<d", ">d"):
            found[f"{number} as {form}"] = struct.pack(form, number)
        found[f"{number} as text"] = str(number).encode()
    return found


def traces(root: Path) -> dict[str, list[str]]:
    """Return which pattern occurs in which files."""
    found: dict[str, list[str]] = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        body = path.read_bytes()
        for name, pattern in patterns().items():
            if pattern in body or any(text in path.name for text in TEXTS):
                found.setdefault(name, []).append(str(path.relative_to(root)))
    return found
