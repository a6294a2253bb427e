#include "cluster/config/setting_table.h"

#include <utility>

namespace herd::config {
namespace {

using Kind = ValueKind;
using Fields = std::vector<Field<ClusterSpec>>;

constexpr double kMany = 2147483648.0;           // 2^31, as far as a count may go
constexpr double kDay_s = 86400.0;
constexpr double kBytesMost = 1125899906842624.0;  // 1 PiB

ValueRule text() { return {Kind::kText}; }
ValueRule path() { return {Kind::kPath}; }
ValueRule host() { return {Kind::kHost}; }
ValueRule url() { return {Kind::kUrl}; }
ValueRule texts() { return {Kind::kTexts}; }
ValueRule count(double min, double max) { return {Kind::kInteger, min, max}; }
ValueRule one_of(std::vector<std::string_view> choices) { return {Kind::kChoice, 0, 0, std::move(choices)}; }
ValueRule number_of(double min, double max, std::vector<std::string_view> choices) {
  return {Kind::kInteger, min, max, std::move(choices)};
}
ValueRule yes_or_no() { return {Kind::kSwitch}; }
ValueRule seconds(double min, double max) { return {Kind::kDuration, min, max}; }
ValueRule bytes(double min, double max) { return {Kind::kBytes, min, max}; }
ValueRule port() { return count(1, 65535); }

// A key whose other value processes of that kind take while they run.
Setting taken_by(TakenBy who, Setting setting) {
  setting.taken_by = who;
  return setting;
}
Setting live_at_gateways(Setting setting) { return taken_by(TakenBy::kGateways, std::move(setting)); }
Setting live_at_nodes(Setting setting) { return taken_by(TakenBy::kNodes, std::move(setting)); }

// A member of the owner, or of a part of it.
#define HERD_SLOT(owner, member) [](owner& it) -> Slot { return &it.member; }
#define HERD_AT(member) HERD_SLOT(ClusterSpec, member)

Fields top_fields() {
  return {
      {{"name", "", "Name of the cluster: processes of another one are refused", {Kind::kName}, true}, HERD_AT(name)},
  };
}

Fields model_fields() {
  return {
      {{"model_path", "--model-path",
        "Hugging Face directory or .gguf file; a node may say another place", path(), true},
       HERD_AT(model.model_path)},
      {{"weight_path", "--weight-path", "Weights elsewhere: safetensors file, index, directory or .gguf", path()},
       HERD_AT(model.weight_path)},
      {{"tokenizer_path", "--tokenizer-path", "tokenizer.json or tokenizer.model elsewhere", path()},
       HERD_AT(model.tokenizer_path)},
      {{"version", "--version",
        "How the control tokens of Meta's Llama 3 tokenizer.model are called; without: as params.json beside it or config.json "
        "tell, else 3.1",
        one_of({"3", "3.1"})},
       HERD_AT(model.version)},
      {{"served_model_name", "--served-model-name", "Names in the API; without: the model's folder or file", texts()},
       HERD_AT(model.served_model_name)},
      {{"quantization_encoding", "--quantization-encoding",
        "What weights are computed in; without: the checkpoint's own. A GGUF file: its own, bfloat16 or float32; others: float32, "
        "float16, bfloat16, q8_0, q6_k, q4_0 or q4_k",
        one_of({"float32", "float16", "bfloat16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"})},
       HERD_AT(model.quantization_encoding)},
      {{"chat_format", "--chat-format", "How conversations become prompts; auto: the checkpoint's chat template",
        one_of({"auto", "llama3", "llama3.1", "chatml", "smollm2"})},
       HERD_AT(model.chat_format)},
      {{"chat_template", "--chat-template",
        "A file with a chat template (Jinja), instead of the checkpoint's; gateways and nodes read it", path()},
       HERD_AT(model.chat_template)},
      {{"chat_date", "--chat-date",
        "What chat templates are told instead of the time of the request: 2025-03-07, \"07 Mar 2025\" or 2025-03-07T15:04:05 (UTC)",
        text()},
       HERD_AT(model.chat_date)},
      {{"allow_special_in_content", "--allow-special-in-content", "Messages may spell control tokens, as in Hugging Face's tokenizers",
        yes_or_no()},
       HERD_AT(model.allow_special_in_content)},
      {{"load_format", "--load-format", "random: weights from a seed, config.json is enough", one_of({"auto", "random"})},
       HERD_AT(model.load_format)},
      // A whole number that every reader of JSON keeps exactly.
      {{"random_weights_seed", "--random-weights-seed", "Which random model load_format: random makes", count(0, 9007199254740991.0)},
       HERD_AT(model.random_weights_seed)},
      {{"layers", "--layers", "Run only the first N layers", count(1, 1024)}, HERD_AT(model.layers)},
  };
}

Fields parallelism_fields() {
  return {
      {{"tensor_parallel_size", "--tensor-parallel-size", "Ranks that share one replica of the model, all on one node",
        number_of(1, 8, {"1", "2", "4", "8"})},
       HERD_AT(parallelism.tensor_parallel_size)},
      {{"data_parallel_size", "--data-parallel-size", "Replicas of the model, spread over the nodes", count(1, 64)},
       HERD_AT(parallelism.data_parallel_size)},
      {{"pipeline_parallel_size", "--pipeline-parallel-size", "Only 1 for now", number_of(1, 1, {"1"})},
       HERD_AT(parallelism.pipeline_parallel_size)},
  };
}

Fields compute_fields() {
  return {
      {{"cpu_isa", "--cpu-isa", "Same bits, other speed", one_of({"auto", "reference", "avx2", "avx512", "avx512-vnni", "avx512-bf16"})},
       HERD_AT(compute.cpu_isa)},
      {{"compute_nice", "--compute-nice", "Niceness of CPU ranks' threads, so that requests are answered while they are busy; 0: none",
        count(0, 19)},
       HERD_AT(compute.compute_nice)},
      {{"gpu_memory_utilization", "--gpu-memory-utilization",
        "Share of a GPU's whole memory that weights, step buffers and KV cache may take", {Kind::kNumber, 0, 1}},
       HERD_AT(compute.gpu_memory_utilization)},
      {{"cuda_matmul", "--cuda-matmul", "ordered: the same bits in every batch; cublaslt: a yardstick, not repeatable",
        one_of({"ordered", "cublaslt"})},
       HERD_AT(compute.cuda_matmul)},
      {{"cuda_graphs", "--no-cuda-graphs", "Record steps and repeat them: same bits, faster", yes_or_no()}, HERD_AT(compute.cuda_graphs)},
  };
}

Fields scheduler_fields() {
  return {
      {{"scheduling_policy", "--scheduling-policy", "fcfs, or priority: the request's `priority` counts", one_of({"fcfs", "priority"})},
       HERD_AT(scheduler.scheduling_policy)},
      {{"routing_policy", "--routing-policy",
        "Which replica takes a request: predicted (where it would be done first, by what runs there and what its prefix cache holds) "
        "or round_robin",
        one_of({"predicted", "round_robin"})},
       HERD_AT(scheduler.routing_policy)},
      {{"max_model_len", "--max-model-len", "Longest sequence, prompt + output; without: the model's, lowered to fit the KV cache",
        count(1, kMany)},
       HERD_AT(scheduler.max_model_len)},
      {{"max_num_seqs", "--max-num-seqs", "Sequences that a replica computes together", count(1, 65536)}, HERD_AT(scheduler.max_num_seqs)},
      {{"max_ce_batch_size", "--max-ce-batch-size", "Sequences that prefill in one step", count(1, 65536)},
       HERD_AT(scheduler.max_ce_batch_size)},
      {{"max_num_batched_tokens", "--max-num-batched-tokens", "Rows of one step: the prefill chunk", count(1, 1048576)},
       HERD_AT(scheduler.max_num_batched_tokens)},
      {{"max_step_ms", "--max-step-ms",
        "How many milliseconds streams that run may wait for a step with a prompt in it; auto: by what was measured; 0: no bound",
        {Kind::kCountOrWord, 0, 600000, {"auto"}}},
       HERD_AT(scheduler.max_step_ms)},
  };
}

Fields kv_fields() {
  return {
      {{"block_size", "--block-size", "Tokens of a KV block", number_of(16, 512, {"16", "32", "64", "128", "256", "512"})},
       HERD_AT(kv.block_size)},
      {{"num_blocks", "--num-blocks", "KV blocks of a replica; without: as many as its memory holds", count(1, kMany)},
       HERD_AT(kv.num_blocks)},
      {{"kv_cache_memory", "--kv-cache-memory", "KV bytes of a replica, such as 4GiB, instead of num_blocks", bytes(1, kBytesMost)},
       HERD_AT(kv.kv_cache_memory)},
      {{"enable_prefix_caching", "--no-enable-prefix-caching", "Prompts that begin alike are computed once", yes_or_no()},
       HERD_AT(kv.enable_prefix_caching)},
      {{"enable_kv_moves", "--no-enable-kv-moves",
        "Replicas take KV blocks of a prompt from each other's prefix caches where that is faster than computing them", yes_or_no()},
       HERD_AT(kv.enable_kv_moves)},
  };
}

Fields http_fields() {
  return {
      {{"ssl_certfile", "--ssl-certfile", "TLS certificate chain (PEM) of the HTTP endpoint", path()}, HERD_AT(http.ssl_certfile)},
      {{"ssl_keyfile", "--ssl-keyfile", "TLS private key (PEM) of the HTTP endpoint", path()}, HERD_AT(http.ssl_keyfile)},
      {live_at_gateways({"api_key_file", "--api-key-file", "Keys that may call, a line each; read again on SIGHUP", path()}),
       HERD_AT(http.api_key_file)},
      {{"resume_key_file", "--resume-key-file", "Key of event ids: the same on every gateway, so that each resumes the others' streams",
        path()},
       HERD_AT(http.resume_key_file)},
      {{"allowed_hosts", "--allowed-hosts", "Without keys: names of the server in requests, beside localhost and its address, or \"*\"",
        texts()},
       HERD_AT(http.allowed_hosts)},
      {{"allowed_origins", "--allowed-origins", "CORS: origins of browsers, or \"*\"", texts()}, HERD_AT(http.allowed_origins)},
      {{"strict_fields", "--strict-fields", "Refuse fields that no API knows", yes_or_no()}, HERD_AT(http.strict_fields)},
      {{"ui", "--ui", "Pages for people: /ui shows what runs where, /ui/chat talks to the model", yes_or_no()}, HERD_AT(http.ui)},
      {{"http_threads", "--http-threads", "I/O threads", count(1, 64)}, HERD_AT(http.http_threads)},
      {{"text_threads", "--text-threads", "Threads that parse and tokenize", count(1, 64)}, HERD_AT(http.text_threads)},
      {live_at_gateways({"keep_alive_interval", "--keep-alive-interval", "Silence before a stream gets a comment",
        seconds(0.001, kDay_s)}),
       HERD_AT(http.keep_alive_interval)},
      {taken_by(TakenBy::kGatewaysAndNodes, {"shutdown_timeout", "--shutdown-timeout", "What open requests get after SIGTERM",
        seconds(0, kDay_s)}),
       HERD_AT(http.shutdown_timeout)},
  };
}

Fields limits_fields() {
  return {
      {live_at_gateways({"max_num_queued_reqs", "--max-num-queued-reqs", "Requests that may wait; more get 503", count(1, kMany)}),
       HERD_AT(limits.max_num_queued_reqs)},
      {live_at_gateways({"max_num_queued_tokens", "--max-num-queued-tokens", "Prompt tokens that may wait; more get 503",
        count(1, kMany)}),
       HERD_AT(limits.max_num_queued_tokens)},
      {live_at_gateways({"request_timeout", "--request-timeout", "What a request may take (or X-Request-Timeout)",
        seconds(0.001, kDay_s)}),
       HERD_AT(limits.request_timeout)},
      {live_at_gateways({"max_request_timeout", "--max-request-timeout", "The most X-Request-Timeout may ask for",
        seconds(0.001, kDay_s)}),
       HERD_AT(limits.max_request_timeout)},
      {live_at_gateways({"max_connections", "--max-connections", "Open connections", count(1, 1000000)}),
       HERD_AT(limits.max_connections)},
      {live_at_gateways({"max_connections_per_ip", "--max-connections-per-ip", "Of one address; loopback addresses do not count",
        count(1, 1000000)}),
       HERD_AT(limits.max_connections_per_ip)},
      {live_at_gateways({"max_body_bytes", "--max-body-bytes", "Of one request", bytes(1024, 33554432)}),
       HERD_AT(limits.max_body_bytes)},
  };
}

Fields supervision_fields() {
  return {
      {live_at_nodes({"restart_budget", "", "Restarts of a rank within restart_window before its node gives it up",
        count(0, 1000)}),
       HERD_AT(supervision.restart_budget)},
      {live_at_nodes({"restart_window", "", "In which restarts are counted", seconds(1, kDay_s)}),
       HERD_AT(supervision.restart_window)},
  };
}

Fields metrics_fields() {
  return {
      {{"metrics_host", "--metrics-host", "Address of every metrics_port", host()}, HERD_AT(metrics.metrics_host)},
      {live_at_gateways({"ready_stall", "--ready-stall",
        "/ready fails when there is work and no step of it was finished for so long",
        seconds(0.001, kDay_s)}),
       HERD_AT(metrics.ready_stall)},
      {{"otlp_traces_endpoint", "--otlp-traces-endpoint",
        "Where gateways send spans of requests: an OpenTelemetry collector, as JSON over HTTP (http://HOST:4318/v1/traces)", url()},
       HERD_AT(metrics.otlp_traces_endpoint)},
  };
}

Fields logs_fields() {
  return {
      {{"log_format", "--log-format", "Lines for people, or JSON", one_of({"text", "json"})}, HERD_AT(logs.log_format)},
      {taken_by(TakenBy::kEverybody, {"log_level", "--log-level",
        "The least that is written by gateways, nodes and the coordinator",
        one_of({"info", "warning", "error"})}),
       HERD_AT(logs.log_level)},
      {live_at_gateways({"enable_log_requests", "--enable-log-requests", "A line per finished request", yes_or_no()}),
       HERD_AT(logs.enable_log_requests)},
      {live_at_gateways({"log_stats", "--disable-log-stats", "A line of throughput every stats_interval", yes_or_no()}),
       HERD_AT(logs.log_stats)},
      {live_at_gateways({"stats_interval", "--stats-interval", "Between those lines", seconds(0.001, kDay_s)}),
       HERD_AT(logs.stats_interval)},
  };
}

Fields tls_fields() {
  const char* const same = "PEM; {name} in it stands for the process's name";
  return {
      {{"ca_file", "", "The CA that every process's certificate comes from (PEM)", path(), true}, HERD_AT(tls.ca_file)},
      {{"cert_file", "", same, path(), true}, HERD_AT(tls.cert_file)},
      {{"key_file", "", same, path(), true}, HERD_AT(tls.key_file)},
  };
}

}  // namespace

const std::vector<Section>& sections() {
  static const std::vector<Section> all{
      {"", "", top_fields(), true},
      {"model", "What is served. One model for the whole cluster.", model_fields(), true},
      {"parallelism", "How many replicas of the model there are, and over how many ranks each is cut.", parallelism_fields()},
      {"compute", "How ranks compute.", compute_fields()},
      {"scheduler", "What a replica computes next.", scheduler_fields()},
      {"kv", "The KV cache of a replica.", kv_fields()},
      {"http", "The HTTP endpoint of every gateway.", http_fields()},
      {"limits", "What clients may ask for, of each gateway.", limits_fields()},
      {"supervision", "What happens to ranks that end.", supervision_fields()},
      {"metrics", "Metrics, health and traces.", metrics_fields()},
      {"logs", "What processes write to stderr.", logs_fields()},
      {"tls", "Mutual TLS between the processes; without it they talk on loopback addresses only.", tls_fields()},
  };
  return all;
}

const std::vector<Field<CoordinatorSpec>>& coordinator_fields() {
  static const std::vector<Field<CoordinatorSpec>> all{
      {{"name", "", "Its name; its certificate's too", {Kind::kName}, true}, HERD_SLOT(CoordinatorSpec, name)},
      {{"address", "", "HOST:PORT that the other processes dial", {Kind::kAddress}, true}, HERD_SLOT(CoordinatorSpec, address)},
      {{"metrics_port", "", "/metrics, /live and /ready", port()}, HERD_SLOT(CoordinatorSpec, metrics_port)},
  };
  return all;
}

const std::vector<Field<GatewaySpec>>& gateway_fields() {
  static const std::vector<Field<GatewaySpec>> all{
      {{"name", "", "Its name; its certificate's too", {Kind::kName}, true}, HERD_SLOT(GatewaySpec, name)},
      {{"node", "", "The node on whose machine it runs; without: the machine of host", {Kind::kName}}, HERD_SLOT(GatewaySpec, node)},
      {{"host", "--host", "Address that clients connect to", host()}, HERD_SLOT(GatewaySpec, host)},
      {{"port", "--port", "Port that clients connect to", port()}, HERD_SLOT(GatewaySpec, port)},
      {{"metrics_port", "--metrics-port", "/metrics on a port of its own as well, without a key", port()},
       HERD_SLOT(GatewaySpec, metrics_port)},
  };
  return all;
}

const std::vector<Field<NodeSpec>>& node_fields() {
  static const std::vector<Field<NodeSpec>> all{
      {{"name", "", "Its name; its certificate's too", {Kind::kName}, true}, HERD_SLOT(NodeSpec, name)},
      {{"address", "", "HOST:PORT that the other processes dial", {Kind::kAddress}, true}, HERD_SLOT(NodeSpec, address)},
      {{"devices", "--devices", "A rank each: cpu (a share of the CPUs, as often as there are such ranks), or gpu-0, gpu-1, …",
        {Kind::kDevices}, true},
       HERD_SLOT(NodeSpec, devices)},
      {{"cpus", "", "CPUs that its ranks may use", count(1, 4096)}, HERD_SLOT(NodeSpec, cpus)},
      {{"cpu_set", "", "Which CPUs, such as 0-7,16-23", {Kind::kCpuSet}}, HERD_SLOT(NodeSpec, cpu_set)},
      {{"threads", "--threads", "Compute threads of all its CPU ranks together; without: one a CPU", count(1, 1024)},
       HERD_SLOT(NodeSpec, threads)},
      {{"memory", "", "Memory that its ranks may take, such as 64GiB; without: what is free when they start", bytes(1048576, kBytesMost)},
       HERD_SLOT(NodeSpec, memory)},
      {{"model_path", "--model-path", "Where the model lies on this node", path()}, HERD_SLOT(NodeSpec, model_path)},
      {{"metrics_port", "", "/metrics, /live and /ready", port()}, HERD_SLOT(NodeSpec, metrics_port)},
      {{"labels", "", "Names with texts, for people and dashboards", {Kind::kLabels}}, HERD_SLOT(NodeSpec, labels)},
  };
  return all;
}

std::string_view pattern_of(ValueKind kind) {
  switch (kind) {
    case Kind::kName: return "^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$";
    case Kind::kBytes: return "^[1-9][0-9]{0,15}(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$";
    case Kind::kDuration: return "^(0|[1-9][0-9]{0,8})(\\.[0-9]{1,6})?(ms|s|m|h)$";
    case Kind::kAddress: return "^(\\[[0-9a-fA-F:.]{2,45}\\]|[A-Za-z0-9._-]{1,254}):[1-9][0-9]{0,4}$";
    case Kind::kHost: return "^([0-9a-fA-F:.]{2,45}|[A-Za-z0-9._-]{1,254})$";
    case Kind::kUrl:
      return "^http://(\\[[0-9a-fA-F:.]{2,45}\\]|[A-Za-z0-9._-]{1,254})(:[1-9][0-9]{0,4})?([/?][!-\"$-?A-~]*)?$";  // no '@', no '#'
    case Kind::kCpuSet: return "^[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*$";
    case Kind::kDevices: return "^(cpu|gpu-(0|[1-9][0-9]{0,2}))$";
    case Kind::kLabels: return "^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$";  // of a label's name
    case Kind::kText:
    case Kind::kPath:
    case Kind::kChoice:
    case Kind::kInteger:
    case Kind::kCountOrWord:
    case Kind::kNumber:
    case Kind::kSwitch:
    case Kind::kTexts: return {};
  }
  return {};
}

}  // namespace herd::config
