#!/usr/bin/env bash
# Installs the package of herd that lies in FOLDER, with what it needs, on a Debian 12 that may have nothing else; root only.
#   tools/install_package.sh FOLDER [UID]     UID: who runs it in a container, and owns its state in /var/lib/herd
set -euo pipefail
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$(realpath "$1")"/herd_*.deb >/dev/null
rm -rf /var/lib/apt/lists/*
[ -z "${2:-}" ] || install -d -m 0700 -o "$2" -g "$2" /var/lib/herd
herd --version
