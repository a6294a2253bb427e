#include "commands/joined_cluster.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "actors/processes/cluster_tls.h"
#include "cluster/config/setting_table.h"
#include "commands/command_line.h"
#include "commands/random_bytes.h"
#include "commands/role_life.h"
#include "commands/version.h"
#include "commands/wall_clock.h"
#include "endpoint/access/access_digest.h"
#include "endpoint/served/served_model.h"
#include "observability/role_metrics.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

using observability::LogLevel;
using report::ProcessState;

constexpr std::size_t kTroublesMax = 64;  // that are remembered

constexpr std::chrono::seconds kLook{10};  // at the cluster, while it waits for it

// The first that serves and says how long a sequence may be; null: none does.
const routing::ReplicaView* first_serving(const actors::ClusterStatus& status) {
  for (std::size_t i = 0; i < status.replicas.size(); ++i)
    if (status.replicas[i].serving && status.view.replicas[i].max_model_len > 0) return &status.view.replicas[i];
  return nullptr;
}

}  // namespace

Status JoinedCluster::start(const std::string& api_url) {
  report_ = own_report(handshake::Role::kGateway, file_.gateway.name, file_.gateway.node);
  name_writer(log_, handshake::Role::kGateway, report_.name, report_.node);
  report_.endpoint_url = api_url;
  nodes_ = pages::places_of(file_.spec);
  numerics_.leave_to_replicas();
  log_.write(LogLevel::kInfo, "settings", {{"what", settings_text(file_.spec)}});
  if (Status status = open_admin(); !status.ok()) return status;
  if (Status status = open_text(); !status.ok()) return status;
  if (Status status = join(); !status.ok()) return status;
  await_replica();
  make_metrics();
  return {};
}

Status JoinedCluster::open_admin() {
  admin::AdminConfig config;
  config.host = file_.spec.metrics.metrics_host.empty() ? file_.gateway.host : file_.spec.metrics.metrics_host;
  config.port = static_cast<std::uint16_t>(file_.gateway.metrics_port);
  config.unix_seconds = unix_time;
  auto admin = admin::AdminServer::start(config);
  if (!admin) return admin.error();
  admin_ = std::move(*admin);
  report_.metrics_url = admin_->metrics_url();
  log_.write(LogLevel::kInfo, "metrics", {{"url", report_.metrics_url}});
  return {};
}

Status JoinedCluster::open_text() {
  auto options = engine_options(file_.flags.model);
  if (!options) return options.error();
  auto model = model::open_model(options->model, options->encoding);
  if (!model) return model.error();
  for (const std::string& warning : model->warnings) log_.write(LogLevel::kWarning, warning);
  served::TextOptions wanted = text_options(file_.flags.model);
  wanted.note = [this](const std::string& line) { log_.write(LogLevel::kInfo, line); };
  wanted.warn = [this](const std::string& line) { log_.write(LogLevel::kWarning, line); };
  auto text = served::open_served_text(*model, wanted);
  if (!text) return text.error();
  text_ = std::move(*text);
  names_ = served::served_names(file_.flags.served_names, options->model.path);
  return {};
}

Status JoinedCluster::join() {
  auto options = engine_options(file_.flags.model);
  if (!options) return options.error();
  const config::CoordinatorSpec& coordinator = file_.spec.coordinators.front();
  processes::GatewayProcessConfig config;
  config.hello.cluster = file_.spec.name;
  config.hello.role = handshake::Role::kGateway;
  config.hello.node = file_.gateway.name;
  config.hello.incarnation = std::max<std::uint64_t>(1, random_number());
  config.hello.build_id = version();
  config.hello.text_digest = text_.text_digest;
  config.hello.config_digest = config::settings_digest(file_.spec);
  config.hello.model = names_.front().substr(0, handshake::kHelloTextBytesMax);
  config.tls = processes::tls_files_of(file_.spec.tls, file_.gateway.name);
  config.coordinator = coordinator.name;
  config.coordinator_address = coordinator.address;
  config.gateway.jitter_seed = random_number();
  const auto replicas = static_cast<std::size_t>(file_.spec.parallelism.data_parallel_size);
  set_limits(file_.flags, options->scheduler.max_num_seqs * replicas, config.gateway);
  config.gateway.admission.gateways = static_cast<std::uint32_t>(file_.spec.gateways.size());
  config.on_trouble = [this](const Status& status) { on_trouble(status); };
  config.on_reload = [this](const reload::ReloadOrder& order) { on_order(order); };
  auto process = processes::GatewayProcess::start(std::move(config));
  if (!process) return process.error();
  process_ = std::move(*process);
  std::vector<reload::ReloadOrder> early;
  {
    const std::scoped_lock lock(mutex_);
    joined_ = true;
    early = std::exchange(early_, {});
  }
  for (const reload::ReloadOrder& order : early) on_order(order);
  report(ProcessState::kStarting);
  admin_->open({[] { return std::optional<std::string>("no replica serves yet"); }, [this] { return metrics_text(nullptr); }});
  return {};
}

