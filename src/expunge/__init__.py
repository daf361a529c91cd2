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
    from expunge.models.bayes import NaiveBayes
    from expunge.models.estimators.counts import NaiveBayesClassifier
    from expunge.models.estimators.forests import ForestClassifier
    from expunge.models.estimators.linear import RidgeClassifier, RidgeRegressor
    from expunge.models.estimators.neighbours import NeighboursClassifier
    from expunge.models.estimators.pipelines import check_pipeline
    from expunge.models.forest import Forest
    from expunge.models.linear import Ridge
    from expunge.models.neighbours import Neighbours
    from expunge.trust.verify import verify

__all__ = [
    "Dataset", "Deployment", "Evidence", "ExpungeError", "Forest", "ForestClassifier", "ForgetRequest", "Guarantee",
    "Key", "NaiveBayes", "NaiveBayesClassifier", "Neighbours", "NeighboursClassifier", "Policy", "Ridge",
    "RidgeClassifier", "RidgeRegressor", "build", "check_pipeline", "fulfil", "verify",
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
    "expunge.models.bayes": ("NaiveBayes",),
    "expunge.models.estimators.counts": ("NaiveBayesClassifier",),
    "expunge.models.estimators.forests": ("ForestClassifier",),
    "expunge.models.estimators.linear": ("RidgeClassifier", "RidgeRegressor"),
    "expunge.models.estimators.neighbours": ("NeighboursClassifier",),
    "expunge.models.estimators.pipelines": ("check_pipeline",),
    "expunge.models.forest": ("Forest",),
    "expunge.models.linear": ("Ridge",),
    "expunge.models.neighbours": ("Neighbours",),
    "expunge.trust.verify": ("verify",),
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
