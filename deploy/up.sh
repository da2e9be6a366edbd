#!/bin/sh
# One command on a fresh machine: builds knarr, starts a cluster on this machine, runs a real workload and shows it.
# usage: sh deploy/up.sh          BUILD_ONLY=1: stop after the build (.venv/bin/knarr)     DATA_DIR=D: where the cluster lies
set -eu
cd "$(dirname "$0")/.."
. deploy/lib.sh
no_arguments deploy/up.sh "$@"

# said before anything is installed, and not to who only starts what somebody built
is_built || { need_rust; build_packages; }
[ -n "${BUILD_ONLY:-}" ] || [ "$(id -u)" != 0 ] || node_packages
build
[ -z "${BUILD_ONLY:-}" ] || { say "built: .venv/bin/knarr"; exit 0; }
[ "$(id -u)" = 0 ] || fail "containers need root" "run as root, or try: .venv/bin/knarr up --runtime hollow"

images=.cache/images.tar
if [ ! -e $images ] || [ deploy/images/build.py -nt $images ]; then
    say "building the local image"
    mkdir -p .cache
    .venv/bin/python deploy/images/build.py $images
fi

say "starting the cluster"
.venv/bin/knarr up --detach ${DATA_DIR:+--data-dir "$DATA_DIR"}
exec .venv/bin/python deploy/show.py ${DATA_DIR:+--data-dir "$DATA_DIR"} --images $images
