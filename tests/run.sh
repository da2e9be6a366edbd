#!/bin/sh
# Runs every test; sets up what they need.
# usage: sh tests/run.sh [lint|rust|sim|python|cluster ...]      no argument: all of them, in this order
# KUBECTL=FILE: the kubectl to test with. KEEP_GOING=1: run the later stages although one failed.
set -eu
cd "$(dirname "$0")/.."
. deploy/lib.sh

start=$(date +%s)
need_rust
[ "$(id -u)" != 0 ] || { build_packages; node_packages; install_packages curl=curl sysctl=procps; }
build
.venv/bin/pip install --disable-pip-version-check -q -r tests/requirements.txt
. .venv/bin/activate
# one target directory and one profile for the wheel, the tests and clippy
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
KUBECTL=$(sh tests/kubectl.sh)
GO=$(sh tests/go.sh)
PATH=$PATH:$(dirname "$GO")
# golden objects and the sources that the generated tables are compared with
for module in k8s.io/api@v0.34.2 k8s.io/apimachinery@v0.34.2; do "$GO" mod download "$module"; done
export CARGO_TARGET_DIR KUBECTL PATH

# joined by &&: a function called in a condition does not stop at the first failure
lint() {
    cargo fmt --all --check &&
        cargo clippy --release --locked --workspace --all-targets -q -- -D warnings &&
        ruff check -q . &&
        ruff format -q --check . &&
        mypy -p knarr -p tools &&
        lint-imports &&
        python -m tools generate --check
}
rust() { cargo test --release --locked --workspace --exclude knarr-py --exclude knarr-sim -q; }
sim() { cargo test --release --locked -p knarr-sim -q; }
python_() { python -m pytest tests/unit tests/tidy -n 2; }
cluster() { python -m pytest tests/suites tests/api tests/clients tests/gates tests/cluster tests/chaos --durations=15; }

failed=
for stage in ${*:-lint rust sim python cluster}; do
    case $stage in lint|rust|sim|cluster) run=$stage ;; python) run=python_ ;; *) fail "no stage $stage" "lint, rust, sim, python, cluster" ;; esac
    say "stage $stage"
    begin=$(date +%s)
    if $run; then result=passed; else result=FAILED; failed="$failed $stage"; fi
    say "stage $stage $result in $(($(date +%s) - begin)) s"
    [ -z "$failed" ] || [ -n "${KEEP_GOING:-}" ] || break
done
say "all in $(($(date +%s) - start)) s"
[ -z "$failed" ] || fail "failed:$failed"
