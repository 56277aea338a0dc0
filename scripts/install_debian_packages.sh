#!/bin/sh
# Installs what the test suite needs beyond Python: a browser to drive, fonts for the two languages
# of the page, and the library of the system that OpenCV wants. Needs root or sudo, and only when something is missing; says nothing when
# nothing is. Elsewhere than on Debian and its children, the browser tests are skipped unless a
# `chromium` is on the path.
set -eu

PACKAGES="chromium fonts-dejavu-core fonts-noto-cjk libgl1"

missing=""
for package in $PACKAGES; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "This is no Debian: install chromium for the browser tests." >&2
    exit 0
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null; then
    as_root="sudo"
else
    echo "Not installed, as this needs root:$missing. The browser tests are skipped." >&2
    exit 0
fi

echo "Installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # the names are words
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
