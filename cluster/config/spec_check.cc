// What contradicts itself in a cluster file (cluster_file.h).

#include <algorithm>
#include <map>
#include <set>

#include "cluster/config/cluster_file.h"
#include "cluster/config/setting_table.h"
#include "cluster/config/units.h"

namespace herd::config {
namespace {

class SpecCheck {
 public:
  SpecCheck(const ClusterSpec& spec, const KeyLines& lines, ProblemList& problems) : spec_(spec), lines_(lines), problems_(problems) {}

  void all() {
    check_model();
    check_limits();
    check_tls();
    if (spec_.coordinators.size() > 1)
      refuse("coordinators[1]", "is a second coordinator; this version uses one, and a standby that does nothing would only look safe. "
                                "Keep one entry");
    names("coordinators", spec_.coordinators);
    names("gateways", spec_.gateways);
    names("nodes", spec_.nodes);
    check_addresses();
    for (std::size_t i = 0; i < spec_.nodes.size(); ++i) check_node(spec_.nodes[i], "nodes[" + std::to_string(i) + "]");
    for (std::size_t i = 0; i < spec_.gateways.size(); ++i) check_gateway(spec_.gateways[i], "gateways[" + std::to_string(i) + "]");
  }

 private:
  [[nodiscard]] bool stands(const std::string& key) const { return lines_.contains(key); }

  // At the line of the key, else at that of what it is part of.
  void refuse(const std::string& key, std::string what) {
    std::string at = key;
    auto found = lines_.find(at);
    while (found == lines_.end() && at.find_last_of(".[") != std::string::npos) {
      at.resize(at.find_last_of(".["));
      found = lines_.find(at);
    }
    problems_.add(found == lines_.end() ? 0 : found->second, key, std::move(what));
  }

  void check_model() {
    if (spec_.model.load_format != "random" && stands("model.random_weights_seed"))
      refuse("model.random_weights_seed", "counts only with load_format: random; add that or remove the seed");
    if (spec_.kv.num_blocks > 0 && spec_.kv.kv_cache_memory > 0)
      refuse("kv.kv_cache_memory", "and num_blocks both size the KV cache; keep one of them");
  }

  void check_limits() {
    if (spec_.limits.max_request_timeout < spec_.limits.request_timeout) {
      const bool most = stands("limits.max_request_timeout");
      refuse(most ? "limits.max_request_timeout" : "limits.request_timeout",
             "request_timeout " + seconds_text(spec_.limits.request_timeout) + " is more than max_request_timeout " +
                 seconds_text(spec_.limits.max_request_timeout) + "; raise max_request_timeout");
    }
    if (spec_.http.ssl_certfile.empty() != spec_.http.ssl_keyfile.empty()) {
      const std::string given = spec_.http.ssl_keyfile.empty() ? "ssl_certfile" : "ssl_keyfile";
      const std::string other = spec_.http.ssl_keyfile.empty() ? "ssl_keyfile" : "ssl_certfile";
      refuse("http." + given, "needs " + other + " beside it");
    }
  }

  void check_tls() {
    if (spec_.tls.given()) {
      // One path for processes of two names would be one certificate for both.
      const auto named = [](const std::string& path) { return path.find("{name}") != std::string::npos; };
      if (named(spec_.tls.cert_file) != named(spec_.tls.key_file))
        refuse("tls.key_file", "and cert_file must both hold {name}, or neither: a key belongs to one certificate");
      return;
    }
    if (spec_.any_node_with_certificate) refuse("nodes", "any-with-certificate needs the section tls, by which nodes are known");
    const std::string why = " is not a loopback address, and between machines the processes talk over TLS only; add the section tls";
    for (std::size_t i = 0; i < spec_.coordinators.size(); ++i)
      if (!is_loopback(host_of(spec_.coordinators[i].address)))
        refuse("coordinators[" + std::to_string(i) + "].address", spec_.coordinators[i].address + why);
    for (std::size_t i = 0; i < spec_.nodes.size(); ++i)
      if (!is_loopback(host_of(spec_.nodes[i].address))) refuse("nodes[" + std::to_string(i) + "].address", spec_.nodes[i].address + why);
  }

  template <class Owner>
  void names(const std::string& list, const std::vector<Owner>& owners) {
    std::map<std::string, std::size_t> seen;
    for (std::size_t i = 0; i < owners.size(); ++i) {
      const auto [first, fresh] = seen.emplace(owners[i].name, i);
      if (!fresh)
        refuse(list + "[" + std::to_string(i) + "].name",
               owners[i].name + " is the name of " + list + "[" + std::to_string(first->second) + "] already; names are unique");
    }
  }

  // A port of a host is listened on once.
  void listen(const std::string& host, std::int64_t port, const std::string& key) {
    const std::string at = host + ":" + std::to_string(port);
    const auto [first, fresh] = listeners_.emplace(at, key);
    if (!fresh) refuse(key, at + " is taken by " + first->second + "; give one of them another port");
  }
  void listen(const std::string& address, const std::string& key) {
    listen(host_of(address), std::stoi(address.substr(address.rfind(':') + 1)), key);
  }

