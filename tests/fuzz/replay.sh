#!/usr/bin/env bash
# Replays the kept corpora: every input of tests/fuzz/corpus/NAME through NAME_fuzz, under ASan and UBSan.
#   replay.sh FOLDER_OF_TARGETS
set -euo pipefail
corpora=$(cd "$(dirname "$0")" && pwd)/corpus
replayed=0
for folder in "$corpora"/*/; do
  name=$(basename "$folder")
  "$1/${name}_fuzz" -runs=0 -rss_limit_mb=2048 -timeout=10 "$folder" 2>&1 | tail -n 1
  replayed=$((replayed + $(find "$folder" -type f | wc -l)))
done
echo "$replayed inputs of $(ls "$corpora" | wc -l) corpora replayed"
[ "$replayed" -gt 0 ]
