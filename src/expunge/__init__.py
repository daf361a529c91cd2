"""Machine unlearning that can be checked.

>>> import expunge
>>> learner = expunge.build("learner", "bayes")
>>> learner
NaiveBayes(smoothing=1.0, n_bins=64)

Names are looked up when they are first used, so that importing the package loads no learning library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from expunge.catalog import build
    from expunge.core.dataset import Dataset
    from expunge.core.deployment import Deployment
    from expunge.core.errors import ExpungeError
    from expunge.core.evidence import Evidence
    from expunge.core.guarantee import Guarantee
    from expunge.core.policy import Policy
    from expunge.core.request import ForgetRequest
    from expunge.core.seeds import Key
    from expunge.fulfilment import fulfil
    from expunge.models.bayes.naive import NaiveBayes
    from expunge.models.bayes.sums import SumBayes
    from expunge.models.boosting.learner import Boosting
    from expunge.models.clusters.divided import DividedKMeans
    from expunge.models.clusters.kmeans import KMeans
    from expunge.models.estimators.boosting import BoostedClassifier, BoostedRegressor
    from expunge.models.estimators.clusters import Clusters
    from expunge.models.estimators.components import Components
    from expunge.models.estimators.counts import NaiveBayesClassifier, SumBayesClassifier
    from expunge.models.estimators.forests import ForestClassifier, ForestRegressor
    from expunge.models.estimators.graph import NodeClassifier
    from expunge.models.estimators.index import VectorIndex
    from expunge.models.estimators.items import Items
    from expunge.models.estimators.linear import LinearDiscriminant, RidgeClassifier, RidgeRegressor
    from expunge.models.estimators.logistic import LogisticHead
    from expunge.models.estimators.neighbours import NeighboursClassifier, NeighboursRegressor
    from expunge.models.estimators.pipelines import check_pipeline, require_exact
    from expunge.models.estimators.sharded import ShardedClassifier, ShardedRegressor
    from expunge.models.forest.learner import Forest
    from expunge.models.graph.sgc import Sgc
    from expunge.models.index.flat import FlatIndex, HashedIndex
    from expunge.models.index.graph import GraphIndex
    from expunge.models.linear.components import PrincipalComponents
    from expunge.models.linear.discriminant import Discriminant
    from expunge.models.linear.ridge import Ridge
    from expunge.models.logistic.learner import Logistic
    from expunge.models.neighbours import Neighbours
    from expunge.models.network import Network
    from expunge.models.outside.learner import Outside
    from expunge.models.recommenders.als import ImplicitAls
    from expunge.models.recommenders.items import Ease, ItemNeighbours
    from expunge.models.sharded.learner import Sharded
    from expunge.trust.verify import verify
    from expunge.unlearners.exact.evict import evict
    from expunge.unlearners.exact.stores import EntryStore
    from expunge.unlearners.modules import unlearn

__all__ = [
    "BoostedClassifier", "BoostedRegressor", "Boosting", "Clusters", "Components", "Dataset", "Deployment",
    "Discriminant", "DividedKMeans", "Ease", "EntryStore", "Evidence", "ExpungeError", "FlatIndex", "Forest",
    "ForestClassifier", "ForestRegressor", "ForgetRequest", "GraphIndex", "Guarantee", "HashedIndex", "ImplicitAls",
    "ItemNeighbours", "Items", "KMeans", "Key", "LinearDiscriminant", "Logistic", "LogisticHead", "NaiveBayes",
    "NaiveBayesClassifier", "Neighbours", "NeighboursClassifier", "NeighboursRegressor", "Network", "NodeClassifier",
    "Outside", "Policy", "PrincipalComponents", "Ridge", "RidgeClassifier", "RidgeRegressor", "Sgc", "Sharded",
    "ShardedClassifier", "ShardedRegressor", "SumBayes", "SumBayesClassifier", "VectorIndex", "build", "check_pipeline",
    "evict", "fulfil", "require_exact", "unlearn", "verify",
]  # fmt: skip

__version__ = "0.1.0.dev0"

_HOMES: Final = {
    "expunge.catalog": ("build",),
    "expunge.core.dataset": ("Dataset",),
    "expunge.core.deployment": ("Deployment",),
    "expunge.core.errors": ("ExpungeError",),
    "expunge.core.evidence": ("Evidence",),
    "expunge.core.guarantee": ("Guarantee",),
    "expunge.core.policy": ("Policy",),
    "expunge.core.request": ("ForgetRequest",),
    "expunge.core.seeds": ("Key",),
    "expunge.fulfilment": ("fulfil",),
    "expunge.models.recommenders.als": ("ImplicitAls",),
    "expunge.models.bayes.naive": ("NaiveBayes",),
    "expunge.models.bayes.sums": ("SumBayes",),
    "expunge.models.boosting.learner": ("Boosting",),
    "expunge.models.clusters.kmeans": ("KMeans",),
    "expunge.models.clusters.divided": ("DividedKMeans",),
    "expunge.models.linear.components": ("PrincipalComponents",),
    "expunge.models.linear.discriminant": ("Discriminant",),
    "expunge.models.estimators.boosting": ("BoostedClassifier", "BoostedRegressor"),
    "expunge.models.estimators.clusters": ("Clusters",),
    "expunge.models.estimators.components": ("Components",),
    "expunge.models.estimators.counts": ("NaiveBayesClassifier", "SumBayesClassifier"),
    "expunge.models.estimators.forests": ("ForestClassifier", "ForestRegressor"),
    "expunge.models.estimators.graph": ("NodeClassifier",),
    "expunge.models.estimators.index": ("VectorIndex",),
    "expunge.models.estimators.items": ("Items",),
    "expunge.models.estimators.linear": ("LinearDiscriminant", "RidgeClassifier", "RidgeRegressor"),
    "expunge.models.estimators.logistic": ("LogisticHead",),
    "expunge.models.estimators.neighbours": ("NeighboursClassifier", "NeighboursRegressor"),
    "expunge.models.estimators.pipelines": ("check_pipeline", "require_exact"),
    "expunge.models.estimators.sharded": ("ShardedClassifier", "ShardedRegressor"),
    "expunge.models.forest.learner": ("Forest",),
    "expunge.models.graph.sgc": ("Sgc",),
    "expunge.models.index.flat": ("FlatIndex", "HashedIndex"),
    "expunge.models.index.graph": ("GraphIndex",),
    "expunge.models.recommenders.items": ("Ease", "ItemNeighbours"),
    "expunge.models.linear.ridge": ("Ridge",),
    "expunge.models.logistic.learner": ("Logistic",),
    "expunge.models.neighbours": ("Neighbours",),
    "expunge.models.network": ("Network",),
    "expunge.models.outside.learner": ("Outside",),
    "expunge.models.sharded.learner": ("Sharded",),
    "expunge.trust.verify": ("verify",),
    "expunge.unlearners.exact.evict": ("evict",),
    "expunge.unlearners.exact.stores": ("EntryStore",),
    "expunge.unlearners.modules": ("unlearn",),
}
_HOME: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'expunge' has no attribute {name!r}")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