void JoinedCluster::on_order(const reload::ReloadOrder& order) {
  {
    const std::scoped_lock lock(mutex_);
    if (!joined_) return early_.push_back(order);
  }
  if (on_reload_) on_reload_(order);
}

void JoinedCluster::say(const report::ReloadPrepared& prepared) { process_->say(prepared); }

Status JoinedCluster::on_reloaded(const config::ClusterSpec& spec) {
  {
    const std::scoped_lock lock(mutex_);
    nodes_ = pages::places_of(spec);
  }
  events().add(LogLevel::kInfo, "the cluster's file was read again");
  return process_->on_reloaded(config::settings_digest(spec));
}

void JoinedCluster::describe(api::PageConfig& pages) {
  pages.words.name = file_.gateway.name;
  pages.words.cluster = file_.spec.name;
  pages.hears_coordinator = [this] { return process_->hears_coordinator(); };
  pages.nodes = [this] {
    const std::scoped_lock lock(mutex_);
    return nodes_;
  };
}

// Whoever wants it to stop meanwhile ends the process (EndpointServer).
void JoinedCluster::await_replica() {
  const auto serves = [](const actors::ClusterStatus& status) { return first_serving(status) != nullptr; };
  while (!process_->await_status(serves, kLook)) {
    log_.write(LogLevel::kInfo, process_->hears_coordinator() ? "waits for a replica that serves" : "waits for the coordinator",
               {{"coordinator", file_.spec.coordinators.front().address}});
  }
  const auto status = process_->client().status();
  const routing::ReplicaView* first = first_serving(*status);
  if (first == nullptr) return await_replica();  // it was lost in between
  max_model_len_ = first->max_model_len;
  for (const routing::ReplicaView& replica : status->view.replicas)
    if (replica.max_model_len > 0) max_model_len_ = std::min(max_model_len_, replica.max_model_len);
}

void JoinedCluster::make_metrics() {
  metrics_ = std::make_unique<observability::ServingMetrics>(observability::ServingMetricsConfig{
      .model_name = names_.front(),
      .part = observability::MetricPart::kGateway,
      .replicas = static_cast<std::uint32_t>(file_.spec.parallelism.data_parallel_size),
      .ranks = static_cast<std::uint32_t>(file_.spec.parallelism.tensor_parallel_size),
      .max_model_len = max_model_len_,
      .block_size = static_cast<std::uint32_t>(file_.spec.kv.block_size)});
}

// The same on every gateway, or a client's key or event id is good at some of them only: the coordinator is to notice. It is told with
// the state that follows, or at once when that was said before.
void JoinedCluster::on_access(const std::string& resume_digest, const access::ApiKeys* keys) {
  const std::string digest = resume_digest + "/" + access::keys_digest(keys);
  const std::scoped_lock lock(mutex_);
  report_.access_digest = digest;
  if (report_.state == ProcessState::kServing) process_->report(report_);
}

void JoinedCluster::on_open(api::ApiGateway& gateway) {
  admin_->open({[&gateway] { return gateway.state().not_ready(steady_now()); }, [this, &gateway] { return metrics_text(&gateway); }});
  report(ProcessState::kServing);
}

void JoinedCluster::on_drain() { report(ProcessState::kDraining); }

bool JoinedCluster::shutdown(std::chrono::milliseconds /*patience*/) {
  report(ProcessState::kStopped);
  process_->stop();
  return true;
}

void JoinedCluster::report(ProcessState state) {
  const std::scoped_lock lock(mutex_);
  report_.state = state;
  process_->report(report_);
}

// Dials are tried again and again, each with a line that names its peer: one that was said lately is not repeated.
void JoinedCluster::on_trouble(const Status& status) {
  if (troubles_.size() >= kTroublesMax) troubles_.clear();
  if (!troubles_.insert(status.message()).second) return;
  log_.write(LogLevel::kWarning, "a connection did not open", {{"reason", status.message()}});
  events().add(LogLevel::kWarning, "a connection did not open: " + status.message());
}

std::string JoinedCluster::metrics_text(api::ApiGateway* gateway) const {
  observability::MetricsPage page;
  {
    const std::scoped_lock lock(mutex_);
    observability::add_process(page, report_,
                               {.links = link_counts(process_->link_stats(), process_->stale_frames()),
                                .wakeups = own_wakeups(),
                                .log_lines_dropped = log_.dropped(),
                                .certificate_expires = process_->certificate_expires()});
  }
  return gateway == nullptr ? page.text() : gateway->state().render_metrics() + page.text();
}

}  // namespace herd::commands
