#!/usr/bin/env bash
# Builds, checks and times herd on the GPU of this machine, and ends with a table: bash tools/gpu_run.sh [FLAGS]
#
#   --quick         what fits into 9 minutes: one architecture, fewer shapes; stages that no longer fit are left open
#   --only STAGE    this stage alone (may be given several times); stages: build report tests sanitizer bench herd
#                   repeatability answers golden peer
#   --seconds N     begin nothing that cannot end within N seconds (--quick: 520)
#   --kernels-only  build kernels, tests and benchmark alone, also where all of herd could be built
#   --output FOLDER default build/gpu_logs/DATE. $OUT, when set, gets table.txt, results.json and logs.tar.gz as well
#   --sources       print what tells one state of herd's sources from another, and end
#
# Needs a GPU with its driver, nvcc, CMake, Python 3. Where Debian's packages of tools/packages.txt are, all of herd is
# built; elsewhere the kernels with their tests and benchmark alone, with the headers of build/gpu_bundle, and herd itself
# is the bundle's (tools/gpu_bundle.sh makes it on another machine). torch and transformers, numpy and compute-sanitizer
# are used where they are there; what was left out is a row of the table. The GPU's settings are left alone.
# Exit code: 0; 1 a stage failed or a bar is missed; 2 usage; 4 there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."

# Of names and contents, without git: a copy of a checkout gives the same.
sources() {
  find kernels runtime cluster observability actors -type f -regex '.*\.\(h\|cc\|cu\|cuh\|capnp\|txt\)' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}

stages=(build report tests sanitizer bench herd repeatability answers golden peer)
quick=0 kernels_only=0 only=() seconds=0 output=
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=1 ;;
    --kernels-only) kernels_only=1 ;;
    --only) only+=("${2:?a stage}"); shift ;;
    --seconds) seconds=${2:?a number}; shift ;;
    --output) output=${2:?a folder}; shift ;;
    --sources) sources; exit 0 ;;
    *) sed -n '2,21p' "$0" >&2; exit 2 ;;
  esac
  shift
done
for stage in "${only[@]}"; do
  [[ " ${stages[*]} " == *" $stage "* ]] || { echo "gpu_run: no stage $stage; there are ${stages[*]}" >&2; exit 2; }
done
[ "$seconds" != 0 ] || [ $quick = 0 ] || seconds=520
output=${output:-build/gpu_logs/$(date -u +%Y-%m-%d_%H%M%S)}
mkdir -p "$output"
output=$(cd "$output" && pwd)
bundle=$PWD/build/gpu_bundle
built=$PWD/build/gpu
touch "$output/stages.tsv"  # a folder used again keeps what its other stages found

if ! nvidia-smi >"$output/machine.log" 2>&1; then
  echo "gpu_run: no GPU: nvidia-smi $(command -v nvidia-smi >/dev/null && echo "failed: $(tail -n 3 "$output/machine.log")" ||
    echo 'is not there')" >&2
  exit 4
fi
PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin  # for its other tools too, where nvcc is found elsewhere
{
  date -u +'%Y-%m-%d %H:%M UTC'
  git rev-parse HEAD 2>/dev/null || cat "$bundle/commit" 2>/dev/null
  nvidia-smi --query-gpu=index,name,compute_cap,driver_version,memory.total,memory.free --format=csv
  nvcc --version | tail -n 2
  uname -srm
} >>"$output/machine.log" 2>&1

# Libraries that come as Python packages (NCCL, cuBLASLt) are found too; the system's own go first. PyTorch brings its
# own, and keeps the path that was.
python_environment=(env -u LD_LIBRARY_PATH)
[ -z "${LD_LIBRARY_PATH+set}" ] || python_environment=(env "LD_LIBRARY_PATH=$LD_LIBRARY_PATH")
python_nvidia=$(python3 - <<'PY' 2>/dev/null
import glob, sys
print("\n".join(sorted({folder for entry in sys.path for folder in glob.glob(entry + "/nvidia/*/lib")})))
PY
)
for folder in "${CUDA_HOME:-/usr/local/cuda}/lib64" $python_nvidia; do
  export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder"
done

left() { if [ "$seconds" = 0 ]; then echo 100000; else echo $((seconds - SECONDS)); fi; }

