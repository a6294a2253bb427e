#!/usr/bin/env bash
# cmake --install puts a herd that finds the demo model under its prefix, and beside it what systemd and shells look for.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install build/release --prefix "$prefix" >/dev/null
test -f "$prefix/share/herd/demo_model/config.json"
test -f "$prefix/lib/systemd/system/herd-node@.service"
test -f "$prefix/lib/sysusers.d/herd.conf"
bash -n "$prefix/share/bash-completion/completions/herd"
grep -q -- --served-model-name "$prefix/share/bash-completion/completions/herd"
"$prefix/bin/herd" check "$prefix"/share/herd/cluster/*.yaml
cd /
answer=$("$prefix/bin/herd" generate --quiet --instruct --prompt "What is the capital of France?" --max-new-tokens 30)
echo "$answer"
grep -qi paris <<<"$answer"
"$prefix/bin/herd" --version
