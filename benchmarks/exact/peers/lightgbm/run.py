"""LightGBM on a scene, 100 rounds; deletion is a retrain."""

import lightgbm
import steps

VARIANTS = {
    "boosting": {},
    "forest": {"boosting_type": "rf", "subsample": 0.63, "subsample_freq": 1, "colsample_bytree": 0.5},
}

args = steps.arguments()
scene = steps.load(args.scene)
variant = args.variant or "boosting"
params = {"n_estimators": 100, **VARIANTS[variant]}


def fit(X, y):
    return lightgbm.LGBMClassifier(n_jobs=1, verbosity=-1, random_state=args.seed, **params).fit(X, y)


steps.retrain(
    steps.of("LightGBM", lightgbm.__version__, scene, args, variant, **params),
    scene,
    args,
    fit=fit,
    score=lambda model, X: model.booster_.predict(X, num_threads=1),
)
