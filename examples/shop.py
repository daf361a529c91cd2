"""A film shop forgets a customer and withdraws a film, and its recommender is the one that never knew either.

Who has this problem: a shop whose recommendations were learnt from what its customers rated, a customer who wants to be
forgotten, and a distributor who takes a film back.
What they get: weights that equal, bit for bit, those of a shop that never had the ratings, and a receipt for each.
What is not claimed: nothing about screenshots, exports or what customers remember. The receipt lists it.

Run it: python examples/shop.py        (under half a minute; MovieLens where it lies beside the checkout, else a
generated catalogue, and it says which)
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from expunge import Dataset, Deployment, Ease, ForgetRequest, Key, Policy, fulfil, verify
from expunge.trust.keys import SigningKey
from expunge.trust.log import FileLog
from expunge.trust.trustroot import trust_root

MOVIELENS = Path(__file__).resolve().parents[2] / "shared" / "data" / "movielens_small"


def ratings() -> tuple[pd.DataFrame, dict[str, str]]:
    """Who rated which film, and what the films are called."""
    if MOVIELENS.is_dir():
        print("data: MovieLens ml-latest-small (GroupLens)")
        table = pd.read_csv(MOVIELENS / "ratings.csv.xz").rename(columns={"userId": "user", "movieId": "item"})
        titles = pd.read_csv(MOVIELENS / "movies.csv.xz").astype(str).set_index("movieId")["title"].to_dict()
        return table[["user", "item", "rating"]].astype({"item": str}), titles
    print("data: GENERATED, since MovieLens is not beside the checkout; the names of films are made up")
    draw = np.random.default_rng(0)
    user = np.repeat(np.arange(400), draw.integers(20, 120, 400))
    item = (draw.geometric(0.02, len(user)) * 2 + user % 2) % 500  # people of two tastes
    table = pd.DataFrame({"user": user, "item": item.astype(str), "rating": draw.integers(1, 6, len(user)) * 1.0})
    return table.drop_duplicates(["user", "item"]), {str(i): f"Generated film {i}" for i in range(500)}


def train() -> tuple[Deployment, dict[str, str]]:
    """The shop's model: one record is one rating, and the customer owns it."""
    table, titles = ratings()
    data = Dataset.from_frame(table, subject="user", kinds={"item": "category"})
    key = Key.generate(seed=0)
    train_set, holdout = data.split(key, 0.1)
    learner = Ease(min_raters=10)  # a film that fewer people rated is not recommended
    model = learner.fit(train_set, key)
    people, films = len(np.unique(train_set.subjects)), len(model.shelf().words)
    print(f"{len(train_set):,} ratings of {people:,} customers, {films:,} films to recommend")
    return Deployment(learner, train_set, key, model, holdout, fit_s=model.fit_s), titles


def main() -> None:
    shop, titles = train()
    customers, sizes = np.unique(shop.data.subjects, return_counts=True)
    customer = customers[np.argsort(sizes)[-5]].item()  # one who rated much

    def best(deployment: Deployment) -> str:
        return ", ".join(titles[film] for film, _ in deployment.model.recommend(customer, k=3))

    print(f"\ncustomer {customer} asks to be forgotten: {sizes[customers == customer][0]} ratings")
    print(f"they were recommended: {best(shop)}")

    # The shop's signing key and its public, append-only log; a customer pins the trust root beforehand.
    folder = Path(tempfile.mkdtemp(prefix="shop-"))
    issuer = SigningKey.generate("shop.example/issuer")
    log = FileLog(folder / "log", SigningKey.generate("shop.example/log"))
    pinned = trust_root(log.vkey, issuer.vkey).canonical()
    policy = Policy(n_shadows=0)

    done = fulfil(ForgetRequest(subject=customer), shop, policy=policy, issuer=issuer, log=log)
    after = done.deployment
    print(f"how the shop forgets: {done.plan.why}")
    print(f"now a stranger, they see what most people rated: {best(after)}")
    fresh = shop.learner.fit(after.data, shop.key)  # a shop that never had this customer
    print("fingerprints of the weights; `bits-here` above means: equal under one build of the numerical libraries")
    print(f"  learnt, then forgot them  {after.model.digest()[:32]}…")
    print(f"  never saw them            {fresh.digest()[:32]}…")
    print(f"  the same weights: {'yes' if after.model.digest() == fresh.digest() else 'NO'}")
    print(f"their receipt: {verify(done.receipt, pinned).lines()[0]}")

    # The film at the top is withdrawn: every rating of it goes, whoever gave it.
    film, _ = after.model.recommend("somebody new", k=1)[0]
    ids = tuple(after.model.taken().of_item(film))
    gone = fulfil(ForgetRequest(records=ids), after, policy=policy, issuer=issuer, log=log)
    words = gone.deployment.model.shelf().words
    print(f"\nits distributor withdraws {titles[film]!r}: {len(ids)} ratings of it are forgotten, whoever gave them")
    print(f"can the shop still recommend it: {'YES' if film in words else 'no'}")
    print(f"the distributor's receipt: {verify(gone.receipt, pinned).lines()[0]}")


if __name__ == "__main__":
    main()
