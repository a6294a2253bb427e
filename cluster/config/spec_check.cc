// What contradicts itself in a cluster file (cluster_file.h).

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "cluster/config/cluster_file.h"
#include "cluster/config/setting_table.h"
#include "cluster/config/units.h"
#include "runtime/text/address_text.h"

namespace herd::config {
namespace {

constexpr std::int64_t kPortMax = 65535;

std::string entry(const char* list, std::size_t index) { return std::string(list) + "[" + std::to_string(index) + "]"; }

// Whose ports and devices a host's are. What never leaves a machine is of the one machine that a cluster on loopback has.
std::string machine_of(const std::string& host) { return is_loopback(host) || is_wildcard(host) ? "localhost" : plain_host(host); }

// Who listens where: a port of a host is listened on once, and a wildcard is every host of its machine.
class Listeners {
 public:
  // The key that has the port already; empty: it was free.
  std::string add(const std::string& machine, const std::string& host, std::int64_t port, const std::string& key) {
    const std::string plain = plain_host(host);
    auto& there = taken_[{machine, port}];
    for (const auto& [other, its_key] : there)
      if (other == plain || is_wildcard(other) || is_wildcard(plain)) return its_key;
    there.emplace_back(plain, key);
    return {};
  }

 private:
  std::map<std::pair<std::string, std::int64_t>, std::vector<std::pair<std::string, std::string>>> taken_;  // hosts with keys
};

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
    check_names();
    check_addresses();
    check_shares();
    for (std::size_t i = 0; i < spec_.nodes.size(); ++i) check_node(spec_.nodes[i], entry("nodes", i));
    for (std::size_t i = 0; i < spec_.gateways.size(); ++i) check_gateway(spec_.gateways[i], entry("gateways", i));
  }

 private:
  [[nodiscard]] bool stands(const std::string& key) const { return lines_.contains(key); }

