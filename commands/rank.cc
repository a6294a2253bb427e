// herd rank: one rank of a replica, as its node starts it. What it shares with its node are descriptors, so nobody types this.

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <CLI/CLI.hpp>

#include "actors/processes/rank_process.h"
#include "actors/remote/rank_roster.h"
#include "cluster/link/peer_name.h"
#include "commands/command_line.h"
#include "commands/random_bytes.h"
#include "commands/rank_flags.h"
#include "commands/role_life.h"
#include "commands/roles.h"
#include "commands/stop_guard.h"
#include "commands/version.h"
#include "endpoint/admin/admin_server.h"
#include "observability/metrics_page.h"
#include "observability/role_metrics.h"
#include "observability/serving_metrics.h"

namespace herd::commands {
namespace {

constexpr double kEndByNodeSeconds = 20;  // for its node to end it, behind the drain

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

class RankCommand {
 public:
  RankCommand(RankFlags& flags, observability::EventLog& log) : flags_(flags), log_(log) {
    name_writer(log_, handshake::Role::kRank, name(), flags_.process.node);
    log_.set_context("replica", std::int64_t{flags_.replica});
    log_.set_context("rank", std::int64_t{flags_.process.rank});
  }

  Status start() {
    auto served = open_admin(flags_.metrics_host, flags_.metrics_port);
    if (!served) return served.error();
    admin_ = std::move(*served);
    auto process = actors::RankProcess::start(config());
    if (!process) return process.error();
    process_ = std::move(*process);
    admin_->open({.not_ready = [this] { return not_ready(); }, .metrics = [this] { return metrics(); }});
    return {};
  }

  // A thread of its own runs the process, this one takes signals.
  Status run(StopGuard& guard) {
    Status ended;
    std::atomic<bool> over = false;
    std::thread runner([&] {
      ended = process_->run();
      over = true;
      guard.wake();
    });
    while (!over) {
      if (guard.wait_until({std::numeric_limits<std::int64_t>::max()}) != StopGuard::Event::kStop) continue;
      process_->stop();
      break;  // a second signal is the guard's
    }
    runner.join();
    admin_->close();
    return ended;
  }

 private:
  [[nodiscard]] bool leads() const { return flags_.process.rank == 0; }
  [[nodiscard]] std::string name() const { return actors::rank_name(ReplicaId(flags_.replica), flags_.process.rank); }

  actors::RankProcessConfig config() {
    actors::RankProcessConfig config = flags_.process;
    config.replica = ReplicaId(flags_.replica);
    if (!flags_.tls_certificate.empty()) config.tls = link::TlsFiles{flags_.tls_certificate, flags_.tls_key, flags_.tls_authority};
    config.incarnation = random_incarnation();
    config.build_id = version();
    config.metrics_address = admin_->address();
    config.log = &log_;
    config.on_spec = [this](const placement::RankSpec& spec) { spec_ = spec; };
    config.on_loaded = [this](const actors::StepReads& reads) { on_loaded(reads); };
    config.on_step = [this](ReplicaId, const step::StepStats& stats, double step_s) {
      if (const auto metrics = leader_metrics()) metrics->on_step(0, stats, step_s);
    };
    return config;
  }

  void on_loaded(const actors::StepReads& reads) {
    if (!leads()) return;
    observability::ServingMetricsConfig config;
    config.model_name = flags_.served_name;
    config.part = observability::MetricPart::kLeader;
    config.first_engine = flags_.replica;
    config.ranks = spec_.ranks;
    config.max_model_len = spec_.shape.positions_max;
    config.block_size = static_cast<std::uint32_t>(spec_.shape.block_size);
    config.num_blocks = static_cast<std::uint64_t>(spec_.shape.blocks);
    config.places = static_cast<std::uint32_t>(spec_.shape.sequences_max);
    config.weight_bytes_per_step = reads.weight_bytes;
    config.kv_bytes_per_token = reads.kv_bytes_per_token;
    config.read_bytes_per_s = reads.bytes_per_s;
    auto made = std::make_shared<observability::ServingMetrics>(config);
    const std::scoped_lock lock(mutex_);
    leader_metrics_ = std::move(made);
  }

  std::shared_ptr<observability::ServingMetrics> leader_metrics() const {
    const std::scoped_lock lock(mutex_);
    return leader_metrics_;
  }

  std::optional<std::string> not_ready() const {
    const actors::RankProcessState state = process_->state();
    if (!state.prepared) return "its weights are being loaded";
    if (leads() && !state.serves) return "its replica does not serve";
    return std::nullopt;
  }

  std::string metrics() const {
    const actors::RankProcessState state = process_->state();
    report::ProcessReport mine = own_report(handshake::Role::kRank, name(), flags_.process.node);
    mine.leader = leads();
    mine.epoch = state.epoch;
    if (!not_ready()) mine.state = report::ProcessState::kServing;
    observability::MetricsPage page;
    observability::add_process(page, mine,
                               {.links = link_counts(state.gateways, state.stale_frames),
                                .wakeups = own_wakeups(),
                                .log_lines_dropped = log_.dropped(),
                                .certificate_expires = state.certificate_expires});
    const auto leader = leader_metrics();
    if (!leader) return page.text();
    observability::ServingMetrics::Snapshot snapshot;
    snapshot.replicas.push_back({state.stats.serving, state.stats.scheduler, state.stats.saved_s, state.stats.moves,
                                 state.stats.decode_step_s, state.stats.prompt_token_s});
    leader->set(snapshot);
    return leader->render() + page.text();
  }

  RankFlags& flags_;
  observability::EventLog& log_;
  placement::RankSpec spec_;  // what it is, once its node has said so
  mutable std::mutex mutex_;  // of the next
  std::shared_ptr<observability::ServingMetrics> leader_metrics_;  // once it is loaded; null: it leads nothing
  std::unique_ptr<actors::RankProcess> process_;
  std::unique_ptr<admin::AdminServer> admin_;  // ends first: its pages ask the process
};

Status rank(RankFlags& flags) {
  if (Status status = check(flags); !status.ok()) return status;
  observability::EventLog log(observability::log_format_named(flags.log_format), observability::LogLevel::kInfo);
  auto guard = StopGuard::start(flags.shutdown_timeout + kEndByNodeSeconds, [&log] { log.flush(kLogFlush); });
  if (!guard) return guard.error();
  RankCommand command(flags, log);
  if (Status status = command.start(); !status.ok()) return status;
  Status ended = command.run(**guard);
  (*guard)->ended(exit_code(ended));
  log.flush(kLogFlush);
  if (ended.code() == StatusCode::kAborted) {  // its thread may be anywhere: nothing is taken apart under it
    (void)report(ended);
    std::_Exit(exit_code(ended));
  }
  return ended;
}

}  // namespace

void add_rank(CLI::App& app, int* exit_code, const actors::WrapRank& wrap) {
  auto flags = std::make_shared<RankFlags>();
  flags->process.wrap_rank = wrap;
  CLI::App* command = app.add_subcommand("rank", "One rank of a replica: started by `herd node`, which hands it what it works with");
  add_rank_flags(*command, *flags);
  command->callback([flags, exit_code] { *exit_code = report(rank(*flags)); });
}

}  // namespace herd::commands
