# LightGBM from the package registry, into an environment of its own: setup.sh FOLDER
set -eu
"${PYTHON:-python3.11}" -m venv "$1"
"$1/bin/pip" --disable-pip-version-check install -q lightgbm==4.7.0 scikit-learn==1.9.1 numpy
"$1/bin/python" -c 'import lightgbm; print(lightgbm.__version__)' > "$1/.ready"
