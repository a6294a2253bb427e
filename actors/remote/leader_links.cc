#include "actors/remote/leader_links.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "actors/remote/frame_port.h"
#include "actors/remote/replica_proxy.h"
#include "cluster/config/cluster_spec.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/group_codec.h"

namespace herd::actors {
namespace {

using routing::ReplicaGeneration;
using wire::FrameKind;

const std::vector<link::PeerName> kLeaders{{handshake::Role::kRank, ""}};

}  // namespace

// One address and the connections with it, one after the other. Any thread.
class LeaderLink : public std::enable_shared_from_this<LeaderLink> {
 public:
  LeaderLink(caf::actor_system& system, GatewayHandle gateway, std::function<routing::GatewayJoin()> join,
             std::shared_ptr<std::atomic<std::uint64_t>> stale)
      : system_(system), gateway_(std::move(gateway)), join_(std::move(join)), stale_(std::move(stale)) {}

  link::OpenLink opener() {
    return [self = shared_from_this()](std::shared_ptr<link::Link> opened, const link::PeerOpened&) {
      return self->on_open(std::move(opened));
    };
  }

  // Nothing: the connection is not open, or the leader has not said on it that it has that generation.
  std::optional<ReplicaHandle> proxy_of(ReplicaGeneration generation, Epoch cluster_epoch) {
    const std::scoped_lock lock(mutex_);
    if (!link_ || !reported_.contains(generation)) return std::nullopt;
    const auto known = proxies_.find(generation);
    if (known != proxies_.end()) return known->second;
    return proxies_.emplace(generation, system_.spawn(replica_proxy, link_, generation, cluster_epoch, gateway_)).first->second;
  }

  // Frames of others are stale from here on. What a generation said before the view had it was passed over, but for its last report:
  // its leader is to say it anew.
  void keep(const std::set<ReplicaGeneration>& current) {
    const std::scoped_lock lock(mutex_);
    const bool is_new = !std::ranges::includes(current_, current);
    current_ = current;
    std::erase_if(reported_, [&](ReplicaGeneration generation) { return !current.contains(generation); });
    if (early_ && current_.contains(early_->from)) {
      reported_.insert(early_->from);
      caf::anon_send(gateway_, *early_);
      early_.reset();
    }
    if (is_new && link_) {
      const routing::GatewayJoin join = join_();
      (void)link_->send(wire::encode(join), join.cluster_epoch, {});  // where it cannot be sent, the connection has ended
    }
    std::erase_if(proxies_, [&](const auto& proxy) {
      if (current.contains(proxy.first)) return false;
      end(proxy.second);
      return true;
    });
  }

 private:
  class Owner final : public link::LinkOwner {
   public:
    Owner(std::shared_ptr<LeaderLink> leader, std::shared_ptr<link::Link> link)
        : leader_(std::move(leader)), link_(std::move(link)) {}
    void on_frame(wire::OpenedFrame frame) override {
      if (Status status = leader_->on_frame(frame, link_); !status.ok()) link_->finish(status);
      forget_actor_system();
    }
    void on_closed(const Status&) override {
      leader_->on_closed();
      link_.reset();
      forget_actor_system();
    }

   private:
    const std::shared_ptr<LeaderLink> leader_;
    std::shared_ptr<link::Link> link_;
  };

  std::shared_ptr<link::LinkOwner> on_open(std::shared_ptr<link::Link> opened) {
    const routing::GatewayJoin join = join_();
    if (!opened->send(wire::encode(join), join.cluster_epoch, {}).ok()) return nullptr;
    auto owner = std::make_shared<Owner>(shared_from_this(), opened);
    const std::scoped_lock lock(mutex_);
    link_ = std::move(opened);
    return owner;
  }

  // The way there is cut for all of them: their ends tell the gateway.
  void on_closed() {
    const std::scoped_lock lock(mutex_);
    link_.reset();
    early_.reset();
    reported_.clear();
    for (const auto& [generation, proxy] : proxies_) end(proxy);
    proxies_.clear();
  }

  static void end(const ReplicaHandle& proxy) { caf::anon_send_exit(proxy, caf::exit_reason::user_shutdown); }

