#!/bin/sh
# Libraries that Qt, OpenGL and a virtual display need on Debian and Ubuntu; installs the missing ones where it may.
set -eu

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    # Other systems bring these with their desktop; nothing to do on a computer that can show a window.
    if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && ! command -v xvfb-run >/dev/null 2>&1; then
        echo "There is no display and no xvfb-run: install Xvfb, or run this in a desktop session." >&2
        exit 1
    fi
    exit 0
fi

# python3-venv is Debian's name for what `python3 -m venv` needs; a Python from elsewhere brings it along.
wanted="xvfb xauth libgl1 libegl1 libfontconfig1 libdbus-1-3 libglib2.0-0 libxkbcommon-x11-0 libxcb-cursor0
libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xkb1"
"${PYTHON:-python3}" -c "import ensurepip" 2>/dev/null || wanted="python3-venv $wanted"

missing=""
for package in $wanted; do
    # From Ubuntu 24.04 and Debian 13 on, some libraries carry the suffix of the 64-bit time change.
    dpkg-query -W -f '${Status}\n' "$package" "${package}t64" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "Some system packages are missing and need an administrator: run this once, then try again:" >&2
    echo "  sudo apt-get update && sudo $command" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
echo "Installing system packages:$missing"
# shellcheck disable=SC2086  # the words of the command are meant to be split
$as_root apt-get -q update && $as_root $command </dev/null
