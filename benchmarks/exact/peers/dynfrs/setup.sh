# DynFrs from its header ($EXPUNGE_PEER_SOURCES/dynfrs/DynFrs.h, commit 196f3ec) and our harness: setup.sh FOLDER
# It has no licence, so that it is compiled where it lies and never passed on.
set -eu
sources="${EXPUNGE_PEER_SOURCES:?say where the sources of peers are}/dynfrs"
test -f "$sources/DynFrs.h" || { echo "no sources of DynFrs in $sources" >&2; exit 1; }
mkdir -p "$1"
"${CXX:-g++}" -std=c++17 -O3 -w -I "$sources" "$(dirname "$0")/harness.cpp" -o "$1/harness"
echo 196f3ec > "$1/.ready"
