#include "commands/own_cluster.h"

#include <algorithm>
#include <new>
#include <utility>

#include "commands/command_line.h"
#include "commands/machine_bounds.h"
#include "commands/started_model.h"
#include "endpoint/served/served_model.h"
#include "kernels/process_limits.h"

namespace herd::commands {
namespace {

// A quick look, for the share of bandwidth in the metrics of a replica; `herd bench machine` measures properly. 0: not
// known. Of GPUs only the first replica's count.
double quick_read_bandwidth(const actors::EngineOptions& options) {
  double gb_per_s = 0;
  if (options.gpu.use) {
    const auto gpus = measure_gpus(options.gpu, options.tensor_parallel);
    for (std::size_t i = 0; gpus && i < gpus->size(); ++i) gb_per_s += (*gpus)[i].rates.read_gb_per_s;
  } else {
    ThreadPool pool(options.threads > 0 ? options.threads : usable_cpus());
    const auto reads = measure_reads(pool, {.buffer_bytes = std::size_t{256} << 20, .repeats = 2});
    if (reads) gb_per_s = reads->best().gb_per_s;
  }
  return gb_per_s * 1e9;
}

}  // namespace

Status OwnCluster::start_engine() {
  auto options = engine_options(flags_);
  if (!options) return options.error();
  const double read_bytes_per_s = quick_read_bandwidth(*options);
  lift_queue_bounds(options->scheduler);
  hooks_.set(*options);
  options->gateway_has_own_thread = true;
  options->commit_memory = true;
  scheduler_ = options->scheduler;
  restart_budget_ = options->restart_budget;
  replicas_ = static_cast<std::uint32_t>(options->data_parallel);
  set_limits(flags_, std::size_t{scheduler_.max_num_seqs} * replicas_, options->gateway);
  if (Status status = options->gateway.validate(); !status.ok()) return status;
  options->make_on_step = [this, read_bytes_per_s](const actors::EngineFacts& facts) -> actors::OnStep {
    make_metrics(facts, read_bytes_per_s);
    return [&metrics = *metrics_](ReplicaId replica, const step::StepStats& stats, double step_s) {
      metrics.on_step(replica.value, stats, step_s);
    };
  };
  options->on_note = [this](ReplicaId replica, const membership::Note& note) {
    metrics_->on_note(replica.value, note);
    supervision_.on_note(replica, note);
  };
  names_ = served::served_names(flags_.served_names, options->model.path);
  auto model = start_model(std::move(*options), text_options(flags_.model));
  if (!model) return model.error();
  text_ = std::move(model->text);
  engine_ = std::move(model->engine);
  if (flags_.compute_nice > 0 && engine_->facts().gpus.empty())
    log_.write(observability::LogLevel::kInfo, "compute threads run at a lower priority than the server's",
               {{"nice", std::int64_t{flags_.compute_nice}}});
  return {};
}

void OwnCluster::make_metrics(const actors::EngineFacts& facts, double read_bytes_per_s) {
  metrics_ = std::make_unique<observability::ServingMetrics>(observability::ServingMetricsConfig{
      .model_name = names_.front(),
      .replicas = replicas_,
      .ranks = static_cast<std::uint32_t>(flags_.model.tensor_parallel),
      .max_model_len = facts.max_model_len,
      .block_size = static_cast<std::uint32_t>(flags_.model.block_size),
      .num_blocks = static_cast<std::uint64_t>(facts.num_blocks),
      .prefix_caching = scheduler_.prefix_caching,
      .places = scheduler_.max_num_seqs,
      .restart_budget = restart_budget_,
      .weight_bytes_per_step = facts.weight_bytes_per_token,
      .kv_bytes_per_token = static_cast<std::uint64_t>(facts.kv_bytes_per_token),
      .read_bytes_per_s = read_bytes_per_s});
}

void OwnCluster::on_open(api::ApiGateway&) {
  naming_ = std::jthread([this](const std::stop_token& stop) { name_numerics(stop); });
}

// Beside serving: every weight is read once more, and only those who go on with a stream wait for it.
void OwnCluster::name_numerics(const std::stop_token& stop) {
  lower_thread_priority(19);
  Expected<std::string> id;
  try {
    id = engine_->numerics_id(stop);
  } catch (const std::bad_alloc&) {
    id = fail(no_memory());
  }
  if (stop.stop_requested()) return;
  if (id) {
    numerics_.set(*id);
    return log_.write(observability::LogLevel::kInfo, "streams can be resumed from here on", {{"numerics", *id}});
  }
  numerics_.set_unknowable(id.error().message());
  log_.write(observability::LogLevel::kWarning, "streams cannot be resumed: the weights could not be read again",
             {{"reason", id.error().message()}});
}

}  // namespace herd::commands