# note NAME VERDICT SECONDS TEXT: a row; the table and what $OUT holds are kept up to date, in case this run is cut.
note() {
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$output/stages.tsv"
  printf '%-14s %-5s %4s s  %s\n' "$1" "$2" "$3" "$4"
  python3 tools/gpu_table.py "$output" --json "$output/results.json" >"$output/table.txt" 2>&1
  if [ -n "${OUT:-}" ] && [ -d "$OUT" ]; then
    cp "$output/table.txt" "$output/results.json" "$OUT/" 2>/dev/null
    tar -C "$output" --exclude=models -czf "$OUT/logs.tar.gz" .
  fi
}

selected() { [ ${#only[@]} = 0 ] || [[ " ${only[*]} " == *" $1 "* ]]; }

# step NAME TIMEOUT COMMAND...: runs it into NAME.log. Its verdict: pass; FAIL with the end of the log; open when there
# was no time. A line "SKIPPED: ..." of a log that passed makes it open, with the reason.
step() {
  local name=$1 limit=$2 log="$output/$1.log" begin=$SECONDS code=0 reason
  shift 2
  if [ "$(left)" -lt "$limit" ]; then limit=$(left); fi
  if [ "$limit" -lt 10 ]; then
    note "$name" open 0 "no time left"
    return 1
  fi
  timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null || code=$?
  reason=$(grep -aohE 'SKIPPED: .*' "$log" | head -n 1)
  case $code in
    0) if [ -n "$reason" ]; then note "$name" open $((SECONDS - begin)) "${reason#SKIPPED: }"
       else note "$name" pass $((SECONDS - begin)) "$(figure "$log")"; fi ;;
    124 | 137) note "$name" FAIL $((SECONDS - begin)) "no end after $limit s" ;;
    *) note "$name" FAIL $((SECONDS - begin)) "exit code $code: $(end_of "$log")" ;;
  esac
  return "$code"
}
end_of() { tail -n 3 "$1" | tr '\t\n' '  ' | tail -c 240; }
# The line of a log that says how it went.
figure() {
  grep -aE '\[  PASSED  \]|[0-9]+ passed|ERROR SUMMARY|RACECHECK SUMMARY|kernels on|tokens/s|digests|axes|GB/s' "$1" |
    tail -n 1 | tr -s ' \t' '  ' | cut -c1-150
}

skip() { note "$1" open 0 "$2"; }

# The kernels' own programs: what was built here, else the bundle's. They find the library of their own build.
program() {
  if [ -x "$built/bin/$1" ] && [ -f "$built/libherd_cuda.so" ]; then
    echo "$built/bin/$1"
  elif [ -x "$bundle/bin/$1" ] && [ -f "$bundle/lib/herd/libherd_cuda.so" ]; then
    echo "$bundle/bin/$1"
  fi
}
herd_program() {
  if [ -x "$built/herd" ]; then echo "$built/herd"; elif [ -x "$bundle/bin/herd" ]; then echo "$bundle/bin/herd"; fi
}

build_here() {
  local options=(-DCMAKE_BUILD_TYPE=Release -DHERD_CUDA=ON) code=0 with_herd=0
  local capability include toolkit
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '. \n')
  [ "$capability" != 90 ] || capability=90a
  [ $quick = 0 ] || [ -z "$capability" ] || options+=("-DHERD_CUDA_ARCHITECTURES=$capability-real")
  command -v ninja >/dev/null && options+=(-G Ninja)
  command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  if [ $kernels_only = 0 ] && [ -e /usr/include/caf/all.hpp ] && [ -e /usr/include/capnp/message.h ] &&
    [ -e /usr/include/CLI/CLI.hpp ]; then
    with_herd=1
  else
    options+=(-DHERD_KERNELS_ONLY=ON)
    [ ! -d "$bundle/headers/tl" ] || options+=("-DHERD_HEADERS=$bundle/headers")
  fi
  toolkit=$(dirname "$(dirname "$(command -v nvcc)")")/include
  for include in $python_nvidia; do  # headers of the same packages, where the toolkit has none
    include=${include%/lib}/include
    [ -f "$toolkit/cublasLt.h" ] || [ ! -f "$include/cublasLt.h" ] || options+=("-DHERD_CUBLASLT_INCLUDE_DIR=$include")
    [ -f "$toolkit/nccl.h" ] || [ -f /usr/include/nccl.h ] || [ ! -f "$include/nccl.h" ] ||
      options+=("-DHERD_NCCL_INCLUDE_DIR=$include")
  done
  cmake -S . -B "$built" "${options[@]}" || return
  # What is measured first: the emulator beside the tests is not needed here, and a compiler may refuse it.
  cmake --build "$built" --target herd_cuda cuda_bench -- -j"$(nproc)" || return
  [ $with_herd = 0 ] || cmake --build "$built" --target herd repeatability -- -j"$(nproc)" || code=$?
  cmake --build "$built" --target cuda_tests -- -j"$(nproc)" || code=$?
  return $code
}
export -f build_here
export quick kernels_only built bundle python_nvidia

