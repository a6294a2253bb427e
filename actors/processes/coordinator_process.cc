#include "actors/processes/coordinator_process.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "actors/processes/cluster_tls.h"
#include "actors/processes/event_loop.h"
#include "cluster/admission/quota_board.h"
#include "cluster/config/setting_table.h"
#include "cluster/reload/reload_core.h"
#include "cluster/report/drain_progress.h"
#include "cluster/report/notices.h"
#include "cluster/report/status_table.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/membership_codec.h"
#include "cluster/wire/report_codec.h"
#include "runtime/steady_clock.h"

namespace herd::processes {
namespace {

using handshake::Role;
using membership::MembershipEffect;
using membership::MembershipEffects;
using membership::MembershipNote;
using membership::PeerId;
using wire::FrameKind;

constexpr std::chrono::milliseconds kGoodbye{300};  // for what is still to be written
const Status kStops{StatusCode::kAborted, "the coordinator stops"};

membership::MembershipConfig membership_of(const config::ClusterSpec& spec) {
  membership::MembershipConfig config;
  config.replicas = static_cast<std::uint32_t>(spec.parallelism.data_parallel_size);
  for (const config::NodeSpec& node : spec.nodes) config.nodes.push_back(node.name);
  config.any_node = spec.any_node_with_certificate;
  for (const config::GatewaySpec& gateway : spec.gateways) config.gateways.push_back(gateway.name);
  return config;
}

template <class Owner>
std::vector<std::string> names_of(const std::vector<Owner>& owners) {
  std::vector<std::string> names;
  for (const Owner& owner : owners) names.push_back(owner.name);
  return names;
}

report::ProcessReport listed(Role role, const std::string& name, const std::string& node) {
  report::ProcessReport report;
  report.role = role;
  report.name = name;
  report.node = node;
  report.state = report::ProcessState::kStopped;
  return report;
}

std::vector<report::ProcessReport> listed_processes(const config::ClusterSpec& spec) {
  std::vector<report::ProcessReport> all;
  for (const config::NodeSpec& node : spec.nodes) all.push_back(listed(Role::kNode, node.name, node.name));
  for (const config::GatewaySpec& gateway : spec.gateways) all.push_back(listed(Role::kGateway, gateway.name, gateway.node));
  return all;
}

class Coordinator final : public CoordinatorProcess {
 public:
  explicit Coordinator(CoordinatorConfig config)
      : config_(std::move(config)),
        mine_(config_.mine),
        core_(membership_of(config_.spec), config_.wall_ms, steady_now()),
        reload_(config::settings_digest(config_.spec), config_.wall_ms.value),
        table_(listed_processes(config_.spec)),
        quotas_(static_cast<std::uint32_t>(config_.spec.gateways.size()), steady_now()) {}
  ~Coordinator() override { stop(); }
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  Status listen() {
    const auto& all = config_.spec.coordinators;
    const auto own = std::ranges::find(all, config_.name, &config::CoordinatorSpec::name);
    if (own == all.end()) return usage_error("the cluster file has no coordinator \"" + config_.name + "\"");
    link::LinkHostConfig host;
    host.mine.cluster = config_.spec.name;
    host.mine.role = Role::kCoordinator;
    host.mine.node = config_.name;
    host.mine.incarnation = config_.incarnation;
    host.mine.build_id = config_.build_id;
    host.mine.config_digest = reload_.digest();
    host.tls = tls_files_of(config_.spec.tls, config_.name);
    host.seed = config_.incarnation;
    host.on_trouble = [this](const Status& status) { config_.on_note({true, "connection refused", "", status.message()}); };
    auto started = link::LinkHost::start(std::move(host));
    if (!started) return started.error();
    host_ = std::move(*started);
    const auto taken = host_->listen(config::listen_address(config::host_of(own->address)), config::port_of(own->address),
                                     {{Role::kNode, ""}, {Role::kGateway, ""}, {Role::kOperator, ""}},
                                     [this](std::shared_ptr<link::Link> link, const link::PeerOpened& opened) {
                                       return open(std::move(link), opened);
                                     });
    if (!taken)
      return {taken.error().code(), "coordinator \"" + config_.name + "\": " + taken.error().message() +
                                        "; its port is the lock: another coordinator of this cluster may be running"};
    port_ = *taken;
    thread_ = std::thread([this] {
      loop_.run([this] { return deadline(); }, [this] { on_timer(); });
    });
    return {};
  }

