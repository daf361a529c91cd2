# dare-rf from its sources ($EXPUNGE_PEER_SOURCES/dare_rf, commit bd9e730), into an environment of its own: setup.sh FOLDER
# Its extensions are built in place, out of a copy; numpy.distutils wants setuptools below 60, Cython below 3.
set -eu
sources="${EXPUNGE_PEER_SOURCES:?say where the sources of peers are}/dare_rf"
test -d "$sources/dare" || { echo "no sources of dare-rf in $sources" >&2; exit 1; }
"${PYTHON:-python3.11}" -m venv "$1"
"$1/bin/pip" --disable-pip-version-check install -q "numpy==1.26.4" "cython==0.29.37" "setuptools==59.8.0" wheel
rm -rf "$1/dare_rf" && cp -r "$sources" "$1/dare_rf"
cd "$1/dare_rf"
"$1/bin/python" setup.py build_ext --inplace > ../build.log 2>&1
pwd > "$(ls -d "$1"/lib/python3*/site-packages)/dare_rf.pth"
sed -n 's/.*version="\(.*\)",/\1/p' setup.py > ../.ready
