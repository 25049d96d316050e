#!/usr/bin/env bash
# The tests of the QGIS plugin on QGIS 3.40, in a Debian 13 of its own: tests/qgis/trixie.sh [FOLDER]
#
# For root on Debian or Ubuntu, with debootstrap and a network. FOLDER (by default rsgeo-trixie among the temporary files that outlive a restart) takes
# 5 GB: the system, QGIS, and a virtual environment with rsgeo, which each run uses again. Remove it with rm -rf --one-file-system when it is no longer
# needed. ARGS="-k cancel" chooses tests. What pip needs to be told it takes from the variables PIP_*.
set -euo pipefail
cd "$(dirname "$0")/../.."

root="${1:-/var/tmp/rsgeo-trixie}"
packages=(qgis python3-qgis xvfb xdotool openbox python3-venv qttools5-dev-tools git ca-certificates)

[ "$(id -u)" = 0 ] || { echo "Run this as root: it makes a system of its own and enters it." >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "There is no debootstrap; install the package of that name." >&2; exit 1; }

[ -e "$root/usr/bin/apt-get" ] || debootstrap --variant=minbase trixie "$root"

leave() { umount -l "$root/src" "$root/proc" "$root/dev" 2>/dev/null || true; }
trap leave EXIT
mkdir -p "$root/src"
mount --bind . "$root/src"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"

inside() {
    local variables=(HOME=/tmp/home PATH=/usr/bin:/bin LC_ALL=C.UTF-8 "OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}")
    mapfile -t -O "${#variables[@]}" variables < <(env | grep '^PIP_' || true)
    chroot "$root" env -i "${variables[@]}" bash -euo pipefail -c "$1"
}

[ -e "$root/usr/bin/qgis" ] || inside "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends ${packages[*]}"
# pip may have to trust what the host trusts.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"

inside "
    mkdir -p /tmp/home
    cp -r /src /tmp/checkout.new
    rm -rf /tmp/checkout.new/.venv /tmp/checkout && mv /tmp/checkout.new /tmp/checkout
    test -e /var/tmp/rsgeo-python/bin/python || python3 -m venv /var/tmp/rsgeo-python
    /var/tmp/rsgeo-python/bin/python -m pip install -qq -c /tmp/checkout/constraints.txt --editable /tmp/checkout
    cd /tmp/checkout
    RSGEO_PYTHON=/var/tmp/rsgeo-python/bin/python make test-qgis ARGS='${ARGS:-}'
"