  [[nodiscard]] std::uint16_t port() const override { return port_; }
  [[nodiscard]] bool is_settled() const override { return settled_; }
  void reload() override {
    loop_.post([this] { ask_reload(std::nullopt); });
  }
  void turn(std::function<void()> done) override { loop_.post(std::move(done)); }
  void describe(const report::ProcessReport& mine) override {
    loop_.post([this, mine] { mine_ = mine; });
  }

  CoordinatorFacts facts() override {
    if (!thread_.joinable()) return last_facts_;
    auto asked = std::make_shared<std::promise<CoordinatorFacts>>();
    auto answer = asked->get_future();
    loop_.post([this, asked] { asked->set_value(look()); });
    return answer.get();
  }

  void stop() override {
    if (!thread_.joinable()) return;
    last_facts_ = facts();
    auto gone = std::make_shared<std::promise<void>>();
    auto all_gone = gone->get_future();
    loop_.post([this, gone] {
      stopping_ = true;
      all_gone_ = gone;
      for (const auto& [peer, link] : links_) link->finish(kStops);
      if (links_.empty()) std::exchange(all_gone_, nullptr)->set_value();
    });
    (void)all_gone.wait_for(kGoodbye);
    host_->stop();  // from here on nobody posts
    loop_.end();
    thread_.join();
  }

 private:
  // One connection, on the host's thread: decodes, and posts what it means to the coordinator's.
  class PeerOwner final : public link::LinkOwner {
   public:
    PeerOwner(Coordinator& coordinator, PeerId peer, std::shared_ptr<link::Link> link)
        : coordinator_(coordinator), peer_(peer), link_(std::move(link)) {}

    void on_frame(wire::OpenedFrame opened) override {
      const std::size_t bytes = opened.frame.words.size() * sizeof(std::uint64_t);
      if (refused_) return;
      if (Status status = take(opened.frame); !status.ok()) {
        refused_ = true;
        coordinator_.config_.on_note({true, "frame refused", name(), status.message()});
        link_->finish(status);
      }
      coordinator_.loop_.post([link = link_, bytes] { link->consumed(bytes); });
    }
    void on_closed(const Status& why) override {
      coordinator_.loop_.post([&coordinator = coordinator_, peer = peer_, why] { coordinator.on_closed(peer, why); });
      link_.reset();
    }

   private:
    [[nodiscard]] std::string name() const { return "connection " + std::to_string(peer_.value); }

    Status take(const wire::Frame& frame) {
      const auto& words = frame.words;
      using membership::MembershipCore;
      switch (frame.kind) {
        case FrameKind::kNodeJoin:
          return post(wire::decode_node_join(words), &MembershipCore::on_node_join);
        case FrameKind::kGatewayJoin:
          return post_plain(wire::decode_gateway_join(words), &Coordinator::on_gateway_join);
        case FrameKind::kQuotaDemand:
          return post_plain(wire::decode_quota_demand(words), &Coordinator::on_quota_demand);
        case FrameKind::kPlaceAsk:
          return post(wire::decode_place_ask(words), &MembershipCore::on_place_ask);
        case FrameKind::kServing:
          return post(wire::decode_serving(words), [](MembershipCore& core, PeerId peer, const membership::Serving& serving,
                                                      MembershipEffects& effects) { core.on_serving(peer, serving.view, effects); });
        case FrameKind::kReplicaLoss:
          return post(wire::decode_replica_loss(words), &MembershipCore::on_lost);
        case FrameKind::kGivenUp:
          return post(wire::decode_given_up(words), &MembershipCore::on_given_up);
        case FrameKind::kNodeLeaving:
          return post(wire::decode_node_leaving(words), &MembershipCore::on_leaving);
        case FrameKind::kDrainAsk:
          return post(wire::decode_drain_ask(words), &MembershipCore::on_drain_ask);
        case FrameKind::kProcessReports:
          return post_plain(wire::decode_process_reports(words), &Coordinator::on_reports);
        case FrameKind::kReloadAsk:
          return post_plain(wire::decode_reload_ask(words), &Coordinator::on_reload_ask);
        case FrameKind::kReloadPrepared:
          return post_plain(wire::decode_reload_prepared(words), &Coordinator::on_reload_prepared);
        case FrameKind::kStatusAsk:
          return post_plain(wire::decode_status_ask(words), &Coordinator::on_status_ask);
        default:
          return bad_input("a frame of a kind that coordinators have no use for");
      }
    }

