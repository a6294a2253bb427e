#!/usr/bin/env bash
# Every test: bash tests/run.sh [--sanitizers]. Sets up as quickstart.sh does, builds, runs, and ends with a table of
# what ran, what was skipped and why, and the tally.
. "$(dirname "$0")/../tools/prepare.sh"
sanitizers=0
[ "${1:-}" = --sanitizers ] && sanitizers=1

passed=0 failed=0 skipped=0 rows=()
logs=$herd_cache/test-logs
rm -rf "$logs" && mkdir -p "$logs"

# timed COMMAND...: says afterwards how long it took, and what has passed since the begin, so that a run that is cut off shows
# where the time went.
timed() {
  local begin=$SECONDS status=0
  "$@" || status=$?
  printf '   %d s (%d s in all)\n' $((SECONDS - begin)) "$SECONDS"
  return $status
}

# logged LOG COMMAND...: what it prints goes there.
logged() { "${@:2}" >"$1" 2>&1 </dev/null; }

# run NAME COMMAND...: one row of the table. Lines "SKIPPED: reason" in its output are rows too.
run() {
  local name=$1 log="$logs/${1//[^a-zA-Z0-9_]/_}.log" begin=$SECONDS
  shift
  printf '== %s\n' "$name"
  if timed logged "$log" timeout 900 "$@"; then
    passed=$((passed + 1))
    rows+=("PASSED  $(printf '%4d s' $((SECONDS - begin)))  $name")
  else
    failed=$((failed + 1))
    rows+=("FAILED  $(printf '%4d s' $((SECONDS - begin)))  $name")
    printf -- '--- %s failed; the end of its output:\n' "$name"
    tail -n 60 "$log"
  fi
  local reasons
  reasons=$(grep -ohE 'SKIPPED: .*' "$log" | sort -u | head -n 12 || true)
  if [ -n "$reasons" ]; then
    while IFS= read -r reason; do
      skipped=$((skipped + 1))
      rows+=("                 ${reason}")
    done <<<"$reasons"
  fi
}
skip() {
  skipped=$((skipped + 1))
  rows+=("SKIPPED: $1: $2")
}

install_packages ccache curl openssl iproute2
# Debian's prometheus starts a service of its own, and node is large: only machines that are there for tests get them
# unasked.
[ -z "${CI:-}" ] || install_packages prometheus nodejs node-eventsource || true
# Machine code for one kind of GPU is enough to see it compile; $CUDAARCHS names others.
[ -z "${CI:-}" ] || export CUDAARCHS=${CUDAARCHS:-90-real}
timed build release || { echo "0 passed, 1 failed"; exit 1; }
release=$herd_root/build/release
herd=$release/herd
python_ok=1
{ python_environment -r tests/requirements.txt && python_environment --no-deps llama-benchy==0.4.0; } || python_ok=0
smollm2_ok=1
fetch_smollm2 || smollm2_ok=0
llama3_ok=1
fetch_llama3_tokenizer || llama3_ok=0
more_templates=()
if [ $python_ok = 1 ] && fetch_chat_templates; then more_templates=(--more "$chat_templates"); fi

run "tidy: layers, fences, names" python3 tests/tidy/tidy_test.py
for binary in kernels jinja tokenizer text_digest chat checkpoint rank scheduler wire cluster observability http openai otlp access \
  admin served pages load api engine commands up faults link link_host children coordinator_process node_process rank_process \
  gateway_process next_protocol actors sim; do
  [ -x "$release/bin/${binary}_tests" ] && run "${binary}_tests" "$release/bin/${binary}_tests"
done
run "the simulator's planted faults still apply" python3 tests/sim/planted_faults.py --check
run "same bits on every axis (P2)" "$release/bin/repeatability" --model demo=config/demo_model \
  --random gqa4=tests/golden/configs/gqa4_llama3 --expected tests/golden/repeatability.txt
