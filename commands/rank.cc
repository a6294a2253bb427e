// herd rank: one rank of a replica, as its node starts it. What it shares with its node are descriptors, so nobody types this.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <CLI/CLI.hpp>

#include "actors/processes/rank_process.h"
#include "cluster/link/peer_name.h"
#include "commands/command_line.h"
#include "commands/random_bytes.h"
#include "commands/stop_guard.h"
#include "commands/version.h"
#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

constexpr double kDrainSeconds = 10;  // for the steps that are under way when it is told to stop
constexpr std::chrono::milliseconds kLogFlush{200};
constexpr std::int64_t kLookAgainNs = 3'600'000'000'000;  // nothing comes of itself

struct RankFlags {
  actors::RankProcessConfig process;
  std::uint32_t replica = 0;
  std::string tls_authority, tls_certificate, tls_key;
  std::string metrics_host = "127.0.0.1";
  std::uint16_t metrics_port = 0;
  std::string log_format = "text";
};

Status check(const RankFlags& flags) {
  if (Status status = link::check_name(flags.process.node); !status.ok()) return usage_error("--node: " + status.message());
  if (flags.process.cluster.empty()) return usage_error("--cluster: a cluster has a name");
  const bool some = !flags.tls_authority.empty() || !flags.tls_certificate.empty() || !flags.tls_key.empty();
  const bool all = !flags.tls_authority.empty() && !flags.tls_certificate.empty() && !flags.tls_key.empty();
  if (some && !all) return usage_error("--tls-ca, --tls-cert and --tls-key are given together or not at all");
  if (flags.log_format != "text" && flags.log_format != "json")
    return usage_error("--log-format must be text or json, not " + flags.log_format);
  return {};
}

// The process's own thread runs it, this one takes signals.
Status run(actors::RankProcess& process, StopGuard& guard) {
  Status ended;
  std::atomic<bool> over = false;
  std::thread runner([&] {
    ended = process.run();
    over = true;
    guard.wake();
  });
  bool told = false;
  while (!over) {
    const auto event = guard.wait_until({steady_now().ns + kLookAgainNs});
    if (event == StopGuard::Event::kStop && !std::exchange(told, true)) process.stop();
  }
  runner.join();
  return ended;
}

Status rank(RankFlags& flags) {
  if (Status status = check(flags); !status.ok()) return status;
  const auto format = flags.log_format == "json" ? observability::LogFormat::kJson : observability::LogFormat::kText;
  observability::EventLog log(format, observability::LogLevel::kInfo);
  auto guard = StopGuard::start(kDrainSeconds, [&log] { log.flush(kLogFlush); });
  if (!guard) return guard.error();
  actors::RankProcessConfig& config = flags.process;
  config.replica = ReplicaId(flags.replica);
  if (!flags.tls_certificate.empty()) config.tls = link::TlsFiles{flags.tls_certificate, flags.tls_key, flags.tls_authority};
  config.incarnation = std::max<std::uint64_t>(1, random_number());
  config.build_id = version();
  config.log = &log;
  auto process = actors::RankProcess::start(config);
  if (!process) return process.error();
  Status ended = run(**process, **guard);
  (*guard)->ended(exit_code(ended));
  log.flush(kLogFlush);
  if (ended.code() == StatusCode::kAborted) {  // its thread may be anywhere: nothing is taken apart under it
    (void)report(ended);
    std::_Exit(exit_code(ended));
  }
  return ended;
}

}  // namespace

void add_rank(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<RankFlags>();
  actors::RankProcessConfig& process = flags->process;
  CLI::App* command = app.add_subcommand("rank", "One rank of a replica: started by `herd node`, which hands it what it works with");
  command->add_option("--cluster", process.cluster, "Name of the cluster")->required();
  command->add_option("--node", process.node, "The node that it belongs to, whose certificate it has")->required();
  command->add_option("--replica", flags->replica, "Number of its replica")->required();
  command->add_option("--rank", process.rank, "Its number in the replica; the first takes the replica's gateways")
      ->required()->check(CLI::Range(0, 7));
  command->add_option("--host", process.host, "Numeric address where the first rank takes gateways")->capture_default_str();
  command->add_option("--port", process.port, "Likewise; 0: any free one")->capture_default_str();
  command->add_option("--link-fd", process.link_fd, "Descriptor of the connection to its node")->required();
  command->add_option("--descriptors-fd", process.descriptors_fd, "Descriptor that others come over")->required();
  command->add_option("--progress-fd", process.progress_fd, "Descriptor of the page where it says how far it is")->required();
  command->add_option("--cpu-sharers", process.cpu_sharers,
                      "Ranks that share the CPUs this one may use; 0: all of its replica. Waits spin where each has a CPU")
      ->capture_default_str()->check(CLI::Range(0, 4096));
  command->add_option("--tls-ca", flags->tls_authority, "The cluster's authority (PEM); none: gateways on this machine only");
  command->add_option("--tls-cert", flags->tls_certificate, "Certificate of its node (PEM)");
  command->add_option("--tls-key", flags->tls_key, "Its key (PEM)");
  command->add_option("--metrics-host", flags->metrics_host, "Address of /live, /ready and /metrics")->capture_default_str();
  command->add_option("--metrics-port", flags->metrics_port, "Their port; 0: any free one")->capture_default_str();
  command->add_option("--log-format", flags->log_format, "text or json")->capture_default_str();
  command->callback([flags, exit_code] { *exit_code = report(rank(*flags)); });
}

}  // namespace herd::commands
