#include "commands/rank_flags.h"

#include <type_traits>
#include <utility>

#include <CLI/CLI.hpp>

namespace herd::commands {
namespace {

enum class Given { kAlways, kOrDefault, kPerhaps };

// Every flag: its name, where its value lies, whether it is given, its words for people.
template <class Visit>
void for_each_flag(RankFlags& flags, Visit visit) {
  actors::RankProcessConfig& process = flags.process;
  visit("--cluster", process.cluster, Given::kAlways, "Name of the cluster");
  visit("--node", process.node, Given::kAlways, "The node that it belongs to, whose certificate it has");
  visit("--replica", flags.replica, Given::kAlways, "Number of its replica");
  visit("--rank", process.rank, Given::kAlways, "Its number in the replica; the first takes the replica's gateways");
  visit("--host", process.host, Given::kOrDefault, "Address where the first rank takes gateways");
  visit("--port", process.port, Given::kOrDefault, "Likewise; 0: any free one");
  visit("--link-fd", process.link_fd, Given::kAlways, "Descriptor of the connection to its node");
  visit("--descriptors-fd", process.descriptors_fd, Given::kAlways, "Descriptor that others come over");
  visit("--progress-fd", process.progress_fd, Given::kAlways, "Descriptor of the page where it says how far it is");
  visit("--cpu-sharers", process.cpu_sharers, Given::kOrDefault,
        "Ranks that share the CPUs this one may use; 0: all of its replica. Waits spin where each has a CPU");
  visit("--tls-ca", flags.tls_authority, Given::kPerhaps, "The cluster's authority (PEM); none: gateways on this machine only");
  visit("--tls-cert", flags.tls_certificate, Given::kPerhaps, "Certificate of its node (PEM)");
  visit("--tls-key", flags.tls_key, Given::kPerhaps, "Its key (PEM)");
  visit("--metrics-host", flags.metrics_host, Given::kOrDefault, "Address of /live, /ready and /metrics");
  visit("--metrics-port", flags.metrics_port, Given::kOrDefault, "Their port; 0: any free one");
  visit("--shutdown-timeout", flags.shutdown_timeout, Given::kOrDefault,
        "Seconds that its node gives the replica when this process is told to end");
  visit("--served-model-name", flags.served_name, Given::kPerhaps, "Label model_name of its metrics, as its gateways have it");
  visit("--log-format", flags.log_format, Given::kOrDefault, "text or json");
}

template <class Value>
std::string text_of(const Value& value) {
  if constexpr (std::is_same_v<Value, std::string>) return value;
  else return std::to_string(value);
}

}  // namespace

void add_rank_flags(CLI::App& command, RankFlags& flags) {
  for_each_flag(flags, [&command](const char* name, auto& value, Given given, const char* help) {
    CLI::Option* option = command.add_option(name, value, help);
    if (given == Given::kAlways) option->required();
    if (given == Given::kOrDefault) option->capture_default_str();
  });
  command.get_option("--rank")->check(CLI::Range(0, 7));
  command.get_option("--cpu-sharers")->check(CLI::Range(0, 4096));
  command.get_option("--shutdown-timeout")->check(CLI::Range(0.0, 86400.0));
}

std::vector<std::string> rank_words(RankFlags flags) {
  std::vector<std::string> words;
  for_each_flag(flags, [&words](const char* name, auto& value, Given, const char*) {
    std::string text = text_of(value);
    if (text.empty()) return;  // not given
    words.emplace_back(name);
    words.push_back(std::move(text));
  });
  return words;
}

}  // namespace herd::commands