  void check_addresses() {
    for (std::size_t i = 0; i < spec_.coordinators.size(); ++i) {
      const std::string key = "coordinators[" + std::to_string(i) + "]";
      listen(spec_.coordinators[i].address, key + ".address");
      if (spec_.coordinators[i].metrics_port > 0)
        listen(host_of(spec_.coordinators[i].address), spec_.coordinators[i].metrics_port, key + ".metrics_port");
    }
    for (std::size_t i = 0; i < spec_.nodes.size(); ++i) {
      const std::string key = "nodes[" + std::to_string(i) + "]";
      listen(spec_.nodes[i].address, key + ".address");
      if (spec_.nodes[i].metrics_port > 0)
        listen(host_of(spec_.nodes[i].address), spec_.nodes[i].metrics_port, key + ".metrics_port");
    }
    for (std::size_t i = 0; i < spec_.gateways.size(); ++i) {
      const GatewaySpec& gateway = spec_.gateways[i];
      const std::string key = "gateways[" + std::to_string(i) + "]";
      const std::string host = host_of_gateway(gateway);
      listen(host, gateway.port, stands(key + ".port") ? key + ".port" : key);
      if (gateway.metrics_port > 0) listen(host, gateway.metrics_port, key + ".metrics_port");
    }
  }

  // Which machine's: hosts of two machines may read alike (127.0.0.1), and a wildcard covers the address of its machine.
  [[nodiscard]] std::string host_of_gateway(const GatewaySpec& gateway) const {
    for (const NodeSpec& node : spec_.nodes) {
      if (node.name != gateway.node) continue;
      const std::string machine = host_of(node.address);
      return is_wildcard(gateway.host) || gateway.host == machine ? machine : gateway.host + " of " + machine;
    }
    return gateway.host;
  }

  void check_node(const NodeSpec& node, const std::string& key) {
    const auto cpu_ranks = std::ranges::count(node.devices, "cpu");
    if (cpu_ranks > 0 && cpu_ranks != static_cast<std::ptrdiff_t>(node.devices.size()))
      return refuse(key + ".devices", "cpu and GPUs cannot be mixed on one node: their bits differ; make two nodes of the machine");
    std::set<std::string> gpus;
    for (const std::string& device : node.devices)
      if (device != "cpu" && !gpus.insert(device).second) return refuse(key + ".devices", "names " + device + " twice");
    const int in_set = node.cpu_set.empty() ? 0 : cpus_in_set(node.cpu_set);
    if (node.cpus > 0 && in_set > 0 && node.cpus != in_set)
      return refuse(key + ".cpus",
                    "is " + std::to_string(node.cpus) + ", and cpu_set names " + std::to_string(in_set) + "; keep one of them");
    const std::int64_t cpus = std::max<std::int64_t>(node.cpus, in_set);
    if (cpus > 0 && cpus < cpu_ranks)
      refuse(key + (node.cpus > 0 ? ".cpus" : ".cpu_set"), std::to_string(cpus) + " CPU for " + std::to_string(cpu_ranks) +
                 " ranks on cpu; each needs one of its own: take cpu out of devices, or give more CPUs");
    if (node.threads == 0) return;
    if (cpu_ranks == 0) return refuse(key + ".threads", "counts threads of CPU ranks, and this node has GPUs; remove it");
    if (node.threads < cpu_ranks)
      refuse(key + ".threads", "is " + std::to_string(node.threads) + " for " + std::to_string(cpu_ranks) +
                                   " ranks on cpu; each computes on one at least");
    if (cpus > 0 && node.threads > cpus)
      refuse(key + ".threads", "is " + std::to_string(node.threads) + ", and the node has " + std::to_string(cpus) +
                                   " CPUs; more threads than CPUs only wait for each other");
  }

  void check_gateway(const GatewaySpec& gateway, const std::string& key) {
    if (gateway.node.empty()) return;
    if (spec_.any_node_with_certificate)
      return refuse(key + ".node", "names a node, and nodes: any-with-certificate lists none; remove it");
    std::vector<std::string> known;
    for (const NodeSpec& node : spec_.nodes) known.push_back(node.name);
    if (std::ranges::find(known, gateway.node) != known.end()) return;
    const std::string near = nearest_word(gateway.node, known);
    refuse(key + ".node", gateway.node + " is no name of a node" + (near.empty() ? "" : "; " + near + " is meant?"));
  }

  const ClusterSpec& spec_;
  const KeyLines& lines_;
  ProblemList& problems_;
  std::map<std::string, std::string> listeners_;  // "host:port" → key
};

}  // namespace

void check_spec(const ClusterSpec& spec, const KeyLines& lines, ProblemList& problems) { SpecCheck(spec, lines, problems).all(); }

}  // namespace herd::config
