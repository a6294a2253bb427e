#!/usr/bin/env bash
# systemd's own opinion of the units, and that each runs a command that herd has.
#   tests/e2e/systemd_units_test.sh HERD
set -euo pipefail
herd=$(realpath "$1")
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
for unit in config/systemd/*.service config/systemd/*.socket; do
  sed "s#=herd #=$herd #" "$unit" >"$folder/$(basename "$unit")"  # where the program lies here
done
for unit in config/systemd/*.service; do
  words=$(sed -n 's/^ExecStart=herd //p' "$unit")
  [ -n "$words" ] || fail "$unit starts no herd"
  help=$("$herd" "${words%% *}" --help) || fail "$unit: herd has no ${words%% *}"
  for flag in $(grep -oE -- '--[a-z-]+' <<<"$words"); do
    grep -q -- "$flag\b" <<<"$help" || fail "$unit: herd ${words%% *} has no $flag"
  done
  for line in Type=notify WatchdogSec= NoNewPrivileges=yes User=herd RestartPreventExitStatus=; do
    grep -q "^$line" "$unit" || fail "$unit has no $line"
  done
done
if ! command -v systemd-analyze >/dev/null; then
  echo "SKIPPED: systemd's opinion of the units: there is no systemd-analyze here"
  exit 0
fi
SYSTEMD_UNIT_PATH="$folder:" systemd-analyze verify "$folder"/* >"$folder/log" 2>&1 || { cat "$folder/log"; fail "systemd-analyze verify"; }
if grep -F "$folder" "$folder/log"; then fail "systemd-analyze has something to say"; fi
# It can say no.
sed -i 's/^WatchdogSec=.*/WatchdogSec=often/; s/^Type=.*/Type=notified/' "$folder/herd-node@.service"
SYSTEMD_UNIT_PATH="$folder:" systemd-analyze verify "$folder/herd-node@.service" >"$folder/log" 2>&1 || true
grep -q often "$folder/log" || fail "a broken unit is not noticed"
echo "passed: $(ls config/systemd/*.service config/systemd/*.socket | wc -l) units"