# Of weights in blocks a sample: fewer axes, one way of sampling (README has the command for all of it).
blocks=$herd_cache/block-models block_flags=()
for format in q8_0 q4_0 q4_1 q5_0 q5_1 q4_k q5_k q6_k mixed mixed_k; do block_flags+=(--model "blocks-$format=$blocks/$format.gguf"); done
block_axes=(--draws "T=1.5 top-p" --axes "batch 7,chunk 16,prefix hit,-tp 8,threads 2,isa,all at once,planted")
run "random models in blocks of every format" python3 tests/e2e/block_models.py "$blocks"
run "same bits on every axis (P2): weights in blocks" "$release/bin/repeatability" "${block_axes[@]}" "${block_flags[@]}" \
  --expected tests/golden/repeatability.txt
for encoding in q8_0 q4_0 q4_k; do
  run "same bits on every axis (P2): the demo model as $encoding" "$release/bin/repeatability" "${block_axes[@]}" \
    --model demo-$encoding=config/demo_model --encoding $encoding --expected tests/golden/repeatability.txt
done
run "encodings: computed, refused, not mixed" python3 tests/e2e/encodings_test.py "$herd" $([ $smollm2_ok = 0 ] || echo --smollm2 "$smollm2")
run "demo model: test questions are not in the training data" python3 tests/e2e/demo_model_leak_test.py
run "demo model: 200 questions" python3 tests/e2e/demo_model_test.py "$herd"
run "the table beside llama.cpp: medians, verdicts, open rows" python3 tests/e2e/peer_table_test.py
run "command line: flags, exit codes" python3 tests/e2e/command_line_test.py "$herd"
run "what checkpoints say about ids and defaults" python3 tests/e2e/model_words_test.py "$herd"
run "completion: every flag of every command" python3 tests/e2e/completion_test.py "$herd"
run "systemd: units" bash tests/e2e/systemd_units_test.sh "$herd"
run "systemd: readiness, reloads, signs of life of every role" python3 tests/e2e/service_life_test.py "$herd"
run "herd certs" python3 tests/e2e/certs_test.py "$herd"
run "herd coordinator, herd status" python3 tests/e2e/coordinator_test.py "$herd"
run "herd up: refusals, two demo clusters, its end" python3 tests/e2e/up_test.py "$herd"
run "few threads, little address space" python3 tests/e2e/process_limits_test.py "$herd"
run "endpoint: 1,000 streams, clients that leave or do not read" python3 tests/e2e/streams_test.py "$herd"
run "endpoint: ranks that fail, die or hang in the middle of streams" python3 tests/e2e/rank_faults_test.py \
  "$release/bin/faulty_herd" "$herd"
run "endpoint: gateways of a cluster, cut connections, resuming on the other one" python3 tests/e2e/gateway_test.py "$herd" \
  "$release/bin/played_cluster"
run "endpoint: a shared prompt is computed once" python3 tests/e2e/shared_prompt_test.py "$herd"
run "cluster: kill -9 and SIGSTOP of every role in the middle of streams" python3 tests/e2e/cluster_fault_test.py "$herd"
run "cluster: signals, killed gateways, the restart budget" python3 tests/e2e/cluster_kill_test.py "$herd"
run "cluster: requests that ranks die of" python3 tests/e2e/cluster_poison_test.py "$release/bin/faulty_herd" "$herd"
run "cluster: cut cables, harmed bytes (network namespaces)" python3 tests/e2e/cluster_cut_test.py "$herd"
run "cluster: drained, restarted, grown under 32 streams" python3 tests/e2e/cluster_drain_test.py "$herd"
run "cluster: KV blocks move while nodes drain, are damaged, and processes die" python3 tests/e2e/kv_moves_test.py \
  "$release/bin/faulty_herd" "$herd" --kills 3 --tensor-parallel 2
