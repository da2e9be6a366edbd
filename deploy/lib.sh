# What the scripts of this project share. Sourced by `sh` in the project's root; needs nothing but a POSIX shell.

RUST_MINIMUM=1.95

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$1" >&2; [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2; exit 1; }

# no_arguments SCRIPT "$@": a script takes none, and does nothing where it is asked for help or for what it does not know
no_arguments() {
    [ $# -gt 1 ] || return 0
    case $2 in
    -h | --help) sed -n '2,3s/^# //p' "$1"; exit 0 ;;
    esac
    printf 'error: %s takes no arguments: %s\nhint: see sh %s --help\n' "$1" "$2" "$1" >&2
    exit 2
}

# install_packages COMMAND_OR_FILE=PACKAGE ...: installs the packages whose command or file is missing
install_packages() {
    missing=
    for pair in "$@"; do
        probe=${pair%%=*}
        case $probe in
        /*) [ -e "$probe" ] || missing="$missing ${pair#*=}" ;;
        *) command -v "$probe" >/dev/null 2>&1 || [ -x "/usr/sbin/$probe" ] || missing="$missing ${pair#*=}" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] || fail "these packages are missing:$missing" "run as root, or: apt-get install$missing"
    command -v apt-get >/dev/null || fail "these packages are missing:$missing" "install them with this system's package manager"
    say "installing$missing"
    log=$(mktemp)
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; fail "apt-get could not install:$missing" "see $log"; }
    rm -f "$log"
}

# What building needs, and what a node needs
build_packages() { install_packages cc=gcc make=make git=git /usr/share/doc/python3-venv=python3-venv /usr/include/stdlib.h=libc6-dev; }
node_packages() {
    install_packages containerd=containerd runc=runc /usr/lib/cni/bridge=containernetworking-plugins nft=nftables \
        iptables=iptables conntrack=conntrack ip=iproute2 busybox=busybox-static mount=mount ps=procps
}

need_rust() {
    [ -d "$HOME/.cargo/bin" ] && PATH=$HOME/.cargo/bin:$PATH
    command -v cargo >/dev/null 2>&1 || fail "Rust $RUST_MINIMUM or later is needed" "install rustup (https://rustup.rs), then: rustup toolchain install stable"
    have=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n%s\n' "$RUST_MINIMUM" "$have" | sort -V | head -n1)" = "$RUST_MINIMUM" ] ||
        fail "Rust $RUST_MINIMUM or later is needed, this is $have" "rustup update stable"
}

need_python() {
    PYTHON=
    for candidate in python3.11 python3.12 python3.13 python3; do
        command -v $candidate >/dev/null 2>&1 || continue
        $candidate -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { PYTHON=$candidate; return 0; }
    done
    fail "Python 3.11 or later with venv is needed" "apt-get install python3 python3-venv"
}

# is_built: whether .venv has what the sources are
is_built() {
    [ -x .venv/bin/knarr ] && [ -e .venv/built ] &&
        [ -z "$(find rust Cargo.toml Cargo.lock pyproject.toml python/knarr/__init__.py -newer .venv/built -type f | head -n1)" ]
}

# build: .venv with the dependencies and the core; nothing to do where nothing changed
build() {
    ! is_built || return 0
    need_rust
    need_python
    [ -x .venv/bin/python ] || { say "making .venv"; $PYTHON -m venv .venv; }
    say "building knarr (the first time takes some minutes)"
    log=.venv/build.log
    touch .venv/begun # what changes while it builds is built the next time
    # into this .venv, whatever environment the caller has activated
    { .venv/bin/pip install --disable-pip-version-check -q 'maturin>=1.16,<2' &&
        env -u CONDA_PREFIX VIRTUAL_ENV="$PWD/.venv" .venv/bin/maturin develop --release --locked; } >$log 2>&1 || { tail -n 30 $log >&2; fail "the build failed" "see $log"; }
    mv .venv/begun .venv/built
}