    template <class Value, class Handle>
    Status post(Expected<Value> value, Handle handle) {
      if (!value) return value.error();
      coordinator_.loop_.post([&coordinator = coordinator_, peer = peer_, handle, value = std::move(*value)] {
        coordinator.tell([&](MembershipEffects& effects) { std::invoke(handle, coordinator.core_, peer, value, effects); });
      });
      return {};
    }
    template <class Value>
    Status post_plain(Expected<Value> value, void (Coordinator::*handle)(PeerId, const Value&)) {
      if (!value) return value.error();
      coordinator_.loop_.post([&coordinator = coordinator_, peer = peer_, handle, value = std::move(*value)] {
        (coordinator.*handle)(peer, value);
      });
      return {};
    }

    Coordinator& coordinator_;
    const PeerId peer_;
    std::shared_ptr<link::Link> link_;
    bool refused_ = false;  // what still comes means nothing
  };

  static Instant now() { return steady_now(); }

  // The host's thread.
  std::shared_ptr<link::LinkOwner> open(std::shared_ptr<link::Link> link, const link::PeerOpened& opened) {
    const PeerId peer(++last_peer_);
    loop_.post([this, peer, link, opened] { on_opened(peer, link, opened); });
    return std::make_shared<PeerOwner>(*this, peer, std::move(link));
  }

  // All below: the loop's thread.
  void on_opened(PeerId peer, std::shared_ptr<link::Link> link, const link::PeerOpened& opened) {
    if (stopping_) return link->finish(kStops);
    links_.emplace(peer, std::move(link));
    if (!opened.agreement.equal_config && !opened.hello.config_digest.empty())
      config_.on_note({true, "cluster files differ", opened.hello.node, "its cluster file is another one than the coordinator's"});
    copies_[peer] = {membership::called(opened.hello.role, opened.hello.node), opened.hello.config_digest};
    tell([&](MembershipEffects& effects) { core_.on_opened(peer, opened.hello, now(), effects); });
    if (core_.peer(peer) == nullptr || opened.hello.role == Role::kOperator) return;
    tell_reload([&](reload::ReloadEffects& effects) {
      reload_.on_opened(peer, membership::called(opened.hello.role, opened.hello.node), opened.hello.config_digest, now(), effects);
    });
  }

  void on_closed(PeerId peer, const Status& why) {
    links_.erase(peer);
    copies_.erase(peer);
    if (const membership::Peer* known = core_.peer(peer)) {
      if (known->role != Role::kOperator) config_.on_note({false, "connection ended", known->name, why.message()});
      table_.on_gone(known->role, known->name);
    }
    quotas_.on_gone(admission::QuotaPeer(peer.value), now());
    say_quota_news();
    tell([&](MembershipEffects& effects) { core_.on_closed(peer, now(), effects); });
    tell_reload([&](reload::ReloadEffects& effects) { reload_.on_closed(peer, now(), effects); });
    if (links_.empty() && all_gone_) std::exchange(all_gone_, nullptr)->set_value();
  }

  void on_gateway_join(PeerId peer, const routing::GatewayJoin& join) {
    tell([&](MembershipEffects& effects) { core_.on_gateway_join(peer, join, effects); });
    if (core_.peer(peer) == nullptr) return;  // it was refused
    const bool is_fresh = join.cluster_epoch.value == 0;  // it has never had a view
    quotas_.on_joined(admission::QuotaPeer(peer.value), join.gateway, is_fresh, now());
    say_quota_news();
  }

  void on_quota_demand(PeerId peer, const routing::QuotaDemand& demand) {
    send(peer, wire::encode(quotas_.on_demand(admission::QuotaPeer(peer.value), demand, now())), {});
    say_quota_news();
  }

