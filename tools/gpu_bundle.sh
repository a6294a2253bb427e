#!/usr/bin/env bash
# What travels to a machine with a GPU and nothing else of herd's needs: bash tools/gpu_bundle.sh [BUILD_FOLDER]
#
# From a built folder (default build/release) makes, beside a checkout of the repository that tools/gpu_run.sh finds there,
#   build/gpu_bundle/bin/            herd, cuda_tests, cuda_bench, repeatability: scripts that start libexec/ with lib/
#   build/gpu_bundle/lib/            every shared library they need but glibc's and the driver's; lib/herd/libherd_cuda.so
#   build/gpu_bundle/share/          the demo model
#   build/gpu_bundle/headers/        tl/ and googletest/, to build kernels and tests there (HERD_HEADERS)
#   build/gpu_model_N/               SmolLM2, where it is cached: 24 MiB a folder (it travels apart)
# and checks that what was made runs with an empty environment, and that --devices gpu without a GPU exits with 4. At
# most MIB_MAX MiB in build/gpu_bundle.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
mib_max=${MIB_MAX:-48}
bundle=build/gpu_bundle
programs=(herd cuda_tests cuda_bench repeatability)
# The machine's own: glibc and its loader, the driver, and NVIDIA's large libraries (loaded only where they are used).
not_carried='^(linux-vdso|ld-linux-x86-64|libc|libm|libpthread|libdl|librt|libresolv|libutil|libcuda|libnvidia-.*|libnccl|libcublas|libcublasLt|libcudart)\.so'

die() { echo "gpu_bundle: $1" >&2; exit "${2:-1}"; }

[ -x "$build/herd" ] || die "$build/herd does not exist; build first (quickstart.sh)" 4
rm -rf "$bundle" build/gpu_model_*
mkdir -p "$bundle"/{bin,libexec,lib/herd,headers}

cmake --install "$build" --prefix "$PWD/$bundle/installed" >/dev/null
mv "$bundle/installed/share" "$bundle/share"
library=$bundle/installed/lib/herd/libherd_cuda.so
[ ! -f "$library" ] || mv "$library" "$bundle/lib/herd/"
cp "$bundle/installed/bin/herd" "$bundle/libexec/"
rm -rf "$bundle/installed"
missing=()
[ -f "$bundle/lib/herd/libherd_cuda.so" ] || missing+=(libherd_cuda.so)
for program in "${programs[@]:1}"; do
  if [ -x "$build/bin/$program" ]; then cp "$build/bin/$program" "$bundle/libexec/"; else missing+=("$program"); fi
done
strip --strip-unneeded "$bundle"/libexec/*
find "$bundle/lib/herd" -name '*.so' -exec strip --strip-unneeded {} +

# The closure of shared libraries, by the names under which they are asked for.
closure() {
  ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u
}
while read -r name path; do
  [[ $name =~ $not_carried ]] && continue
  cp -L "$path" "$bundle/lib/$name"
done < <(closure "$bundle"/libexec/* $(find "$bundle/lib/herd" -name '*.so'))

for program in "$bundle"/libexec/*; do
  cat >"$bundle/bin/$(basename "$program")" <<'RUN'
#!/bin/sh
# Starts the program of this name with the bundle's libraries.
here=$(cd "$(dirname "$0")/.." && pwd)
LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$here/libexec/$(basename "$0")" "$@"
RUN
  chmod +x "$bundle/bin/$(basename "$program")"
done

[ ! -d /usr/include/tl ] || cp -r /usr/include/tl "$bundle/headers/"
if [ -d /usr/src/googletest/googletest ]; then
  mkdir -p "$bundle/headers/googletest"
  cp -r /usr/src/googletest/googletest/{include,src} "$bundle/headers/googletest/"
fi
git rev-parse HEAD >"$bundle/commit"
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "with changes" >>"$bundle/commit"
bash tools/gpu_run.sh --sources >"$bundle/sources"

smollm2=.cache/herd/SmolLM2-135M-Instruct.Q4_1.gguf
if [ -f "$smollm2" ]; then
  mkdir -p build/gpu_model_all
  split -b 24M -d "$smollm2" build/gpu_model_all/smollm2.gguf.part_
  folder=0
  for part in build/gpu_model_all/*.part_*; do
    mkdir -p "build/gpu_model_$folder"
    mv "$part" "build/gpu_model_$folder/"
    folder=$((folder + 1))
  done
  sha256sum <"$smollm2" | cut -d' ' -f1 >build/gpu_model_0/smollm2.gguf.sha256
  rmdir build/gpu_model_all
fi

# It must run elsewhere: from another folder, with nothing of this machine's environment.
moved=$(mktemp -d)
trap 'rm -rf "$moved"' EXIT
cp -r "$bundle" "$moved/bundle"
cd "$moved"
run() { env -i PATH=/usr/bin:/bin "$@"; }
answer=$(run bundle/bin/herd generate --quiet --instruct --prompt "What is the capital of France?" --max-new-tokens 30)
grep -qi paris <<<"$answer" || die "the bundled herd answered: $answer"
echo "the bundled herd says: $answer"
if ! command -v nvidia-smi >/dev/null; then
  code=0
  said=$(run bundle/bin/herd generate --devices gpu --prompt hello 2>&1) || code=$?
  [ $code = 4 ] || die "--devices gpu without a GPU exited with $code: $said"
  echo "--devices gpu says, with exit code 4: $said"
fi
foreign=$(run sh -c 'for program in bundle/libexec/*; do
  LD_LIBRARY_PATH=bundle/lib ldd $program; done' | grep 'not found' | sort -u || true)
[ -z "$foreign" ] || die "libraries are missing: $foreign"
cd - >/dev/null

mib=$(du -sm "$bundle" | cut -f1)
du -sh "$bundle"/* | sort -k2
[ "$mib" -le "$mib_max" ] || die "$bundle has $mib MiB, more than $mib_max"
[ ${#missing[@]} = 0 ] || echo "NOT in the bundle, since $build lacks them: ${missing[*]}"
echo "$bundle: $mib MiB$(ls -d build/gpu_model_* >/dev/null 2>&1 && echo "; SmolLM2 in $(ls -d build/gpu_model_* | tr '\n' ' ')")"
