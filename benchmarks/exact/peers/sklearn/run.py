"""scikit-learn on a scene: forests, and its own boosting; deletion is a retrain."""

import sklearn
import steps
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier

VARIANTS = {
    "forest": (RandomForestClassifier, {"n_estimators": 100}),
    "forest depth 10": (RandomForestClassifier, {"n_estimators": 100, "max_depth": 10}),
    "forest depth 20, a tenth of the rows a tree": (
        RandomForestClassifier,
        {"n_estimators": 100, "max_depth": 20, "max_samples": 0.1},
    ),
    "extra trees depth 20": (ExtraTreesClassifier, {"n_estimators": 100, "max_depth": 20}),
    "hist boosting": (HistGradientBoostingClassifier, {"max_iter": 100, "early_stopping": False}),
}

args = steps.arguments()
scene = steps.load(args.scene)
variant = args.variant or "forest"
kind, params = VARIANTS[variant]
steps.retrain(
    steps.of("scikit-learn", sklearn.__version__, scene, args, variant, **params),
    scene,
    args,
    fit=lambda X, y: kind(random_state=args.seed, **params).fit(X, y),
    score=lambda model, X: model.predict_proba(X)[:, 1],
)
