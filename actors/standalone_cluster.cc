#include "actors/standalone_cluster.h"

#include <mutex>
#include <utility>

#include "actors/standalone_actors.h"

namespace herd::actors {
namespace {

constexpr std::uint32_t kReplicasMax = 64;
constexpr std::uint32_t kRanksMax = 64;

}  // namespace

gateway::GatewayConfig StandaloneConfig::gateway_of_one_caller() {
  gateway::GatewayConfig config;
  config.id = GatewayId{1};
  config.admission.queue_requests_max = std::size_t{1} << 20;
  config.admission.queue_tokens_max = std::uint64_t{1} << 40;
  config.admission.running_sequences_max = config.open_sequences_max;
  return config;
}

Status StandaloneConfig::validate() const {
  if (replicas < 1 || replicas > kReplicasMax) return usage_error("replicas must be in [1, 64]");
  if (ranks < 1 || ranks > kRanksMax) return usage_error("ranks of a replica must be in [1, 64]");
  if (step_timeout < std::chrono::milliseconds(1)) return usage_error("step_timeout must be at least 1 ms");
  if (ground == nullptr) return usage_error("ranks have nowhere to be made");
  if (Status status = gateway.validate(); !status.ok()) return status;
  return scheduler.validate();
}

struct StandaloneCluster::Impl {
  explicit Impl(StandaloneConfig config) : actors(std::move(config)) {}
  StandaloneActors actors;
  std::mutex mutex;  // of shutdown()
};

StandaloneCluster::StandaloneCluster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

StandaloneCluster::~StandaloneCluster() { (void)shutdown(); }

Expected<std::unique_ptr<StandaloneCluster>> StandaloneCluster::start(StandaloneConfig config) {
  if (Status status = config.validate(); !status.ok()) return fail(std::move(status));
  std::unique_ptr<StandaloneCluster> cluster(new StandaloneCluster(std::make_unique<Impl>(std::move(config))));
  if (Status status = cluster->impl_->actors.start(); !status.ok()) return fail(std::move(status));
  return cluster;
}

ClusterClient& StandaloneCluster::client() { return impl_->actors.client(); }

bool StandaloneCluster::shutdown(std::chrono::milliseconds patience) {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->actors.shutdown(patience);
}

}  // namespace herd::actors