  void say_quota_news() {
    for (const admission::QuotaBoard::News& news : quotas_.take_news(now()))
      send(PeerId(news.gateway.value), wire::encode(news.shares), {});
  }

  void on_reports(PeerId peer, const report::ProcessReports& reports) {
    const membership::Peer* known = core_.peer(peer);
    if (known == nullptr) return;
    if (table_.on_reports(known->role, known->name, reports) == 0) return;
    tell([&](MembershipEffects& effects) { core_.on_nonsense(peer, bad_input("it reports on processes of others"), effects); });
  }

  [[nodiscard]] std::optional<Instant> deadline() const {
    const auto next = core_.deadline(), reload = reload_.deadline();
    return next && reload ? std::min(*next, *reload) : next ? next : reload;
  }
  void on_timer() {
    tell([&](MembershipEffects& effects) { core_.on_timer(now(), effects); });
    tell_reload([&](reload::ReloadEffects& effects) { reload_.on_timer(now(), effects); });
  }

  void on_reload_ask(PeerId peer, const report::ReloadAsk&) { ask_reload(peer); }
  void ask_reload(std::optional<PeerId> asker) {
    reload::FileReading read;
    if (!reload_.busy()) {
      read = config_.read_file ? config_.read_file(spec_) : reload::FileReading{{missing("it has no file to read"), "", {}}, {}};
      if (read.reading.status.ok()) read.reading.status = core_.check_listed(names_of(read.spec.nodes), names_of(read.spec.gateways));
      read_ = std::move(read.spec);
    }
    tell_reload([&](reload::ReloadEffects& effects) { reload_.on_asked(asker, read.reading, now(), effects); });
  }
  void on_reload_prepared(PeerId peer, const report::ReloadPrepared& prepared) {
    tell_reload([&](reload::ReloadEffects& effects) { reload_.on_prepared(peer, prepared, now(), effects); });
  }

  void on_status_ask(PeerId peer, const report::StatusAsk&) { send(peer, wire::encode(status()), {}); }

  [[nodiscard]] report::ClusterStatusReport status() const {
    report::ProcessReport own = mine_;
    own.role = Role::kCoordinator;
    own.name = config_.name;
    own.state = stopping_ ? report::ProcessState::kDraining
                          : core_.settled() ? report::ProcessState::kServing : report::ProcessState::kStarting;
    own.epoch = core_.view().cluster_epoch.value;
    report::ClusterStatusReport status{config_.spec.name, table_.processes(own), core_.replica_lines(), {}};
    for (report::ReplicaReportLine& line : status.replicas) line.cache = table_.cache(line.replica, line.epoch);
    report::show_draining(status, core_.drains().idle_nodes());
    std::vector<report::FileCopy> copies;
    for (const auto& [peer, copy] : copies_)
      if (core_.peer(peer) != nullptr) copies.push_back(copy);
    status.notices = report::notices_of(status, reload_.digest(), copies, core_.drains().names());
    return status;
  }
  [[nodiscard]] CoordinatorFacts look() const {
    return {status(), core_.view().cluster_epoch, core_.stats(), host_->stats(), host_->certificate_expires_unix_seconds()};
  }

  template <class Event>
  void tell_reload(Event event) {
    reload::ReloadEffects effects;
    event(effects);
    for (const reload::ReloadEffect& effect : effects) std::visit([this](const auto& order) { carry_out(order); }, effect);
  }
  void carry_out(const reload::SayPrepare& order) { send_all(order.peers, wire::encode(order.prepare), {}); }
  void carry_out(const reload::SayDecision& order) {
    send_all(order.peers, wire::encode(order.decision), {});
    if (!order.decision.take) return;
    for (const PeerId peer : order.peers)
      if (const auto copy = copies_.find(peer); copy != copies_.end()) copy->second.digest = reload_.digest();
  }
  void carry_out(const reload::TakeOwn&) {
    spec_ = std::move(read_);
    tell([&](MembershipEffects& effects) { core_.set_listed(names_of(spec_.nodes), names_of(spec_.gateways), effects); });
    table_.set_listed(listed_processes(spec_));
    host_->set_config_digest(reload_.digest());
    if (Status status = host_->reload(); !status.ok())
      config_.on_note({true, "certificates not taken, the old ones stay", "", status.message()});
    if (config_.on_reloaded) config_.on_reloaded(spec_);
  }
  void carry_out(const reload::EndReload& order) {
    if (order.asker) send(*order.asker, wire::encode(order.answer), {});
    else if (config_.on_reload_over) config_.on_reload_over();
    const bool taken = order.answer.status.ok();
    std::string what = taken ? "" : order.answer.status.message();
    for (const std::string& line : order.answer.lines) what += (what.empty() ? "" : "; ") + line;
    config_.on_note({!taken, taken ? "cluster file read again" : "cluster file not taken", "", what.empty() ? "no key has changed" : what});
  }
  void carry_out(const reload::ReloadNote& order) {
    config_.on_note({!order.status.ok(), order.status.ok() ? "cluster file taken after all" : "cluster file not taken", order.who,
                     order.status.message()});
  }

