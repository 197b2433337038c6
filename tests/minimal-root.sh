#!/bin/sh
# Tries things in a minimal Debian root, made by debootstrap from the host's own mirror:
#     tests/minimal-root.sh              the README's two commands, `make demo` and `make check`, in a clone of this checkout's
#                                        HEAD and a root that has nothing but git and make; about 4 GB below TMPDIR
#     tests/minimal-root.sh PACKAGES     the Debian packages in the folder PACKAGES, installed there: tests/installed.sh; 1 GB
# Needs root. Exit code 0 also when skipped; the last line says "skipped: REASON" then.
set -eu

skip() {
    echo "skipped: $1"
    exit 0
}

if [ "${1:-}" != inside ]; then
    [ "$(id -u)" = 0 ] || skip "not root"
    command -v debootstrap >/dev/null || skip "debootstrap is not installed"
    unshare --mount true 2>/dev/null || skip "may not make mounts of its own (unshare --mount)"

    # "base-files | VERSION | URL SUITE/COMPONENT ARCHITECTURE Packages": where the host's own system comes from.
    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    mirror=$(apt-cache madison base-files | sed -n "s@.*| *\\([^ |]*\\) $suite/main .*@\\1@p" | head -1)
    [ -n "$mirror" ] || skip "apt names no mirror of Debian $suite"

    repository=$(cd "$(dirname "$0")/.." && pwd)
    root=$(mktemp -d "${TMPDIR:-/tmp}/tm-root.XXXXXX")
    chmod 755 "$root" # it becomes /, which every user of the root must enter
    trap 'rm -rf --one-file-system "$root"' EXIT
    echo "debootstrap --variant=minbase $suite ($mirror)"
    proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy | head -1)
    [ -z "$proxy" ] || export http_proxy="$proxy"
    include=ca-certificates
    [ $# -gt 0 ] || include=$include,git,make
    debootstrap --variant=minbase --include="$include" "$suite" "$root" "$mirror" >"$root.log" 2>&1 || {
        tail -5 "$root.log"
        rm -f "$root.log"
        skip "debootstrap failed (no network?)"
    }
    rm -f "$root.log"
    if [ $# -gt 0 ]; then
        mkdir "$root/srv/packages"
        cp "$1"/*.deb "$repository/tests/installed.sh" "$root/srv/packages"
        command='cd /srv/packages && bash installed.sh'
    else
        git clone -q --no-local "$repository" "$root/srv/tm"
        command='cd /srv/tm && make demo && make check'
    fi
    cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
    # Its mounts are seen by this process and its children alone and end with them.
    unshare --mount --propagation private "$0" inside "$root" "$command"
else
    root=$2
    mount --bind /proc "$root/proc"
    mount --bind /dev "$root/dev"
    [ ! -d /dev/pts ] || mount --bind /dev/pts "$root/dev/pts"
    [ ! -d /dev/shm ] || mount -t tmpfs tmpfs "$root/dev/shm"
    chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
        sh -ec "$3"
fi