  Status on_frame(const wire::OpenedFrame& frame, const std::shared_ptr<link::Link>& link) {
    const auto held = held_frame(link, frame);
    const ReplicaGeneration from = frame.header.replica;
    if (frame.header.kind == FrameKind::kReplicaReport) return on_report(frame, held);
    if (is_stale(from)) return {};
    switch (frame.header.kind) {
      case FrameKind::kTokenDeltas: {
        auto deltas = wire::decode_token_deltas(frame.frame.words);
        if (!deltas) return deltas.error();
        for (step::TokenDelta& delta : *deltas) delta.replica = from.replica;
        caf::anon_send(gateway_, DeltasMade{from, std::move(*deltas), held});
        return {};
      }
      case FrameKind::kReplicaLoss: {
        auto loss = wire::decode_replica_loss(frame.frame.words);
        if (!loss) return loss.error();
        if (loss->replica != from) return bad_input("a loss of another generation than its frame is about");
        caf::anon_send(gateway_, ReplicaLost{std::move(*loss), {}, held});
        return {};
      }
      default:
        return bad_input("a frame that a leader does not send to a gateway");
    }
  }

  bool is_stale(ReplicaGeneration from) {
    const std::scoped_lock lock(mutex_);
    if (current_.contains(from)) return false;
    ++*stale_;
    return true;
  }

  // A generation may report before the view that has it comes: the report is kept until then, as the next may be long in coming.
  // It is one, and so holds no bytes of the connection back; news in those before it are missed, and asked for again.
  Status on_report(const wire::OpenedFrame& frame, const std::shared_ptr<const void>& held) {
    auto report = wire::decode_replica_report(frame.frame.words);
    if (!report) return report.error();
    ReplicaReported reported{frame.header.replica, std::move(report->stats), report->draining};
    if (report->news) reported.news = std::make_shared<const kv::BlockNews>(std::move(*report->news));
    const std::scoped_lock lock(mutex_);
    if (current_.contains(reported.from)) {
      reported_.insert(reported.from);
      reported.held = held;
      caf::anon_send(gateway_, std::move(reported));
    } else {
      early_ = std::move(reported);
    }
    return {};
  }

  caf::actor_system& system_;
  const GatewayHandle gateway_;
  const std::function<routing::GatewayJoin()> join_;
  const std::shared_ptr<std::atomic<std::uint64_t>> stale_;
  std::mutex mutex_;  // of the below
  std::shared_ptr<link::Link> link_;  // null: it is not open
  std::map<ReplicaGeneration, ReplicaHandle> proxies_;
  std::set<ReplicaGeneration> current_;  // that the view has at this address
  std::set<ReplicaGeneration> reported_; // of these, on the connection of the moment
  std::optional<ReplicaReported> early_; // the last one of another generation, on the connection of the moment
};

LeaderLinks::LeaderLinks(caf::actor_system& system, link::LinkHost& host, std::function<routing::GatewayJoin()> join)
    : system_(system), host_(host), join_(std::move(join)) {}

LeaderLinks::~LeaderLinks() = default;

std::optional<ReplicaHandle> LeaderLinks::resolve(const routing::Route& route, const GatewayHandle& gateway) {
  const std::uint16_t port = config::port_of(route.address);
  if (port == 0) return std::nullopt;  // nobody knows yet where it will be
  auto& [link, dial] = leaders_[route.address];
  if (!dial) {
    link = std::make_shared<LeaderLink>(system_, gateway, join_, stale_);
    link->keep({route.generation});
    dial = host_.dial(config::host_of(route.address), port, kLeaders, link->opener());
  }
  return link->proxy_of(route.generation, cluster_epoch_);
}

void LeaderLinks::on_view(const routing::ClusterView& view) {
  cluster_epoch_ = view.cluster_epoch;
  std::map<std::string, std::set<ReplicaGeneration>> current;
  for (const routing::ReplicaView& replica : view.replicas) {
    if (replica.state != routing::ReplicaState::kLost) current[replica.route.address].insert(replica.route.generation);
    // Its leader may live, and lead the next one.
    else if (replica.returns) (void)current[replica.route.address];
  }
  for (auto leader = leaders_.begin(); leader != leaders_.end();) {
    const auto routes = current.find(leader->first);
    leader->second.link->keep(routes == current.end() ? std::set<ReplicaGeneration>{} : routes->second);
    leader = routes == current.end() ? leaders_.erase(leader) : std::next(leader);
  }
}

}  // namespace herd::actors
