#include "commands/up/demo_file.h"

namespace herd::up {
namespace {

// Whoever plays with `kill -9` is not to run out of restarts.
constexpr int kRestarts = 1000;

// A YAML text in double quotes.
std::string quoted(const std::string& text) {
  std::string out(1, '"');
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
  return out;
}

// CPUs of one node, "4,5"; empty: there are not enough for a rank to have one of its own.
std::string cpu_set_of(const DemoCluster& demo, std::size_t node) {
  const std::size_t each = demo.cpus.size() / demo.node_ports.size();
  if (each < static_cast<std::size_t>(demo.tensor_parallel)) return {};
  std::string set;
  for (std::size_t i = 0; i < each; ++i) set.append(i == 0 ? "" : ",").append(std::to_string(demo.cpus[node * each + i]));
  return set;
}

std::string node_text(const DemoCluster& demo, std::size_t node) {
  std::string text = "  - name: " + demo_node(node) + "\n    address: 127.0.0.1:" + std::to_string(demo.node_ports[node]) +
                     "\n    devices: [cpu";
  for (int rank = 1; rank < demo.tensor_parallel; ++rank) text += ", cpu";
  text += "]\n";
  const std::string set = cpu_set_of(demo, node);
  return text + (set.empty() ? "    threads: " + std::to_string(demo.tensor_parallel) : "    cpu_set: \"" + set + "\"") + "\n";
}

}  // namespace

std::string demo_gateway(std::size_t index) { return "gateway-" + std::to_string(index + 1); }
std::string demo_node(std::size_t index) { return "node-" + std::to_string(index + 1); }

std::string demo_file_text(const DemoCluster& demo) {
  std::string text = "# Made by `herd up`, which removes it when it ends.\nname: " + std::string(kDemoName) + "\n";
  text += "model:\n  model_path: " + quoted(demo.model_path) + "\n";
  text += "parallelism:\n  tensor_parallel_size: " + std::to_string(demo.tensor_parallel) +
          "\n  data_parallel_size: " + std::to_string(demo.node_ports.size()) + "\n";
  if (demo.kv_cache_mib > 0) text += "kv:\n  kv_cache_memory: " + std::to_string(demo.kv_cache_mib) + "MiB\n";
  text += "http:\n  resume_key_file: " + quoted(demo.folder + "/resume.key") + "\n";
  if (demo.ui) text += "  ui: true\n";
  text += "supervision:\n  restart_budget: " + std::to_string(kRestarts) + "\n";
  text += "tls:\n  ca_file: " + quoted(demo.folder + "/tls/ca.pem") + "\n  cert_file: " + quoted(demo.folder + "/tls/{name}.pem") +
          "\n  key_file: " + quoted(demo.folder + "/tls/{name}.key") + "\n";
  text += "coordinators:\n  - name: coordinator\n    address: 127.0.0.1:" + std::to_string(demo.coordinator_port) + "\n";
  text += "gateways:\n";
  for (std::size_t i = 0; i < demo.gateway_ports.size(); ++i)
    text += "  - name: " + demo_gateway(i) + "\n    host: 127.0.0.1\n    port: " + std::to_string(demo.gateway_ports[i]) + "\n";
  text += "nodes:\n";
  for (std::size_t i = 0; i < demo.node_ports.size(); ++i) text += node_text(demo, i);
  return text;
}

}  // namespace herd::up