  void refuse(const std::string& key, const std::string& what) { problems_.add(line_of(key, lines_), key, what); }

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
      // A key belongs to one certificate: where one path changes with the process's name the other has to.
      const auto named = [](const std::string& path) { return path.find("{name}") != std::string::npos; };
      if (named(spec_.tls.cert_file) != named(spec_.tls.key_file))
        refuse("tls.key_file", "and cert_file must both hold {name}, or neither: a key belongs to one certificate");
      return;
    }
    if (spec_.any_node_with_certificate) refuse("nodes", "any-with-certificate needs the section tls, by which nodes are known");
    const std::string why = " is not a loopback address, and between machines the processes talk over TLS only; add the section tls";
    for (std::size_t i = 0; i < spec_.coordinators.size(); ++i)
      if (!is_loopback(host_of(spec_.coordinators[i].address)))
        refuse(entry("coordinators", i) + ".address", spec_.coordinators[i].address + why);
    for (std::size_t i = 0; i < spec_.nodes.size(); ++i)
      if (!is_loopback(host_of(spec_.nodes[i].address))) refuse(entry("nodes", i) + ".address", spec_.nodes[i].address + why);
  }

  // Within a list; over all of them where a certificate is found by name.
  void check_names() {
    const bool by_name = spec_.tls.cert_file.find("{name}") != std::string::npos;
    std::map<std::string, std::string> seen;
    const auto names = [&](const char* list, const auto& owners) {
      if (!by_name) seen.clear();
      for (std::size_t i = 0; i < owners.size(); ++i) {
        const auto [first, fresh] = seen.emplace(owners[i].name, entry(list, i));
        if (fresh) continue;
        const bool same_list = first->second.starts_with(list);
        refuse(entry(list, i) + ".name",
               owners[i].name + " is the name of " + first->second + " already; " +
                   (same_list ? "names are unique" : "{name} in tls.cert_file would give both one certificate, and it is of one role"));
      }
    };
    names("coordinators", spec_.coordinators);
    names("gateways", spec_.gateways);
    names("nodes", spec_.nodes);
  }

  void listen(const std::string& machine, const std::string& host, std::int64_t port, const std::string& key) {
    const std::string other = listeners_.add(machine, host, port, key);
    if (!other.empty()) refuse(key, text::address_text(host, port) + " is taken by " + other + "; give one of them another port");
  }

  // `host`: that the process listens on.
  void listen_for_metrics(const std::string& machine, const std::string& host, std::int64_t port, const std::string& key) {
    const std::string& chosen = spec_.metrics.metrics_host;
    if (port > 0) listen(machine, chosen.empty() ? host : chosen, port, key + ".metrics_port");
  }

  // Leaders of a node take gateways at its port and at those behind it, one for each replica that it may hold.
  void listen_for_leaders(const NodeSpec& node, const std::string& key) {
    const auto ranks = static_cast<std::size_t>(std::max<std::int64_t>(1, spec_.parallelism.tensor_parallel_size));
    const auto most = static_cast<std::size_t>(std::max<std::int64_t>(1, spec_.parallelism.data_parallel_size));
    const auto leaders = static_cast<std::int64_t>(std::min(node.devices.size() / ranks, most));
    const std::string host = host_of(node.address);
    const std::int64_t first = port_of(node.address);
    const std::int64_t last = first + leaders - 1;
    const std::string why = "its " + std::to_string(leaders) + " replicas take gateways at ports " + std::to_string(first) + " to " +
                            std::to_string(last);
    if (last > kPortMax) return refuse(key, why + ", and there is none beyond " + std::to_string(kPortMax) + "; give it a lower port");
    for (std::int64_t port = first + 1; port <= last; ++port) {
      const std::string other = listeners_.add(machine_of(host), host, port, key);
      if (other.empty()) continue;
      return refuse(key, why + ", and " + std::to_string(port) + " is taken by " + other + "; give one of them another port");
    }
  }

  // Of coordinators and nodes.
  template <class Owner>
  void listen_as_dialled(const char* list, const std::vector<Owner>& owners) {
    for (std::size_t i = 0; i < owners.size(); ++i) {
      const std::string& address = owners[i].address;
      const std::string host = host_of(address);
      listen(machine_of(host), host, port_of(address), entry(list, i) + ".address");
      listen_for_metrics(machine_of(host), host, owners[i].metrics_port, entry(list, i));
    }
  }

  void check_addresses() {
    listen_as_dialled("coordinators", spec_.coordinators);
    listen_as_dialled("nodes", spec_.nodes);
    for (std::size_t i = 0; i < spec_.nodes.size(); ++i) listen_for_leaders(spec_.nodes[i], entry("nodes", i) + ".address");
    for (std::size_t i = 0; i < spec_.gateways.size(); ++i) {
      const GatewaySpec& gateway = spec_.gateways[i];
      const std::string key = entry("gateways", i);
      const std::string machine = machine_of_gateway(gateway);
      listen(machine, gateway.host, gateway.port, stands(key + ".port") ? key + ".port" : key);
      listen_for_metrics(machine, gateway.host, gateway.metrics_port, key);
    }
  }

  [[nodiscard]] std::string machine_of_gateway(const GatewaySpec& gateway) const {
    for (const NodeSpec& node : spec_.nodes)
      if (node.name == gateway.node) return machine_of(host_of(node.address));
    return machine_of(gateway.host);
  }

  // The nodes of one machine share its GPUs and CPUs out between them.
  void check_shares() {
    struct Machine {
      std::map<std::string, std::size_t> gpus;  // with the node that has it
      std::map<int, std::size_t> cpus;
    };
    std::map<std::string, Machine> machines;
    for (std::size_t i = 0; i < spec_.nodes.size(); ++i) {
      const std::string machine = machine_of(host_of(spec_.nodes[i].address));
      Machine& shared = machines[machine];
      for (const std::string& device : spec_.nodes[i].devices)
        if (device != "cpu" && !claim(shared.gpus, device, i, "devices", device, machine)) break;
      for (const int cpu : cpus_of_set(spec_.nodes[i].cpu_set))
        if (!claim(shared.cpus, cpu, i, "cpu_set", "CPU " + std::to_string(cpu), machine)) break;
    }
  }

  // False: another node has it, which was said.
  template <class What>
  bool claim(std::map<What, std::size_t>& taken, const What& what, std::size_t node, const char* key, const std::string& called,
             const std::string& machine) {
    const std::size_t other = taken.emplace(what, node).first->second;
    if (other == node) return true;
    refuse(entry("nodes", node) + "." + key, "names " + called + ", and so does " + entry("nodes", other) + "." + key +
                                                 " on the same machine (" + machine + "); give it to one of them");
    return false;
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
  Listeners listeners_;
};

}  // namespace

int line_of(const std::string& key, const KeyLines& lines) {
  std::string at = key;
  auto found = lines.find(at);
  while (found == lines.end() && at.find_last_of(".[") != std::string::npos) {
    at.resize(at.find_last_of(".["));
    found = lines.find(at);
  }
  return found == lines.end() ? 0 : found->second;
}

void check_spec(const ClusterSpec& spec, const KeyLines& lines, ProblemList& problems) { SpecCheck(spec, lines, problems).all(); }

}  // namespace herd::config
