"""``Named``: estimators of other libraries that may be asked for by name, as on a command line: a closed list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget, Unsupported

ESTIMATORS = {
    "lightgbm": ("lightgbm:LGBMClassifier", "lightgbm:LGBMRegressor"),
    "xgboost": ("xgboost:XGBClassifier", "xgboost:XGBRegressor"),
    "logistic-regression": ("sklearn.linear_model:LogisticRegression", ""),
    "random-forest": ("sklearn.ensemble:RandomForestClassifier", "sklearn.ensemble:RandomForestRegressor"),
    "extra-trees": ("sklearn.ensemble:ExtraTreesClassifier", "sklearn.ensemble:ExtraTreesRegressor"),
    "hist-boosting": (
        "sklearn.ensemble:HistGradientBoostingClassifier",
        "sklearn.ensemble:HistGradientBoostingRegressor",
    ),
    "sgd": ("sklearn.linear_model:SGDClassifier", "sklearn.linear_model:SGDRegressor"),
}
"""Name → what learns classes, and what learns numbers; nothing else is ever imported by name."""
PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Named:
    """An estimator of `ESTIMATORS`: whichever of the two the target asks for.

    Attributes:
        name: which.
        options: its parameters: numbers, texts, true or false, and lists of these.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put the options in order: what ``repr`` says must not depend on how they were given.

        Raises:
            BadInput: no such name, or an option that is not plain.
        """
        if self.name not in ESTIMATORS:
            raise BadInput(f"there is no estimator {self.name!r}", hint=f"By name there are {', '.join(ESTIMATORS)}.")
        for option, value in self.options.items():
            if not all(isinstance(each, PLAIN) for each in (value if isinstance(value, list | tuple) else [value])):
                raise BadInput(f"{self.name} takes numbers and texts as options, and {option!r} is neither")
        object.__setattr__(self, "options", dict(sorted(self.options.items())))

    def load(self, numbers: bool) -> Any:
        """Import the class for a target of classes, or of numbers; None if there is none.

        Raises:
            Unsupported: the library is not installed.
        """
        module, _, kind = ESTIMATORS[self.name][numbers].partition(":")
        try:
            return getattr(import_module(module), kind) if kind else None
        except ImportError as error:
            hint = "pip install 'expunge[boosters]'"
            raise Unsupported(f"{self.name} needs {error.name}, which is not installed", hint=hint) from error

    def of(self, data: Dataset) -> Any:
        """Return the estimator for the target of these records, not fitted.

        Raises:
            BadTarget: there is none for a target of numbers.
            BadInput: it has no such option.
            Unsupported: the library is not installed.
        """
        kind = self.load(data.target is not None and data.target.kind == "number")
        if kind is None:
            raise BadTarget(f"{self.name} does not learn numbers, and {data.target_name!r} is one")
        estimator = kind()
        known = sorted(estimator.get_params(deep=False))
        odd = [option for option in self.options if option not in known]
        if odd:
            raise BadInput(f"{self.name} has no option {odd[0]!r}", hint=f"It has: {', '.join(known)}.")
        return estimator.set_params(**self.options)
