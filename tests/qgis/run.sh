#!/bin/sh
# The tests of the QGIS plugin with the QGIS of this machine: tests/qgis/run.sh [pytest arguments]
#
# Makes, once, a virtual environment of the system's Python (which has the qgis module) outside of the checkout, with pytest and pytest-qgis.
# RSGEO_QGIS_VENV says where else it shall lie, RSGEO_PIP_OPTIONS what pip needs to be told.
set -eu

cd "$(dirname "$0")/../.."
venv="${RSGEO_QGIS_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/rsgeo/qgis-tests}"
# Another Python that is first on PATH would make QGIS crash: its embedded one takes its prefix from there.
PATH=/usr/bin:/bin
export PATH QT_QPA_PLATFORM=offscreen

/usr/bin/python3 -c "import qgis.core" 2>/dev/null || { echo "There is no QGIS here: install the packages qgis and python3-qgis." >&2; exit 1; }
if [ ! -f "$venv/.made" ]; then
    /usr/bin/python3 -m venv --system-site-packages "$venv"
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pip install -q --disable-pip-version-check ${RSGEO_PIP_OPTIONS:-} "pytest>=8.2" "pytest-qgis>=2.1,<6"
    touch "$venv/.made"
fi
# The settings of whoever runs this stay out of it, and stay as they are.
XDG_RUNTIME_DIR="$(mktemp -d)"
QGIS_CUSTOM_CONFIG_PATH="$XDG_RUNTIME_DIR"
export XDG_RUNTIME_DIR QGIS_CUSTOM_CONFIG_PATH
trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
for argument in "$@"; do [ ! -e "${argument%%::*}" ] || named=yes; done
[ "${named:-no}" = yes ] || set -- "$@" tests/qgis
"$venv/bin/python" -m pytest -p no:cacheprovider "$@"
