#include "actors/remote/view_link.h"

#include <mutex>
#include <utility>

#include "actors/remote/frame_port.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/report_codec.h"

namespace herd::actors {

using wire::FrameKind;

class ViewLink::Impl : public std::enable_shared_from_this<ViewLink::Impl> {
 public:
  Impl(GatewayHandle gateway, std::shared_ptr<SharedGateway> shared, std::function<routing::GatewayJoin()> join,
       std::function<void(const reload::ReloadOrder&)> on_reload)
      : gateway_(std::move(gateway)), shared_(std::move(shared)), join_(std::move(join)), on_reload_(std::move(on_reload)) {}

  link::OpenLink opener() {
    return [self = shared_from_this()](std::shared_ptr<link::Link> opened, const link::PeerOpened&) {
      return self->on_open(std::move(opened));
    };
  }
  void report(std::vector<report::ProcessReport> processes) {
    const std::scoped_lock lock(mutex_);
    reports_.processes = std::move(processes);
    if (link_) say_reports();
  }
  void report(std::vector<report::CacheReport> caches) {
    const std::scoped_lock lock(mutex_);
    reports_.caches = std::move(caches);
    if (link_) say_reports();
  }
  void say(const report::ReloadPrepared& prepared) {
    const std::scoped_lock lock(mutex_);
    if (link_) (void)link_->send(wire::encode(prepared), {}, {});
  }
  // Whatever becomes of it: a demand that got lost is one that no connection answers, and the next one asks anew.
  void say(const routing::QuotaDemand& demand) {
    const std::scoped_lock lock(mutex_);
    if (link_) (void)link_->send(wire::encode(demand), {}, {});
  }
  [[nodiscard]] bool is_open() const {
    const std::scoped_lock lock(mutex_);
    return link_ != nullptr;
  }

 private:
  class Owner final : public link::LinkOwner {
   public:
    Owner(std::shared_ptr<Impl> impl, std::shared_ptr<link::Link> link) : impl_(std::move(impl)), link_(std::move(link)) {}
    void on_frame(wire::OpenedFrame frame) override {
      if (Status status = impl_->on_frame(frame, held_frame(link_, frame)); !status.ok()) link_->finish(status);
      forget_actor_system();
    }
    void on_closed(const Status&) override {
      impl_->on_closed();
      link_.reset();
    }

   private:
    const std::shared_ptr<Impl> impl_;
    std::shared_ptr<link::Link> link_;
  };

  std::shared_ptr<link::LinkOwner> on_open(std::shared_ptr<link::Link> opened) {
    const routing::GatewayJoin join = join_();
    if (!opened->send(wire::encode(join), join.cluster_epoch, {}).ok()) return nullptr;
    auto owner = std::make_shared<Owner>(shared_from_this(), opened);
    {
      const std::scoped_lock lock(mutex_);
      link_ = std::move(opened);
      say_reports();
    }
    set_coordinator(true);
    return owner;
  }
  void on_closed() {
    {
      const std::scoped_lock lock(mutex_);
      link_.reset();
    }
    set_coordinator(false);
  }
  void set_coordinator(bool is_there) {
    const Instant now = shared_->now();
    shared_->decide([&](gateway::GatewayCore& core) { core.quotas().on_coordinator(is_there, now); });
    look_at_quotas();
    forget_actor_system();
  }
  void look_at_quotas() {
    if (shared_->wants_look()) caf::anon_send(gateway_, LookAtQuotas{});
  }

  // Whatever becomes of it: the next connection begins with it.
  void say_reports() {
    if (!reports_.processes.empty()) (void)link_->send(wire::encode(reports_), {}, {});
  }

  Status on_frame(const wire::OpenedFrame& frame, std::shared_ptr<const void> held) {
    if (frame.header.kind == FrameKind::kClusterView) {
      auto view = wire::decode_cluster_view(frame.frame.words);
      if (!view) return view.error();
      caf::anon_send(gateway_, ViewChanged{std::move(*view), std::move(held)});
      return {};
    }
    if (frame.header.kind == FrameKind::kReloadPrepare) return on_order(wire::decode_reload_prepare(frame.frame.words));
    if (frame.header.kind == FrameKind::kReloadDecision) return on_order(wire::decode_reload_decision(frame.frame.words));
    if (frame.header.kind == FrameKind::kQuotaShares) {
      auto shares = wire::decode_quota_shares(frame.frame.words);
      if (!shares) return shares.error();
      const Instant now = shared_->now();
      shared_->decide([&](gateway::GatewayCore& core) { core.quotas().set_shares(*shares, now); });
      look_at_quotas();
      return {};
    }
    if (frame.header.kind != FrameKind::kReplicaLoss) return bad_input("a frame that a coordinator does not send to a gateway");
    auto loss = wire::decode_replica_loss(frame.frame.words);
    if (!loss) return loss.error();
    caf::anon_send(gateway_, ReplicaLost{std::move(*loss), {}, std::move(held)});
    return {};
  }

  template <class Order>
  Status on_order(Expected<Order> order) {
    if (!order) return order.error();
    if (on_reload_) on_reload_(std::move(*order));
    return {};
  }

  const GatewayHandle gateway_;
  const std::shared_ptr<SharedGateway> shared_;
  const std::function<routing::GatewayJoin()> join_;
  const std::function<void(const reload::ReloadOrder&)> on_reload_;
  mutable std::mutex mutex_;  // of the below
  std::shared_ptr<link::Link> link_;  // null: it is not open
  report::ProcessReports reports_;
};

ViewLink::ViewLink(link::LinkHost& host, const std::string& address, std::uint16_t port, const std::string& name,
                   GatewayHandle gateway, std::shared_ptr<SharedGateway> shared, std::function<routing::GatewayJoin()> join,
                   std::function<void(const reload::ReloadOrder&)> on_reload)
    : impl_(std::make_shared<Impl>(std::move(gateway), shared, std::move(join), std::move(on_reload))) {
  shared->set_demand_reader([impl = std::weak_ptr<Impl>(impl_)](const routing::QuotaDemand& demand) {
    if (const auto there = impl.lock()) there->say(demand);
  });
  shared->set_cache_reader([impl = std::weak_ptr<Impl>(impl_)](std::vector<report::CacheReport> caches) {
    if (const auto there = impl.lock()) there->report(std::move(caches));
  });
  dial_ = host.dial(address, port, {{handshake::Role::kCoordinator, name}}, impl_->opener());
}

ViewLink::~ViewLink() = default;

void ViewLink::report(std::vector<report::ProcessReport> processes) { impl_->report(std::move(processes)); }
void ViewLink::say(const report::ReloadPrepared& prepared) { impl_->say(prepared); }
bool ViewLink::is_open() const { return impl_->is_open(); }

}  // namespace herd::actors
