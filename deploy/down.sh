#!/bin/sh
# Removes all that deploy/up.sh made but the build: processes, containers, namespaces, links, nftables tables, mounts, cgroups, state.
# usage: sh deploy/down.sh        DATA_DIR=D: as given to up.sh
set -eu
cd "$(dirname "$0")/.."
. deploy/lib.sh
[ -x .venv/bin/knarr ] || fail "nothing was built here" "sh deploy/up.sh builds and starts"
data_dir=${DATA_DIR:-/var/lib/knarr}
[ -e "$data_dir/config.json" ] || { say "no cluster in $data_dir"; exit 0; }
.venv/bin/knarr down --purge --data-dir "$data_dir"
say "gone"
