#!/bin/sh
# Installs what the test suite needs beyond Python: a browser to drive, fonts for the two languages
# of the page, the library of the system that OpenCV wants, a Prometheus server that scrapes a studio,
# and a C compiler for a stand-in of the NVIDIA driver's library. Needs root or sudo, and only when something is missing; says nothing when
# nothing is. Elsewhere than on Debian and its children, the tests that need them are skipped unless
# `chromium`, `prometheus`, `promtool` and `gcc` are on the path.
set -eu

PACKAGES="chromium fonts-dejavu-core fonts-noto-cjk gcc libc6-dev libgl1 prometheus"

missing=""
for package in $PACKAGES; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "This is no Debian: install chromium, prometheus and gcc for the tests." >&2
    exit 0
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null; then
    as_root="sudo"
else
    echo "Not installed, as this needs root:$missing. The tests that need them are skipped." >&2
    exit 0
fi

# Only the programs are wanted: no service may start, now or at the next boot.
POLICY=/usr/sbin/policy-rc.d
if [ ! -e "$POLICY" ]; then
    # shellcheck disable=SC2064,SC2086 # as it is now
    trap "$as_root rm -f $POLICY" EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$POLICY" >/dev/null
    $as_root chmod 755 "$POLICY"
fi

echo "Installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # the names are words
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
case "$missing" in
*prometheus*) $as_root systemctl disable prometheus.service >/dev/null 2>&1 || true ;;
esac
