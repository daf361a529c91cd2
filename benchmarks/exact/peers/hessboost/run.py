"""hessboost on a scene: a retrain, and its online model, exact and approximate."""

import hessboost
import numpy as np
import steps
from hessboost.online import Approximate, Exact, OnlineModel

PARAMS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 6,
    "eta": 0.1,
    "max_bin": 256,
    "nthread": 1,
}
ROUNDS = 100
MODES = {"online exact": Exact(), "online approximate": Approximate(0.1)}

args = steps.arguments()
scene = steps.load(args.scene)
variant = args.variant or "boosting"
lines = steps.of("hessboost", hessboost.__version__, scene, args, variant, rounds=ROUNDS, **PARAMS)


def matrix(X, y=None):
    return hessboost.DMatrix(X, None if y is None else y.astype(np.float32))


class Online:
    """An online model, and where the rows of the scene are in it now."""

    def __init__(self, X, y):
        self.model = OnlineModel.train(PARAMS, matrix(X, y), ROUNDS, MODES[variant])
        self.rows = np.arange(len(y))

    def forget(self, rows):
        at = np.flatnonzero(np.isin(self.rows, rows))
        self.model.update(deletions=at)
        self.rows = np.delete(self.rows, at)
        return self


if variant == "boosting":
    steps.retrain(
        lines,
        scene,
        args,
        fit=lambda X, y: hessboost.train({**PARAMS, "seed": args.seed}, matrix(X, y), ROUNDS, verbose_eval=False),
        score=lambda model, X: model.predict(matrix(X)),
    )
else:
    steps.walk(
        lines,
        scene,
        args,
        fit=Online,
        score=lambda online, X: online.model.model.predict(matrix(X)),
        forget=lambda online, rows: online.forget(rows),
    )
