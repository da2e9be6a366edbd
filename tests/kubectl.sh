#!/bin/sh
# Prints the kubectl that the tests use: $KUBECTL, else kubectl.1.33 or the newest kubectl.1.NN (NN >= 31) beside PATH's kubectl
# with links resolved, else PATH's own where it is 1.31 or later, else 1.33 built from its Go module.
set -eu
cd "$(dirname "$0")/.."
. deploy/lib.sh

minor() { "$1" version --client -o json 2>/dev/null | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p' | head -n1; }

if [ -n "${KUBECTL:-}" ]; then echo "$KUBECTL"; exit 0; fi
own=$(command -v kubectl || true)
if [ -n "$own" ]; then
    folder=$(dirname "$(readlink -f "$own")")
    if [ -x "$folder/kubectl.1.33" ]; then echo "$folder/kubectl.1.33"; exit 0; fi
    newest=$(ls "$folder" | sed -n 's/^kubectl\.1\.\([0-9]*\)$/\1/p' | sort -n | tail -n1)
    if [ "${newest:-0}" -ge 31 ]; then echo "$folder/kubectl.1.$newest"; exit 0; fi
    found=$(minor "$own")
    if [ "${found:-0}" -ge 31 ]; then echo "$own"; exit 0; fi
fi

version=1.33.6
built=$PWD/.cache/kubectl/kubectl.1.33
if [ ! -x "$built" ]; then
    say "building kubectl $version from its Go module"
    go=$(sh tests/go.sh)
    mkdir -p .cache/kubectl
    (
        cd .cache/kubectl
        module=0.${version#1.}
        export GOFLAGS='-mod=mod -buildvcs=false' CGO_ENABLED=0
        printf 'module kubectl\n\ngo 1.24.0\n\nrequire (\n\tk8s.io/kubectl v%s\n)\n' "$module" >go.mod
        mkdir -p main
        cat >main/main.go <<'GO'
// The kubectl command, as k8s.io/kubernetes/cmd/kubectl composes it from its module.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
)

func main() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		os.Exit(1)
	}
}
GO
        "$go" mod tidy >/dev/null 2>&1
        "$go" build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=33" -o "$built" ./main
    ) >&2
fi
echo "$built"
