#!/usr/bin/env bash
# The tests of the QGIS plugin on QGIS 3.40, in a Debian 13 of its own: tests/qgis/trixie.sh [pytest arguments, by default tests/qgis]
#
# For root on Debian or Ubuntu, with debootstrap and a network; the second run is quick. RSGEO_TRIXIE names the folder, by default one among the temporary
# files that outlive a restart; it takes 8 GB for the system, QGIS and a virtual environment with rsgeo, and as much again while the slow tests run.
# pip is told what the variables PIP_* say here.
set -euo pipefail
cd "$(dirname "$0")/../.."

root="${RSGEO_TRIXIE:-/var/tmp/rsgeo-trixie}"
packages=(qgis python3-qgis xvfb xdotool openbox python3-venv qttools5-dev-tools git ca-certificates make)

[ "$(id -u)" = 0 ] || { echo "Run this as root: it makes a system of its own and enters it." >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "There is no debootstrap; install the package of that name." >&2; exit 1; }
# What is mounted from here on is seen by nobody else, and goes with this script.
[ -n "${RSGEO_OWN_MOUNTS:-}" ] || RSGEO_OWN_MOUNTS=1 exec unshare --mount "tests/qgis/$(basename "$0")" "$@"

[ -e "$root/usr/bin/apt-get" ] || debootstrap --variant=minbase trixie "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"
cp /etc/resolv.conf "$root/etc/resolv.conf"

variables=(HOME=/var/tmp/home PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}")
while IFS= read -r variable; do variables+=("$variable"); done < <(env | grep '^PIP_')
inside() { chroot "$root" env -i "${variables[@]}" bash -euo pipefail -c "$@"; }

[ -e "$root/usr/bin/qgis" ] || inside "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends ${packages[*]}"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt" # pip trusts there what it trusts here

rm -rf "$root/var/tmp/checkout"
trap 'rm -rf "$root"/tmp/pytest-of-*' EXIT
mkdir -p "$root/var/tmp/checkout" "$root/var/tmp/home"
git ls-files -z --cached --others --exclude-standard -- . ':!.venv' | tar --null --files-from=- --create | tar --extract -C "$root/var/tmp/checkout"
# shellcheck disable=SC2016
inside '
    cd /var/tmp/checkout
    [ -e /var/tmp/rsgeo/bin/python ] || python3 -m venv /var/tmp/rsgeo
    /var/tmp/rsgeo/bin/python -m pip install -qq -c constraints.txt --editable . "pytest>=8.2" "bandit>=1.8" "detect-secrets>=1.5"
    QT_QPA_PLATFORM=offscreen qgis --version
    # Within QGIS what needs QGIS, and beside it what starts QGIS and looks at what came out.
    RSGEO_PYTHON=/var/tmp/rsgeo/bin/python tests/qgis/run.sh "${@:-tests/qgis}"
    /var/tmp/rsgeo/bin/python -m pytest -p no:cacheprovider "${@:-tests/qgis}"
' bash "$@"
