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
    from expunge.models.sharded.classes import ClassSharded
    from expunge.models.sharded.learner import Sharded
    from expunge.trust.verify import verify
    from expunge.unlearners.approximate.amnesiac import Amnesiac
    from expunge.unlearners.approximate.ascent import Ascent
    from expunge.unlearners.approximate.bad_teacher import BadTeacher
    from expunge.unlearners.approximate.boundary import Boundary
    from expunge.unlearners.approximate.confuse import Confuse
    from expunge.unlearners.approximate.contrast import Contrast
    from expunge.unlearners.approximate.dampening import Dampening
    from expunge.unlearners.approximate.delete import Delete
    from expunge.unlearners.approximate.deltagrad import DeltaGrad
    from expunge.unlearners.approximate.distil_reset import DistilReset
    from expunge.unlearners.approximate.finetune import Finetune
    from expunge.unlearners.approximate.fisher import Fisher
    from expunge.unlearners.approximate.gap import Gap
    from expunge.unlearners.approximate.influence import Influence
    from expunge.unlearners.approximate.last_layers import LastLayers
    from expunge.unlearners.approximate.lipschitz import Lipschitz
    from expunge.unlearners.approximate.matching import Matching
    from expunge.unlearners.approximate.negative_plus import NegativePlus
    from expunge.unlearners.approximate.newton import Newton
    from expunge.unlearners.approximate.prune import Prune
    from expunge.unlearners.approximate.random_layers import RandomLayers
    from expunge.unlearners.approximate.relabel import Relabel
    from expunge.unlearners.approximate.rewind import RewindNetwork
    from expunge.unlearners.approximate.saliency import Saliency
    from expunge.unlearners.approximate.scrub import Scrub
    from expunge.unlearners.approximate.small_gradients import SmallGradients
    from expunge.unlearners.approximate.sparse import Sparse
    from expunge.unlearners.approximate.tangent import Tangent
    from expunge.unlearners.approximate.trajectory import Trajectory
    from expunge.unlearners.approximate.transpose import Transpose
    from expunge.unlearners.approximate.unsir import Unsir
    from expunge.unlearners.certified.noisy_network import NoisyNetwork
    from expunge.unlearners.exact.evict import evict
    from expunge.unlearners.exact.stores import EntryStore
    from expunge.unlearners.modules import unlearn

__all__ = [
    "Amnesiac", "Ascent", "BadTeacher", "BoostedClassifier", "BoostedRegressor", "Boosting", "Boundary", "ClassSharded",
    "Clusters", "Components", "Confuse", "Contrast", "Dampening", "Dataset", "Delete", "DeltaGrad", "Deployment",
    "Discriminant", "DistilReset", "DividedKMeans", "Ease", "EntryStore", "Evidence", "ExpungeError", "Finetune",
    "Fisher", "FlatIndex", "Forest", "ForestClassifier", "ForestRegressor", "ForgetRequest", "Gap", "GraphIndex",
    "Guarantee", "HashedIndex", "ImplicitAls", "Influence", "ItemNeighbours", "Items", "KMeans", "Key",
    "LastLayers", "LinearDiscriminant", "Lipschitz", "Logistic", "LogisticHead", "Matching", "NaiveBayes",
    "NaiveBayesClassifier", "NegativePlus", "Neighbours", "NeighboursClassifier", "NeighboursRegressor", "Network",
    "Newton", "NodeClassifier", "NoisyNetwork", "Outside", "Policy", "PrincipalComponents", "Prune", "RandomLayers",
    "Relabel", "RewindNetwork", "Ridge", "RidgeClassifier", "RidgeRegressor", "Saliency", "Scrub", "Sgc", "Sharded",
    "ShardedClassifier", "ShardedRegressor", "SmallGradients", "Sparse", "SumBayes", "SumBayesClassifier",
    "Tangent", "Trajectory", "Transpose", "Unsir", "VectorIndex", "build", "check_pipeline", "evict", "fulfil",
    "require_exact", "unlearn", "verify",
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
    "expunge.models.sharded.classes": ("ClassSharded",),
    "expunge.models.sharded.learner": ("Sharded",),
    "expunge.trust.verify": ("verify",),
    "expunge.unlearners.approximate.amnesiac": ("Amnesiac",),
    "expunge.unlearners.approximate.ascent": ("Ascent",),
    "expunge.unlearners.approximate.bad_teacher": ("BadTeacher",),
    "expunge.unlearners.approximate.boundary": ("Boundary",),
    "expunge.unlearners.approximate.confuse": ("Confuse",),
    "expunge.unlearners.approximate.contrast": ("Contrast",),
    "expunge.unlearners.approximate.dampening": ("Dampening",),
    "expunge.unlearners.approximate.delete": ("Delete",),
    "expunge.unlearners.approximate.deltagrad": ("DeltaGrad",),
    "expunge.unlearners.approximate.distil_reset": ("DistilReset",),
    "expunge.unlearners.approximate.finetune": ("Finetune",),
    "expunge.unlearners.approximate.fisher": ("Fisher",),
    "expunge.unlearners.approximate.gap": ("Gap",),
    "expunge.unlearners.approximate.influence": ("Influence",),
    "expunge.unlearners.approximate.last_layers": ("LastLayers",),
    "expunge.unlearners.approximate.lipschitz": ("Lipschitz",),
    "expunge.unlearners.approximate.matching": ("Matching",),
    "expunge.unlearners.approximate.negative_plus": ("NegativePlus",),
    "expunge.unlearners.approximate.newton": ("Newton",),
    "expunge.unlearners.approximate.prune": ("Prune",),
    "expunge.unlearners.approximate.random_layers": ("RandomLayers",),
    "expunge.unlearners.approximate.relabel": ("Relabel",),
    "expunge.unlearners.approximate.rewind": ("RewindNetwork",),
    "expunge.unlearners.approximate.saliency": ("Saliency",),
    "expunge.unlearners.approximate.scrub": ("Scrub",),
    "expunge.unlearners.approximate.small_gradients": ("SmallGradients",),
    "expunge.unlearners.approximate.sparse": ("Sparse",),
    "expunge.unlearners.approximate.tangent": ("Tangent",),
    "expunge.unlearners.approximate.trajectory": ("Trajectory",),
    "expunge.unlearners.approximate.transpose": ("Transpose",),
    "expunge.unlearners.approximate.unsir": ("Unsir",),
    "expunge.unlearners.certified.noisy_network": ("NoisyNetwork",),
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
