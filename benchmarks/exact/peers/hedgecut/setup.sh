# HedgeCut from its sources ($EXPUNGE_PEER_SOURCES/hedgecut, commit 050a2b4), with our harness: setup.sh FOLDER
# GPL-3: built where it lies and run as a process of its own. Its 2020 pins are gone; it is built against the crates that
# the distribution packages (librust-{rand,rand-xorshift,hashbrown,csv,rayon}-dev), for which three calls are adapted.
set -eu
sources="${EXPUNGE_PEER_SOURCES:?say where the sources of peers are}/hedgecut"
crates="${EXPUNGE_CRATES:-/usr/share/cargo/registry}"
test -f "$sources/src/tree.rs" || { echo "no sources of HedgeCut in $sources" >&2; exit 1; }
command -v cargo > /dev/null || { echo "there is no cargo" >&2; exit 1; }
test -d "$(ls -d "$crates"/rand_xorshift-* | head -1)" || { echo "the crates are not in $crates" >&2; exit 1; }
mkdir -p "$1/build/src/bin" "$1/build/.cargo"
for file in dataset scan split_stats tree utils; do cp "$sources/src/$file.rs" "$1/build/src/"; done
cp "$(dirname "$0")/harness.rs" "$1/build/src/bin/"
cd "$1/build"
printf 'extern crate csv;\npub mod dataset;\npub mod tree;\npub mod split_stats;\npub mod scan;\nmod utils;\n' > src/lib.rs
sed -i -e 's/^use rand::{Rng, SeedableRng, XorShiftRng};/use rand::{Rng, SeedableRng};\nuse rand_xorshift::XorShiftRng;/' \
  -e 's/gen_range(min_value, max_value + 1)/gen_range(min_value..max_value + 1)/' \
  -e 's/gen_range(0, cardinality + 1)/gen_range(0..cardinality + 1)/' src/tree.rs
cat > Cargo.toml <<'T'
[package]
name = "hedgecut"
version = "0.1.0"
edition = "2018"

[dependencies]
csv = "1"
rand = "0.8"
rand_xorshift = "0.3"
rayon = "1"
hashbrown = "0.12"

[profile.release]
lto = "fat"
codegen-units = 1
panic = "abort"
opt-level = 3
T
printf '[source.crates-io]\nreplace-with = "here"\n[source.here]\ndirectory = "%s"\n' "$crates" > .cargo/config.toml
RUSTFLAGS="-C target-cpu=native -C link-args=-Wl,-zstack-size=18194304" \
  cargo build --offline --release --bin harness > ../build.log 2>&1 || { tail -5 ../build.log >&2; exit 1; }
cp target/release/harness ../harness
echo 050a2b4 > ../.ready