stage_build() { step build 420 bash -c build_here; }

stage_report() {
  local library=$built/libherd_cuda.so
  [ -f "$library" ] || library=$bundle/lib/herd/libherd_cuda.so
  [ -f "$library" ] || { skip report "no libherd_cuda.so, built or bundled"; return; }
  if ! command -v cuobjdump >/dev/null; then skip report "no cuobjdump"; return; fi
  step report 60 python3 tools/cuda_report.py "$library" --json "$output/report.json"
}

# run_suite FILE FILTER: into FILE.log and FILE.code.
run_suite() {
  local limit=$((suites_end - $(date +%s))) code=0
  [ "$limit" -le "$suite_seconds" ] || limit=$suite_seconds
  if [ "$limit" -ge 5 ]; then
    timeout -k 5 "$limit" "$tests" --gtest_filter="$2" >"$1.log" 2>&1 </dev/null || code=$?
  else
    echo "not begun: no time left" >"$1.log"
    code=124
  fi
  echo "$code" >"$1.code"
}
export -f run_suite

# Each suite is a process of its own, so that a fault or a hang costs one suite; several at once share the GPU, but what
# measures its free memory runs alone. All logs are in tests.log.
stage_tests() {
  local tests suites_end suite_seconds=${SUITE_SECONDS:-$((quick ? 90 : 180))} alone='*FreeBytesCount*' folder=$output/suites
  local begin=$SECONDS jobs=$(($(nproc) / 2)) suites i code bad=() late=() ends= passed skipped reasons
  tests=$(program cuda_tests)
  [ -n "$tests" ] || { skip tests "no cuda_tests, built or bundled"; return; }
  [ "$(left)" -ge 10 ] || { skip tests "no time left"; return; }
  [ $jobs -le 8 ] || jobs=8
  [ $jobs -ge 1 ] || jobs=1
  rm -rf "$folder" && mkdir "$folder"
  if ! timeout -k 5 60 "$tests" --gtest_list_tests >"$output/tests.log" 2>&1 </dev/null; then
    note tests FAIL $((SECONDS - begin)) "cannot be listed: $(end_of "$output/tests.log")"
    return
  fi
  mapfile -t suites < <(grep -aE '^[^[:space:]]+\.([[:space:]]|$)' "$output/tests.log" | cut -d. -f1)
  suites_end=$(($(date +%s) + ($(left) < 400 ? $(left) : 400)))
  export tests suites_end suite_seconds
  for i in "${!suites[@]}"; do printf '%s\0%s\0' "$folder/$i" "${suites[$i]}.*-$alone"; done |
    xargs -0 -r -n 2 -P "$jobs" bash -c 'run_suite "$@"' _
  suites+=("$alone")
  run_suite "$folder/$((${#suites[@]} - 1))" "$alone"
  for i in "${!suites[@]}"; do
    code=$(cat "$folder/$i.code" 2>/dev/null || echo none)
    { printf '\n==== %s: exit code %s\n' "${suites[$i]}" "$code"; cat "$folder/$i.log"; } >>"$output/tests.log"
    if grep -q '^not begun' "$folder/$i.log"; then late+=("${suites[$i]}")
    elif [ "$code" != 0 ]; then
      bad+=("${suites[$i]}")
      ends+="; ${suites[$i]} $(suite_end "$folder/$i.log" "$code")"
    fi
  done
  passed=$(grep -ac '^\[       OK \]' "$output/tests.log")
  skipped=$(grep -aE '^\[  SKIPPED \] [^ ]+ \(' "$output/tests.log" | wc -l)
  reasons=$(sed -n 's/^SKIPPED: //p' "$output/tests.log" | tr '\t' ' ' | sort -u | head -n 3 | paste -sd ';')
  rm -rf "$folder"
  if [ ${#bad[@]} != 0 ]; then
    note tests FAIL $((SECONDS - begin)) "${bad[*]}; $passed passed$ends"
  elif [ ${#late[@]} != 0 ]; then
    note tests open $((SECONDS - begin)) "$passed passed; no time left for ${late[*]}"
  elif [ "$passed" = 0 ]; then
    note tests open $((SECONDS - begin)) "no test ran${reasons:+: $reasons}"
  else
    note tests pass $((SECONDS - begin)) "$passed passed${reasons:+, $skipped skipped: $reasons}"
  fi
}
# How a suite that did not pass ended: suite_end LOG CODE.
suite_end() {
  local last failed
  last=$(sed -n 's/^\[ RUN      \] //p' "$1" | tail -n 1)
  failed=$(sed -nE 's/^\[  FAILED  \] [^ ,.]+\.([^ ,]+),? .*\([0-9]+ ms\)$/\1/p' "$1" | sort -u | paste -sd ' ')
  [ ${#failed} -le 200 ] || failed="${failed:0:200}…"
  case $2 in
    1) echo "failed: ${failed:-$(end_of "$1")}" ;;
    124 | 137) echo "did not end, last: $last${failed:+, failed: $failed}" ;;
    *) echo "exit code $2, last: $last${failed:+, failed: $failed}" ;;
  esac
}

# All four tools at once: they check, nobody times them. Left out: large shapes, what makes CUDA calls fail on purpose,
# and what counts free memory. --quick: a few tests of each kernel.
sanitizer_filter='*-*ModelShapes*:*WholeVocabulary*:*MeasuresWhat*:*Yardstick*:*TooMuchMemory*:*AStepThatWaits*'
sanitizer_filter+=':*ABrokenDevice*:*AHeadTooWide*:*FreeBytesCount*'
quick_filter='*WritesLandWhere*:*ARowFindsTheOneKey*:*ARecordedStepServes*:*StagedBuffersTakeTurns*'
quick_filter+=':*RecordedStepsRunAgain*:*RmsNormHas*:*RopeTurnsPairs*:*SiluOfTheGate*:*RowsAreGathered*:*NegativeIds*'
quick_filter+=':*SlicesOfRanks*:*AddedAndNormalised*:*PackedWeightsLie*:*EmbeddedRows*:*OtherDtypesGive*:*EveryKMeets*'
quick_filter+=':*LeavesAreAdded*:*LargeTilesGive*:*TheMaxAndSum*:*TheBestColumnsAreThe*:*RowsWithEveryMix*'
# What the tools begin the report of an error with, and their sums. Their other errors are of the tool, not of herd.
sanitizer_found='^========= +((Error|ERROR): )?(Invalid |Uninitialized |Misaligned |Out-of-range |Race reported|'
sanitizer_found+='Potential |Barrier error|Host API |Program hit )'
sanitizer_found+='|^========= ERROR SUMMARY: [1-9]|SUMMARY: .*\([1-9][0-9]* error'

# sanitizer_row TOOL CODE SECONDS LIMIT: what its log says of errors counts, however the run ended.
sanitizer_row() {
  local log="$output/$1.log" found failed reason ok
  found=$(grep -aE "$sanitizer_found" "$log" | head -n 1 | tr '\t' ' ' | cut -c1-200)
  failed=$(grep -aE '^\[  FAILED  \] [^ ]+ \(' "$log" | head -n 1)
  reason=$(grep -aE 'not supported|Unable to|LibraryNotLoaded|Device not' "$log" | head -n 1 | cut -c1-120)
  ok=$(grep -ac '^\[       OK \]' "$log")
  if [ -n "$found" ]; then note "$1" FAIL "$3" "exit code $2, $ok tests passed: $found"
  elif [ -n "$failed" ]; then note "$1" FAIL "$3" "exit code $2: $failed"
  elif [ "$2" = 0 ] && [ "$ok" = 0 ]; then note "$1" open "$3" "no test ran"
  elif [ "$2" = 0 ]; then note "$1" pass "$3" "$ok tests passed, $(figure "$log")"
  elif [ -n "$reason" ]; then note "$1" open "$3" "$reason"
  elif [ "$2" = 124 ] || [ "$2" = 137 ]; then note "$1" open "$3" "no end after $4 s; no error in $ok tests"
  else note "$1" FAIL "$3" "exit code $2: $(grep -a '=========' "$log" | head -n 2 | tr '\t\n' '  ' | cut -c1-200)"; fi
}

stage_sanitizer() {
  local tests tool limit=240 filter=$sanitizer_filter code
  [ $quick = 0 ] || limit=60 filter=$quick_filter
  tests=$(program cuda_tests)
  [ -n "$tests" ] || { skip sanitizer "no cuda_tests, built or bundled"; return; }
  command -v compute-sanitizer >/dev/null || { skip sanitizer "no compute-sanitizer"; return; }
  [ "$(left)" -ge "$limit" ] || limit=$(left)
  [ "$limit" -ge 20 ] || { skip sanitizer "no time left"; return; }
  local begin=$SECONDS pids=() tools=(memcheck racecheck initcheck synccheck) i flags
  for tool in "${tools[@]}"; do
    flags=(--target-processes all --error-exitcode 9)
    # herd looks at the result of every call itself, and asks for events that are not there yet.
    [ "$tool" != memcheck ] || flags+=(--report-api-errors no)
    timeout -k 10 "$limit" compute-sanitizer --tool "$tool" "${flags[@]}" "$tests" \
      --gtest_filter="${SANITIZER_FILTER:-$filter}" >"$output/$tool.log" 2>&1 </dev/null &
    pids+=($!)
  done
  for i in "${!tools[@]}"; do
    code=0
    wait "${pids[$i]}" || code=$?
    sanitizer_row "${tools[$i]}" "$code" $((SECONDS - begin)) "$limit"
  done
}

stage_bench() {
  local bench flags=()
  bench=$(program cuda_bench)
  [ -n "$bench" ] || { skip bench "no cuda_bench, built or bundled"; return; }
  [ $quick = 0 ] || flags+=(--quick --seconds 0.05)
  rm -f "$BENCH_JSON"
  # Its exit code 1 after all parts is a bar missed: the table has it as a row of its own.
  step bench 300 bash -c '"$@"; code=$?; [ $code = 1 ] && grep -q "\"complete\": true" "$BENCH_JSON" || exit $code' _ \
    "$bench" "${flags[@]}" --json "$BENCH_JSON"
}

# Shapes of Meta's models (their config.json), for random weights.
write_config() {
  local folder=$output/models/$1
  mkdir -p "$folder"
  cat >"$folder/config.json" <<JSON
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": $2, "intermediate_size": $3,
 "num_hidden_layers": $4, "num_attention_heads": $5, "num_key_value_heads": $6, "head_dim": $7, "vocab_size": 128256,
 "tie_word_embeddings": $8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "hidden_act": "silu",
 "torch_dtype": "bfloat16", "bos_token_id": 128000, "eos_token_id": 128001, "rope_theta": 500000.0,
 "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 8192, "rope_type": "llama3"}}
JSON
}

# latency NAME MODEL BATCH IN OUT [FLAGS...]. A decode rate counts while all sequences run together: OUT leaves many
# steps after the last prompt.
latency() {
  rm -f "$output/$1.json"
  step "$1" 150 "$herd" bench latency "$output/models/$2" --load-format random --devices gpu --batch-size "$3" \
    --input-len "$4" --output-len "$5" --output-json "$output/$1.json" "${@:6}"
}
stage_herd() {
  local herd
  herd=$(herd_program)
  [ -n "$herd" ] || { skip herd "no herd, built or bundled"; return; }
  write_config 8b 4096 14336 32 32 8 128 false
  write_config 1b 2048 8192 16 32 8 64 true
  step herd_machine 90 "$herd" bench machine --devices gpu --output-json "$output/herd_machine.json" ||
    { skip herd_latency "herd bench machine did not pass"; return; }
  latency herd_8b_batch1 8b 1 512 32
  latency herd_8b_batch32 8b 32 512 96 --max-num-batched-tokens 16384
  latency herd_8b_prefill 8b 1 4096 16 --max-num-batched-tokens 4096
  latency herd_8b_batch256 8b 256 512 160 --max-num-batched-tokens 8192 --max-ce-batch-size 256
  [ $quick = 1 ] || latency herd_1b_batch1 1b 1 512 32
  step herd_8b_throughput 150 "$herd" bench throughput "$output/models/8b" --load-format random --devices gpu \
    --num-prompts 256 --input-len 128 --output-len 64 --output-json "$output/herd_8b_throughput.json"
}

stage_repeatability() {
  local repeatability limit=1200 flags=()
  repeatability=$built/bin/repeatability
  [ -x "$repeatability" ] || repeatability=$bundle/bin/repeatability
  [ -x "$repeatability" ] || { skip repeatability "no repeatability, built or bundled"; return; }
  if [ $quick = 1 ]; then limit=120; else flags+=(--full); fi
  flags+=(--model demo=config/demo_model --random gqa4=tests/golden/configs/gqa4_llama3)
  step repeatability $limit "$repeatability" --devices gpu "${flags[@]}"
  # float32: this machine's CPU has to give the very digests.
  step repeatability_f32 $limit bash -c '"$1" "${@:3}" --write "$2" >/dev/null && "$1" --devices gpu --expected "$2" "${@:3}"' \
    _ "$repeatability" "$output/cpu_f32.txt" --encoding float32 "${flags[@]}"
}

# SmolLM2 from the cache, or joined from the parts that travelled.
smollm2() {
  local file=.cache/herd/SmolLM2-135M-Instruct.Q4_1.gguf joined=$output/models/smollm2.gguf
  if [ -f "$file" ]; then echo "$file"; return; fi
  [ -f build/gpu_model_0/smollm2.gguf.sha256 ] || return
  mkdir -p "$output/models"
  find build/gpu_model_* -name 'smollm2.gguf.part_*' | LC_ALL=C sort -t/ -k3 | xargs cat >"$joined"
  echo "$(cat build/gpu_model_0/smollm2.gguf.sha256)  $joined" | sha256sum -c --status && echo "$joined"
}

stage_answers() {
  local herd model flags=()
  herd=$(herd_program)
  [ -n "$herd" ] || { skip answers "no herd, built or bundled"; return; }
  model=$(smollm2)
  if [ -n "$model" ]; then flags=(--smollm2 "$model"); else skip smollm2 "the model is not here, or not all its parts"; fi
  # What it says of a model that is not here is a row already.
  step answers 120 bash -c 'set -o pipefail; "$@" | sed "s/^SKIPPED: /left out: /"' _ \
    python3 tests/e2e/serve_answers_test.py "$herd" --flags "--devices gpu" "${flags[@]}"
}

stage_golden() {
  local herd
  herd=$(herd_program)
  [ -n "$herd" ] || { skip golden "no herd, built or bundled"; return; }
  python3 -c 'import numpy' 2>/dev/null || { skip golden "no numpy"; return; }
  local flags=()
  [ $quick = 0 ] || flags=(--only gqa3)  # one fixture of float16, one of bfloat16
  step golden 600 python3 tests/e2e/golden_test.py "$herd" --flags "--devices gpu" "${flags[@]}"
}

stage_peer() {
  local flags=(--seconds 60)
  [ $quick = 1 ] || flags=(--compile --seconds 400)
  write_config 8b 4096 14336 32 32 8 128 false
  rm -f "$output/peer.json"
  if ! "${python_environment[@]}" python3 -c 'import torch, transformers' 2>"$output/peer.log"; then
    skip peer "$(tail -n 1 "$output/peer.log")"
    return
  fi
  step peer 600 "${python_environment[@]}" python3 tools/gpu_peer.py "$output/models/8b" --json "$output/peer.json" \
    "${flags[@]}" --herd "$output/herd_8b_batch1.json" --herd "$output/herd_8b_batch32.json" \
    --herd "$output/herd_8b_prefill.json"
}

if [ -d "$bundle/bin" ] && [ "$(cat "$bundle/sources" 2>/dev/null)" != "$(sources)" ]; then
  skip bundle "bundle is of other sources: what it brings is not what is here"
fi
export BENCH_JSON=$output/cuda_bench.json
for stage in "${stages[@]}"; do
  if selected "$stage"; then "stage_$stage"; fi
done

printf '\n'
python3 tools/gpu_table.py "$output" --json "$output/results.json"
code=$?
echo "logs: $output"
exit $code
