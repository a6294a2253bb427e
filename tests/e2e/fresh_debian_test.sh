#!/usr/bin/env bash
# Both README commands on a machine that has only Debian's base: a debootstrap chroot with a clean clone.
# Needs root, debootstrap and Debian's mirror; about 20 minutes. How the outside is reached (proxy, certificates) is the
# machine's business and is taken over from it.
#   tests/e2e/fresh_debian_test.sh [quickstart|tests|both] [FOLDER TO KEEP]
set -euo pipefail
what=${1:-both}
kept=${2:-}
folder=${kept:-$(mktemp -d /var/tmp/herd-debian-XXXX)}
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
  echo "SKIPPED: fresh Debian: needs root and debootstrap"
  exit 0
fi
cleanup() {
  umount "$folder/proc" "$folder/dev" 2>/dev/null || true
  [ -n "$kept" ] || rm -rf "$folder"
}
trap cleanup EXIT
[ -x "$folder/bin/sh" ] || debootstrap --variant=minbase --include=ca-certificates,git bookworm "$folder" http://deb.debian.org/debian >/dev/null
mount -t proc proc "$folder/proc"
mount --bind /dev "$folder/dev"
cp /etc/resolv.conf "$folder/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt"
grep -lE '^ *Acquire' /etc/apt/apt.conf.d/* 2>/dev/null | xargs -r cp -t "$folder/etc/apt/apt.conf.d/"
rm -rf "$folder/root/herd"
git clone -q "$root" "$folder/root/herd"
environment=(HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
for name in http_proxy https_proxy no_proxy PIP_INDEX_URL PIP_CERT SSL_CERT_FILE; do
  [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done
inside() { chroot "$folder" env -i "${environment[@]}" bash -c "cd /root/herd && $1"; }
[ "$what" = tests ] || inside "bash quickstart.sh"
[ "$what" = quickstart ] || inside "bash tests/run.sh"
