#pragma once
// ClusterSpec: what an operator's cluster file says, as a value. What stands in the file under one key stands here under the same
// name; setting_table.h says which key, which flag of `herd serve` it is and which values it takes. Sizes are bytes, times
// seconds. 0 and an empty text or list mean: not given.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace herd::config {

struct ModelSpec {
  std::string model_path;  // of the machine that reads it
  std::string weight_path;
  std::string tokenizer_path;
  std::string version;  // "3" or "3.1": whose names the control tokens of Meta's Llama 3 tokenizer.model have; empty: as its files tell
  std::vector<std::string> served_model_name;
  std::string quantization_encoding;
  std::string chat_format = "auto";
  std::string chat_template;
  std::string chat_date;
  bool allow_special_in_content = false;
  std::string load_format = "auto";
  std::int64_t random_weights_seed = 0;
  std::int64_t layers = 0;
  bool operator==(const ModelSpec&) const = default;
};

struct ParallelismSpec {
  std::int64_t tensor_parallel_size = 1;    // ranks of a replica
  std::int64_t data_parallel_size = 1;      // replicas
  std::int64_t pipeline_parallel_size = 1;
  bool operator==(const ParallelismSpec&) const = default;
};

// How ranks compute, on whatever node.
struct ComputeSpec {
  std::string cpu_isa = "auto";
  std::int64_t compute_nice = 5;
  double gpu_memory_utilization = 0.9;
  std::string cuda_matmul = "ordered";
  bool cuda_graphs = true;
  bool operator==(const ComputeSpec&) const = default;
};

struct SchedulerSpec {
  std::string scheduling_policy = "fcfs";
  std::string routing_policy = "predicted";
  std::int64_t max_model_len = 0;
  std::int64_t max_num_seqs = 0;
  std::int64_t max_ce_batch_size = 32;
  std::int64_t max_num_batched_tokens = 512;
  std::string max_step_ms = "auto";
  bool operator==(const SchedulerSpec&) const = default;
};

// Of one replica.
struct KvSpec {
  std::int64_t block_size = 16;  // tokens
  std::int64_t num_blocks = 0;
  std::int64_t kv_cache_memory = 0;
  bool enable_prefix_caching = true;
  bool enable_kv_moves = true;
  bool operator==(const KvSpec&) const = default;
};

// Of every gateway, each for itself.
struct HttpSpec {
  std::string ssl_certfile;
  std::string ssl_keyfile;
  std::string api_key_file;
  std::string resume_key_file;
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> allowed_origins;
  bool strict_fields = false;
  bool ui = false;
  std::int64_t http_threads = 1;
  std::int64_t text_threads = 1;
  double keep_alive_interval = 10;
  double shutdown_timeout = 30;
  bool operator==(const HttpSpec&) const = default;
};

// Of every gateway, each for itself.
struct LimitsSpec {
  std::int64_t max_num_queued_reqs = 1024;
  std::int64_t max_num_queued_tokens = std::int64_t{1} << 20;
  double request_timeout = 600;
  double max_request_timeout = 3600;
  std::int64_t max_connections = 12'000;
  std::int64_t max_connections_per_ip = 512;
  std::int64_t max_body_bytes = std::int64_t{2} << 20;
  bool operator==(const LimitsSpec&) const = default;
};

// How often a rank that ends is started again before its node gives it up.
struct SupervisionSpec {
  std::int64_t restart_budget = 3;
  double restart_window = 60;
  bool operator==(const SupervisionSpec&) const = default;
};

struct MetricsSpec {
  std::string metrics_host;  // of the ports below; empty: the host that the process listens on
  double ready_stall = 30;
  std::string otlp_traces_endpoint;
  bool operator==(const MetricsSpec&) const = default;
};

struct LogsSpec {
  std::string log_format = "text";
  std::string log_level = "info";
  bool enable_log_requests = false;
  bool log_stats = true;
  double stats_interval = 10;
  bool operator==(const LogsSpec&) const = default;
};

// Between the processes of the cluster: mutual TLS. "{name}" in a path stands for the name of the process.
struct TlsSpec {
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  [[nodiscard]] bool given() const { return !ca_file.empty() || !cert_file.empty() || !key_file.empty(); }
  bool operator==(const TlsSpec&) const = default;
};

struct CoordinatorSpec {
  std::string name;
  std::string address;             // HOST:PORT that the others dial
  std::int64_t metrics_port = 0;
  bool operator==(const CoordinatorSpec&) const = default;
};

struct GatewaySpec {
  std::string name;
  std::string node;                // on whose machine it runs; empty: on the machine of `host`
  std::string host = "127.0.0.1";  // of the HTTP endpoint
  std::int64_t port = 8000;
  std::int64_t metrics_port = 0;
  bool operator==(const GatewaySpec&) const = default;
};

struct NodeSpec {
  std::string name;
  std::string address;                        // HOST:PORT that the others dial
  std::vector<std::string> devices;           // "cpu" or "gpu-N", a rank each
  std::int64_t cpus = 0;                      // that its ranks may use
  std::string cpu_set;                        // which ones, "0-7,16"
  std::int64_t threads = 0;                   // that compute, of all its CPU ranks together
  std::int64_t memory = 0;                    // that its processes may take
  std::string model_path;                     // where the model lies on this node; empty: as for all
  std::int64_t metrics_port = 0;
  std::map<std::string, std::string> labels;
  bool operator==(const NodeSpec&) const = default;
};

struct ClusterSpec {
  std::string name;
  ModelSpec model;
  ParallelismSpec parallelism;
  ComputeSpec compute;
  SchedulerSpec scheduler;
  KvSpec kv;
  HttpSpec http;
  LimitsSpec limits;
  SupervisionSpec supervision;
  MetricsSpec metrics;
  LogsSpec logs;
  TlsSpec tls;
  std::vector<CoordinatorSpec> coordinators;
  std::vector<GatewaySpec> gateways;
  bool any_node_with_certificate = false;  // nodes join unlisted, and `nodes` is empty
  std::vector<NodeSpec> nodes;
  bool operator==(const ClusterSpec&) const = default;
};

// "0-7,16" → its CPUs as they stand there; none when it is no such set, names one twice, or one beyond 4095.
[[nodiscard]] std::vector<int> cpus_of_set(const std::string& set);
// How many they are.
[[nodiscard]] int cpus_in_set(const std::string& set);

// Host of "HOST:PORT", without the brackets of an IPv6 address.
[[nodiscard]] std::string host_of(const std::string& address);
// Its port; 0: it has none, or one that is no number.
[[nodiscard]] std::uint16_t port_of(const std::string& address);
// Whether a text is an IP address in full, or a DNS name that no resolver takes for an address ("0", "127.1" and "0x7f.1" are such).
[[nodiscard]] bool is_host(const std::string& host);
// A host in the one form of all that mean the same: "[::0]" is "::", "::ffff:10.0.0.1" is "10.0.0.1", "localhost" is "127.0.0.1", and
// names are in lower case.
[[nodiscard]] std::string plain_host(const std::string& host);
// Whether a host never leaves this machine: localhost, 127.0.0.0/8, ::1.
[[nodiscard]] bool is_loopback(const std::string& host);
// Where to listen for those who dial `host`: a name may stand for another address there than here, so all are listened on.
[[nodiscard]] std::string listen_address(const std::string& host);
// Whether a host stands for every address of its machine, which nobody can dial: 0.0.0.0, ::.
[[nodiscard]] bool is_wildcard(const std::string& host);

}  // namespace herd::config
