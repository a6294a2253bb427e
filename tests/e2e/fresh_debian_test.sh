#!/usr/bin/env bash
# Both README commands on a machine that has only Debian's base: a debootstrap chroot with a clean clone.
# Needs root, debootstrap and Debian's mirror as this machine is set up to reach it; about 20 minutes.
#   tests/e2e/fresh_debian_test.sh [quickstart|tests|both] [FOLDER]
set -euo pipefail
what=${1:-both}
folder=${2:-$(mktemp -d /var/tmp/herd-debian-XXXX)}
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
  echo "SKIPPED: fresh Debian: needs root and debootstrap"
  exit 0
fi
mirror=$(grep -rhoE '^(deb|URIs:?) *(\[[^]]*\] *)?https?://[^ ]+' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
  grep -oE 'https?://[^ ]+' | grep -v security | head -n 1)
debootstrap --variant=minbase --include=ca-certificates,git bookworm "$folder" "${mirror:-http://deb.debian.org/debian}" >/dev/null
cleanup() {
  umount "$folder/proc" "$folder/dev" 2>/dev/null || true
  [ "${2:-}" ] || rm -rf "$folder"
}
trap cleanup EXIT
mount -t proc proc "$folder/proc"
mount --bind /dev "$folder/dev"
# How this machine reaches Debian's mirror and PyPI belongs to the machine, not to herd.
cp /etc/resolv.conf "$folder/etc/resolv.conf"
cp -r /etc/apt/apt.conf.d/. "$folder/etc/apt/apt.conf.d/" 2>/dev/null || true
rm -f "$folder"/etc/apt/sources.list.d/*
cp /etc/apt/sources.list "$folder/etc/apt/" 2>/dev/null || true
cp -r /etc/apt/sources.list.d/. "$folder/etc/apt/sources.list.d/" 2>/dev/null || true
for file in /etc/pip.conf /root/.config/pip/pip.conf /root/.pip/pip.conf; do
  [ -f "$file" ] && mkdir -p "$folder$(dirname "$file")" && cp "$file" "$folder$file"
done
cp -r /usr/local/share/ca-certificates/. "$folder/usr/local/share/ca-certificates/" 2>/dev/null || true
cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt" 2>/dev/null || true
git clone -q "$root" "$folder/root/herd"
inside() {
  chroot "$folder" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} ${http_proxy:+http_proxy="$http_proxy"} \
    ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
    bash -c "cd /root/herd && $1"
}
[ "$what" = tests ] || inside "bash quickstart.sh"
[ "$what" = quickstart ] || inside "bash tests/run.sh"
