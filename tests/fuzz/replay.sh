#!/usr/bin/env bash
# Replays the kept corpora through the fuzz targets of a build: tests/fuzz/replay.sh build/asan-ubsan/bin
set -euo pipefail
corpora=$(cd "$(dirname "$0")" && pwd)/corpus
for folder in "$corpora"/*/; do
  name=$(basename "$folder")
  printf '%s: ' "$name"
  "$1/${name}_fuzz" "$folder"
done
