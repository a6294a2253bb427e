#!/usr/bin/env bash
# Both README commands on a machine that has only Debian's base: a debootstrap chroot with a clean clone. And the Debian package, made
# there and installed on another such machine, by the scripts that the Containerfile runs. Needs root, debootstrap and Debian's mirror;
# about 20 minutes. How the outside is reached (proxy, certificates) is the machine's business and is taken over from it.
#   tests/e2e/fresh_debian_test.sh [quickstart|tests|package|both] [FOLDER TO KEEP]      both: quickstart and tests
set -euo pipefail
what=${1:-both}
kept=${2:-}
folder=${kept:-$(mktemp -d /var/tmp/herd-debian-XXXX)}
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
  echo "SKIPPED: fresh Debian: needs root and debootstrap"
  exit 0
fi
machines=()
cleanup() {
  for machine in "${machines[@]}"; do umount "$machine/proc" "$machine/dev" 2>/dev/null || true; done
  [ -n "$kept" ] || rm -rf "$folder" "$folder-runs"
}
trap cleanup EXIT
# machine FOLDER PACKAGES: a Debian with its base and these (comma between them).
machine() {
  machines+=("$1")
  [ -x "$1/bin/sh" ] || debootstrap --variant=minbase --include="$2" bookworm "$1" http://deb.debian.org/debian >/dev/null
  mount -t proc proc "$1/proc"
  mount --bind /dev "$1/dev"
  cp /etc/resolv.conf "$1/etc/resolv.conf"
  cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
  grep -lE '^ *Acquire' /etc/apt/apt.conf.d/* 2>/dev/null | xargs -r cp -t "$1/etc/apt/apt.conf.d/"
}
environment=(HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
for name in http_proxy https_proxy no_proxy PIP_INDEX_URL PIP_CERT SSL_CERT_FILE; do
  [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done
# inside FOLDER COMMAND
inside() { chroot "$1" env -i "${environment[@]}" bash -c "$2"; }

machine "$folder" ca-certificates,git
rm -rf "$folder/root/herd"
git clone -q "$root" "$folder/root/herd"
case $what in quickstart | both) inside "$folder" "cd /root/herd && bash quickstart.sh" ;; esac
case $what in tests | both) inside "$folder" "cd /root/herd && bash tests/run.sh" ;; esac
if [ "$what" = package ]; then
  inside "$folder" "cd /root/herd && bash tools/package.sh"
  machine "$folder-runs" ca-certificates
  mkdir -p "$folder-runs/root/packages"
  cp "$folder"/root/herd/build/packages/herd_*.deb "$root/tools/install_package.sh" "$folder-runs/root/packages/"
  inside "$folder-runs" "bash /root/packages/install_package.sh /root/packages 10001"
  # As the container runs it: its user, its state, its health check.
  inside "$folder-runs" 'set -e
    export XDG_STATE_HOME=/var/lib
    setpriv --reuid 10001 --regid 10001 --clear-groups herd serve --host 127.0.0.1 & server=$!
    for _ in $(seq 300); do setpriv --reuid 10001 --regid 10001 --clear-groups herd probe http://127.0.0.1:8000/ready 2>/dev/null && break; sleep 0.1; done
    herd probe http://127.0.0.1:8000/ready
    test -f /var/lib/herd/resume.key
    kill -TERM "$server"; wait "$server"'
fi
