# hessboost from the package registry, into an environment of its own: setup.sh FOLDER
set -eu
"${PYTHON:-python3.11}" -m venv "$1"
"$1/bin/pip" --disable-pip-version-check install -q hessboost==0.3.0 numpy
"$1/bin/python" -c 'import hessboost; print(hessboost.__version__)' > "$1/.ready"
