#!/bin/sh
# Removes all that deploy/up.sh made but the build: processes, containers, namespaces, links, nftables tables, mounts, cgroups, state.
# usage: sh deploy/down.sh        DATA_DIR=D: as given to up.sh
set -eu
cd "$(dirname "$0")/.."
. deploy/lib.sh
no_arguments deploy/down.sh "$@"
[ -x .venv/bin/knarr ] || fail "nothing was built here" "sh deploy/up.sh builds and starts"
data_dir=${DATA_DIR:-/var/lib/knarr}
if [ -e "$data_dir/config.json" ]; then
    .venv/bin/knarr down --purge --data-dir "$data_dir"
elif ! said=$(.venv/bin/knarr down --purge --data-dir "$data_dir" 2>&1); then
    # nothing there is no error; another user's cluster, which looks the same from here, is
    case $said in *"holds no cluster"*) say "no cluster in $data_dir"; exit 0 ;; esac
    printf '%s\n' "$said" >&2
    exit 1
fi
say "gone"
