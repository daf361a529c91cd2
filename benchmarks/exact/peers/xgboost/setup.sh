# XGBoost from the package registry, into an environment of its own: setup.sh FOLDER
set -eu
"${PYTHON:-python3.11}" -m venv "$1"
"$1/bin/pip" --disable-pip-version-check install -q xgboost-cpu==3.2.0 scikit-learn==1.9.1 numpy
"$1/bin/python" -c 'import xgboost; print(xgboost.__version__)' > "$1/.ready"
