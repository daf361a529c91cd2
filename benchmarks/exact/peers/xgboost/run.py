"""XGBoost on a scene: histograms, depth 6, 100 rounds; deletion is a retrain."""

import steps
import xgboost

args = steps.arguments()
scene = steps.load(args.scene)
params = {"n_estimators": 100, "max_depth": 6, "learning_rate": 0.1, "tree_method": "hist"}

steps.retrain(
    steps.of("XGBoost", xgboost.__version__, scene, args, "boosting", **params),
    scene,
    args,
    fit=lambda X, y: xgboost.XGBClassifier(n_jobs=1, random_state=args.seed, **params).fit(X, y),
    score=lambda model, X: model.predict_proba(X)[:, 1],
)