run "cluster: the file is read again" python3 tests/e2e/cluster_reload_test.py "$herd"
run "cluster: three gateways, shared quotas" python3 tests/e2e/cluster_gateways_test.py "$herd"
run "cluster: a real Prometheus, sums, alerts, panels, logs" python3 tests/e2e/cluster_metrics_test.py "$herd"
run "cluster: upgraded and taken back under 32 streams" python3 tests/e2e/cluster_upgrade_test.py "$herd" "$release/bin/herd_next"
run "cluster: bad peers, certificates, machines" python3 tests/e2e/cluster_bad_input_test.py "$herd"
run "cluster: two machines (network namespaces)" python3 tests/e2e/cluster_netns_test.py "$herd"
run "alerts, dashboard: promtool, the families they ask for" python3 tests/observability/alerts_test.py "$release/bin/metrics_dump"
run "endpoint: a real Prometheus, vLLM's queries" python3 tests/e2e/prometheus_test.py "$herd"
if [ $python_ok = 1 ]; then
  python=$python_dir/bin/python
  run "golden logits, hidden states, tokens" "$python" tests/e2e/golden_test.py "$herd"
  run "products of blocks: digests of a second reading of the rules" "$python" tests/golden/make_block_products.py --check
  run "chat templates: as Jinja2 renders them, or refused by name" "$python" tests/e2e/chat_template_test.py \
    "$release/bin/jinja_dump" "${more_templates[@]}"
  [ ${#more_templates[@]} -gt 0 ] || skip "chat templates of llama.cpp's tests" "the package could not be fetched"
  run "chats: Hugging Face's ids, no control tokens of users" "$python" tests/e2e/chat_prompts_test.py \
    "$herd" "${more_templates[@]}"
  run "bad input: files, flags, prompts" "$python" tests/e2e/bad_input_test.py "$herd"
  run "Kubernetes: manifests, the cluster's file" "$python" tests/e2e/kubernetes_test.py "$herd"
  run "the Containerfile; herd probe" "$python" tests/e2e/container_test.py "$herd"
  run "cluster files: check, inspect, the schema" "$python" tests/e2e/cluster_file_test.py "$herd"
  run "GGUF files of the package gguf: types, parts, folders" "$python" tests/e2e/gguf_files_test.py "$herd"
  run "GGUF files that herd writes: same bits, read by gguf, killed" "$python" tests/e2e/convert_test.py "$herd"
  run "random checkpoints: logits of transformers" "$python" tests/e2e/random_checkpoints_test.py "$herd"
  run "endpoint: the openai client, curl" "$python" tests/e2e/openai_client_test.py "$herd"
  run "endpoint: HTTP equals generate" "$python" tests/e2e/serve_equality_test.py "$herd"
  run "cluster: equals generate; herd up answers curl and the openai client" "$python" tests/e2e/cluster_equality_test.py "$herd"
  run "endpoint: traces, attempts of lost streams, bad collectors" "$python" tests/e2e/traces_test.py "$herd" "$release/bin/faulty_herd"
  run "endpoint: streams resumed at every event" "$python" tests/e2e/resume_test.py "$herd"
  run "endpoint: bad requests, keys, signals, sockets" "$python" tests/e2e/serve_edge_test.py "$herd"
  run "endpoint: the end of a server, whatever hangs" "$python" tests/e2e/serve_stop_test.py "$herd"
  run "endpoint: a second client's benchmark" "$python" tests/e2e/second_client_test.py "$herd"
  run "endpoint: fields and shapes of openai's package and vLLM" "$python" tests/e2e/api_fields_test.py "$herd"
  run "endpoint: random requests, a sample" "$python" tests/e2e/random_requests_test.py "$herd" --count 400
  run "endpoint: client libraries across pauses, errors, large frames" "$python" tests/e2e/stream_clients_test.py "$herd" \
    --pause 1.5
  run "endpoint: schemathesis on openapi.json" "$python" tests/e2e/openapi_test.py --herd "$herd"
  if [ $smollm2_ok = 1 ]; then
    run "SmolLM2: greedy tokens of transformers" "$python" tests/e2e/smollm2_parity.py --gguf "$smollm2" --herd "$herd"
  else
    skip "SmolLM2 parity" "the model could not be fetched"
  fi
  run "SentencePiece parity, a sample" "$python" tests/e2e/sentencepiece_parity.py "$release/bin/tokenizer_dump" --texts 1500
  if [ $smollm2_ok = 1 ] && [ $llama3_ok = 1 ]; then
    run "tokenizer parity, 20,000 strings and more" "$python" tests/e2e/tokenizer_parity.py \
      --llama3 "$llama3_tokenizer" --smollm2 "$smollm2" "$release/bin/tokenizer_dump"
  else
    skip "tokenizer parity" "a vocabulary could not be fetched"
  fi
else
  skip "golden, bad input, clients of the endpoint, SmolLM2 and tokenizer parity" "Python packages could not be installed"
fi
run "cmake --install gives a working herd" bash tests/e2e/install_test.sh
run "the Debian package: contents, installed, removed" bash tests/e2e/package_test.sh "$release"
if [ $sanitizers = 1 ]; then
  sanitized_tests=(kernels tokenizer chat checkpoint rank scheduler wire link link_host cluster observability http openai otlp access served)
  if timed build asan-ubsan "${sanitized_tests[@]/%/_tests}" fuzz_targets; then
    sanitized=$herd_root/build/asan-ubsan/bin
    for binary in "${sanitized_tests[@]}"; do
      run "ASan+UBSan ${binary}_tests" "$sanitized/${binary}_tests"
    done
    run "ASan+UBSan fuzz corpora replayed" bash tests/fuzz/replay.sh "$sanitized"
  else
    failed=$((failed + 1))
    rows+=("FAILED  the sanitizer build: $(grep -m1 -E 'error:|undefined reference' "$herd_cache/build-asan-ubsan.log" || true)")
  fi
else
  skip "ASan+UBSan, fuzz corpora" "asked for with --sanitizers (CI does)"
fi

# GPUs: the backend's own kernels compiled for the emulator; what nvcc made of them is read; a real GPU has gpu_run.sh.
emulated=$release/bin/libherd_cuda_emulated.so cuda=$release/libherd_cuda.so
if [ -f "$emulated" ]; then
  on_emulator=(env "HERD_CUDA_LIBRARY=$emulated" HERD_EMULATED_GPUS=2)
  run "the CUDA emulator itself" ctest --test-dir "$release" --output-on-failure -R '^cuda_emulator'
  for binary in cuda cuda_error device_sampler; do
    run "GPU, emulated: ${binary}_tests" "${on_emulator[@]}" "$release/bin/${binary}_tests"
  done
  run "GPU, emulated: same bits on every axis (P2)" "${on_emulator[@]}" "$release/bin/repeatability" --devices gpu \
    --model demo=config/demo_model --rows 32 --new-tokens 4
  run "GPU, emulated: the benchmark of the kernels runs through" "${on_emulator[@]}" "$release/bin/cuda_bench" --tiny
  run "GPU, emulated: herd --devices gpu" python3 tests/e2e/gpu_test.py "$herd" "$emulated" $([ ! -f "$cuda" ] || echo "$cuda")
else
  skip "GPU, emulated" "the emulator does not know this kind of CPU"
fi
run "GPU scripts where there is no GPU" python3 tests/e2e/gpu_run_test.py
if [ ! -f "$cuda" ]; then
  skip "CUDA machine code" "there is no nvcc here, so no libherd_cuda.so"
elif [ $python_ok = 1 ]; then
  run "CUDA: registers, local memory, matrix instructions" "$python" tools/cuda_report.py "$cuda"
  run "the report finds planted spills" "$python" tests/e2e/cuda_report_test.py
fi
command -v nvidia-smi >/dev/null || skip "the CUDA backend on a GPU" "there is none here; tools/gpu_run.sh runs where there is one"

printf '\n'
grep -m1 'model name' /proc/cpuinfo
printf '%s\n' "${rows[@]}"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