  // An event of the core, and what follows from it.
  template <class Event>
  void tell(Event event) {
    MembershipEffects effects;
    event(effects);
    settled_ = core_.settled();
    if (const Epoch epoch = core_.view().cluster_epoch; std::exchange(epoch_, epoch) != epoch && config_.on_epoch) config_.on_epoch(epoch);
    for (const MembershipEffect& effect : effects) std::visit([this](const auto& order) { carry_out(order); }, effect);
  }

  void carry_out(const membership::SendView& order) { send_all(order.gateways, wire::encode(order.view), {}); }
  void carry_out(const membership::SendLoss& order) { send_all(order.gateways, wire::encode(order.loss), order.loss.replica); }
  void carry_out(const membership::SendAssignment& order) { send(order.node, wire::encode(order.assignment), {}); }
  void carry_out(const membership::SendPlaced& order) {
    send(order.node, wire::encode(order.placed), order.placed.view.route.generation);
  }
  void carry_out(const membership::AnswerOrder& order) { send(order.peer, wire::encode(order.answer), {}); }
  void carry_out(const membership::ClosePeer& order) {
    if (const auto link = links_.find(order.peer); link != links_.end()) link->second->finish(order.why);
  }
  void carry_out(const MembershipNote& note) { config_.on_note(note); }

  void send_all(const std::vector<PeerId>& peers, const wire::Frame& frame, routing::ReplicaGeneration about) {
    for (const PeerId peer : peers) send(peer, frame, about);
  }
  // Whoever cannot be told is closed: it connects again, and is told all there is.
  void send(PeerId peer, const wire::Frame& frame, routing::ReplicaGeneration about) {
    const auto link = links_.find(peer);
    if (link == links_.end()) return;
    if (Status sent = link->second->send(frame, core_.view().cluster_epoch, about); !sent.ok()) link->second->finish(sent);
  }

  const CoordinatorConfig config_;
  report::ProcessReport mine_;        // the loop's, as all until stopping_
  config::ClusterSpec spec_ = config_.spec;  // as it was read last
  config::ClusterSpec read_;                 // for the reload that is under way
  std::map<PeerId, report::FileCopy> copies_;
  membership::MembershipCore core_;
  reload::ReloadCore reload_;
  report::StatusTable table_;
  admission::QuotaBoard quotas_;
  std::map<PeerId, std::shared_ptr<link::Link>> links_;
  bool stopping_ = false;                         // whoever comes from here on is turned away
  std::shared_ptr<std::promise<void>> all_gone_;  // while it stops: kept when the last connection has ended
  std::atomic<bool> settled_ = false;
  Epoch epoch_;  // of the cluster, as on_epoch was told
  std::uint16_t port_ = 0;
  std::uint64_t last_peer_ = 0;       // the host's thread
  CoordinatorFacts last_facts_;
  EventLoop loop_;
  std::unique_ptr<link::LinkHost> host_;
  std::thread thread_;
};

}  // namespace

Expected<std::unique_ptr<CoordinatorProcess>> CoordinatorProcess::start(CoordinatorConfig config) {
  auto coordinator = std::make_unique<Coordinator>(std::move(config));
  if (Status status = coordinator->listen(); !status.ok()) return fail(std::move(status));
  return coordinator;
}

}  // namespace herd::processes
