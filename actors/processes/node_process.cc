#include "actors/processes/node_process.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "actors/children/child_keeper.h"
#include "actors/ranks/model_source.h"
#include "actors/remote/child_ground.h"
#include "actors/remote/coordinator_proxy.h"
#include "actors/roles/supervisor_actor.h"
#include "cluster/config/setting_table.h"
#include "cluster/placement/room_patience.h"
#include "runtime/digest/digest.h"
#include "runtime/shard/numerics_id.h"
#include "runtime/steady_clock.h"

namespace herd::processes {
namespace {

using actors::RankLauncher;

constexpr std::size_t kActorThreads = 2;
// A rank's process says hello once its program is loaded, on a machine that may have much to do.
constexpr double kRankHelloSeconds = 60.0;
constexpr std::chrono::milliseconds kLookForRoom{100};
constexpr double kRankStartSecondsMax = 3600.0;  // a large model from a slow disk

// CPUs of this process's affinity mask, rising.
std::vector<int> cpus_here() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

Expected<placement::NodeMachine> look_at_machine(const NodeProcessConfig& config) {
  auto device = make_cpu_device({config.isa, 1});
  if (!device) return fail(device.error());
  placement::NodeMachine machine;
  machine.cpus = cpus_here();
  machine.usable_cpus = usable_cpus();
  machine.free_bytes = static_cast<std::int64_t>((*device)->free_bytes());
  machine.nodes = placement::nodes_on_machine_of(config.spec, config.node);
  return machine;
}

// Whether memory is what it lacks: as many replicas as the cluster has and its devices could take have no room.
bool lacks_memory(const NodeProcessConfig& config, const Expected<placement::NodePlan>& plan) {
  const auto most = std::min(config.node.devices.size() / static_cast<std::size_t>(std::max(1, config.tensor_parallel)),
                             static_cast<std::size_t>(std::max(1, config.wishes.data_parallel)));
  if (config.node.memory > 0 || most == 0) return false;
  return plan ? plan->slots.size() < most : plan.error().code() == StatusCode::kMissing;
}

// One that is started again comes while the ranks of the one before may still give back their memory.
Expected<placement::NodePlan> plan_with_patience(const NodeProcessConfig& config, const placement::ShardedModel& model) {
  const auto speed = config.isa == CpuIsa::kReference ? placement::StepSpeed::kCpuReference : placement::StepSpeed::kCpu;
  placement::RoomPatience patience;
  for (;;) {
    const auto machine = look_at_machine(config);
    if (!machine) return fail(machine.error());
    auto plan = placement::plan_node(config.node, model, config.wishes, speed, *machine);
    if (!lacks_memory(config, plan) || !patience.looks_again(machine->free_bytes, steady_now())) return plan;
    std::this_thread::sleep_for(kLookForRoom);
  }
}

// What `herd status` shows of a digest.
std::string short_digest(const digest::Digest128& digest) { return digest::hex(digest).substr(0, 16); }

std::string tokenizer_digest_of(const std::string& text_digest) {
  if (text_digest.empty()) return {};
  digest::Digester digester("a node's text");
  digester.add(text_digest);
  return short_digest(digester.finish());
}

class Process final : public NodeProcess {
 public:
  Process(NodeProcessConfig config, placement::ShardedModel model, placement::NodePlan plan, std::unique_ptr<link::LinkHost> host,
          std::unique_ptr<link::LinkHost> pairs)
      : config_(std::move(config)), model_(std::move(model)), plan_(std::move(plan)), host_(std::move(host)), pairs_(std::move(pairs)) {}
  ~Process() override {
    dial_.reset();
    if (proxy_) caf::anon_send_exit(proxy_, caf::exit_reason::user_shutdown);
    proxy_ = nullptr;
    host_->stop();  // nobody is told anything any more
    pairs_->stop();
    actors::forget_actor_system();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void connect() {
    proxy_ = system_.spawn(actors::coordinator_proxy, proxy_config());
    roster_->set_listener([proxy = proxy_] { caf::anon_send(proxy, actors::ReportsChanged{}); });
    launcher_ = make_launcher();
    dial_ = host_->dial(config::host_of(config_.coordinator_address), config::port_of(config_.coordinator_address),
                        {{handshake::Role::kCoordinator, config_.coordinator}}, actors::opener_of(proxy_));
  }

  void run() override {
    bool told = false;
    while (!over_ || keeper_->running() > 0) {
      if (stopping_ && !std::exchange(told, true)) caf::anon_send(proxy_, actors::StopNode{drain_s()});
      keeper_->poll(std::chrono::milliseconds(-1));
    }
    actors::forget_actor_system();
  }
  void stop() override {
    stopping_ = true;
    keeper_->wake();
  }

  void turn(std::function<void()> done) override {
    keeper_->post([done = std::move(done)](children::ChildProcesses&) { done(); });
  }

  void say(const report::ReloadPrepared& prepared) override {
    caf::anon_send(proxy_, actors::SayPrepared{prepared});
    actors::forget_actor_system();
  }
  Status on_reloaded(const config::ClusterSpec& spec) override {
    {
      const std::scoped_lock lock(mutex_);
      supervision_ = spec.supervision;
      drain_s_ = spec.http.shutdown_timeout;
    }
    caf::anon_send(proxy_, actors::BudgetChanged{budget()});
    actors::forget_actor_system();
    host_->set_config_digest(config::settings_digest(spec));
    return host_->reload();
  }

  const placement::NodePlan& plan() const override { return plan_; }
  bool hears_coordinator() const override { return hears_; }
  std::vector<report::ProcessReport> reports() const override {
    report::ProcessReport mine = config_.mine;
    mine.state = stopping_ ? report::ProcessState::kDraining : report::ProcessState::kServing;
    mine.weights_digest = weights_read();
    mine.tokenizer_digest = tokenizer_digest_;
    std::vector<report::ProcessReport> all{std::move(mine)};
    for (report::ProcessReport& rank : roster_->ranks()) all.push_back(std::move(rank));
    return all;
  }
  std::map<std::string, std::uint64_t> deaths() const override { return roster_->deaths(); }
  link::LinkHostStats link_stats() const override { return host_->stats(); }
  std::int64_t certificate_expires() const override { return host_->certificate_expires_unix_seconds(); }

 private:
  [[nodiscard]] double drain_s() const {
    const std::scoped_lock lock(mutex_);
    return drain_s_;
  }

  actors::CoordinatorProxyConfig proxy_config() {
    actors::CoordinatorProxyConfig proxy;
    proxy.slots = plan_.slots.size();
    proxy.start_replica = [this](ReplicaId replica, std::size_t slot, actors::CoordinatorHandle coordinator) {
      return start_replica(replica, slot, std::move(coordinator));
    };
    proxy.reports = [this] { return reports(); };
    proxy.on_reload = config_.on_reload;
    proxy.on_over = [this] {
      over_ = true;
      keeper_->wake();
    };
    proxy.on_link = [this](const Status& status) {
      hears_ = status.ok();
      if (config_.on_link) config_.on_link(status);
    };
    return proxy;
  }

  [[nodiscard]] std::shared_ptr<const RankLauncher> make_launcher() const {
    auto launcher = std::make_shared<RankLauncher>();
    launcher->node = config_.node.name;
    launcher->keeper = keeper_;
    launcher->host = pairs_.get();
    launcher->on_line = config_.on_rank_line;
    launcher->roster = roster_;
    return launcher;
  }

  // Leaders of a node whose address has a port take gateways at that port and those behind it.
  [[nodiscard]] std::uint16_t port_of_slot(std::size_t slot) const {
    const std::uint16_t first = config::port_of(config_.node.address);
    return first == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(first + slot);
  }

  Expected<actors::SupervisorHandle> start_replica(ReplicaId replica, std::size_t slot, actors::CoordinatorHandle coordinator) {
    auto launcher = std::make_shared<RankLauncher>(*launcher_);
    launcher->argv = [this, port = port_of_slot(slot)](const placement::RankSpec& spec) {
      return config_.rank_argv({.replica = spec.replica,
                                .rank = spec.rank,
                                .port = spec.rank == 0 ? port : std::uint16_t{0},
                                .cpu_sharers = plan_.cpu_sharers,
                                .link_fd = RankLauncher::kLinkFd,
                                .descriptors_fd = RankLauncher::kDescriptorsFd,
                                .progress_fd = RankLauncher::kProgressFd});
    };
    actors::ChildGroundConfig ground{.specs = {},
                                     .cpus = {},
                                     .scheduler = plan_.replica.scheduler,
                                     .watch = {},
                                     .numerics = {static_cast<std::uint32_t>(config_.tensor_parallel), make_id_},
                                     .launcher = std::move(launcher)};
    for (const placement::RankPlace& place : plan_.slots[slot].ranks) {
      ground.specs.push_back(spec_of(replica, static_cast<std::uint32_t>(ground.specs.size()), place));
      ground.cpus.push_back(place.cpus);
    }
    auto made = actors::ground_of_children(system_, std::move(ground));
    if (!made) return fail(made.error());
    actors::SupervisorConfig supervisor;
    supervisor.core.replica = replica;
    supervisor.core.ranks = static_cast<std::uint32_t>(config_.tensor_parallel);
    supervisor.core.ranks_can_be_ended = true;
    supervisor.core.keeps_trying = true;
    supervisor.core.budget = budget();
    supervisor.core.start_s_max = kRankStartSecondsMax;
    supervisor.ground = std::move(*made);
    supervisor.drain_s = drain_s();
    supervisor.on_note = config_.on_note;
    supervisor.clock = steady_now;
    if (config_.on_note) {
      const std::string text = "replica " + std::to_string(replica.value) + " is this node's: its ranks are started";
      config_.on_note(replica, {.kind = membership::NoteKind::kTaken, .rank = std::nullopt, .text = text});
    }
    return system_.spawn(actors::supervisor_actor, std::move(supervisor), std::move(coordinator));
  }

  [[nodiscard]] membership::RestartBudget budget() const {
    const std::scoped_lock lock(mutex_);
    return membership::budget_of(static_cast<std::uint32_t>(supervision_.restart_budget), supervision_.restart_window);
  }

  // ProcessReport::weights_digest.
  [[nodiscard]] std::string weights_read() const {
    const std::scoped_lock lock(mutex_);
    return weights_;
  }

  [[nodiscard]] placement::RankSpec spec_of(ReplicaId replica, std::uint32_t rank, const placement::RankPlace& place) const {
    placement::RankSpec spec;
    spec.replica = replica;
    spec.rank = rank;
    spec.ranks = static_cast<std::uint32_t>(config_.tensor_parallel);
    spec.model = config_.model;
    spec.weights = model_.encoding.weights;
    spec.device.isa = config_.isa;
    spec.device.threads = place.threads;
    spec.device.nice = config_.compute_nice;
    spec.shape = plan_.replica.rank;
    return spec;
  }

  const NodeProcessConfig config_;
  const placement::ShardedModel model_;
  const membership::ReplicaNumerics::MakeId make_id_ = [this](const std::string& numerics_class, const digest::Digest128& weights) {
    {
      const std::scoped_lock lock(mutex_);
      weights_ = short_digest(weights);
    }
    return shard::numerics_id(
        {.numerics_class = numerics_class, .config = &model_.config, .encoding = model_.encoding, .weights = weights});
  };
  const placement::NodePlan plan_;
  const std::string tokenizer_digest_ = tokenizer_digest_of(config_.hello.text_digest);
  mutable std::mutex mutex_;             // of the next three
  std::string weights_;                  // of the replica that came together last, by their digest; empty: none has
  config::SupervisionSpec supervision_ = config_.spec.supervision;
  double drain_s_ = config_.spec.http.shutdown_timeout;
  std::atomic<bool> stopping_ = false, over_ = false, hears_ = false;
  const std::shared_ptr<actors::RankRoster> roster_ = std::make_shared<actors::RankRoster>(config_.node.name);
  const std::shared_ptr<children::ChildKeeper> keeper_ = std::make_shared<children::ChildKeeper>();
  actors::ActorSystemConfig system_config_{kActorThreads};
  caf::actor_system system_{system_config_};
  std::unique_ptr<link::LinkHost> host_;   // to the coordinator
  std::unique_ptr<link::LinkHost> pairs_;  // to the ranks
  std::shared_ptr<const RankLauncher> launcher_;
  std::unique_ptr<link::Dial> dial_;
  actors::CoordinatorProxyHandle proxy_;
};

}  // namespace

Expected<std::unique_ptr<NodeProcess>> NodeProcess::start(NodeProcessConfig config) {
  const auto opened = model::open_model(config.model, config.encoding);
  if (!opened) return fail(opened.error());
  config.model = opened->files;  // its ranks open the same files
  auto cut = placement::cut_model(opened->config(), config.tensor_parallel,
                                  {opened->own_encoding(), opened->is_gguf(), config.encoding, false});
  if (!cut) return fail(cut.error());
  cut->model.encoding = actors::encoding_of(*opened, cut->model.encoding.weights);
  auto plan = plan_with_patience(config, cut->model);
  if (!plan) return fail(plan.error());
  if (Status status = plan->replica.scheduler.validate(); !status.ok()) return fail(std::move(status));
  if (config.note) {
    const std::array<const std::vector<std::string>*, 3> all{&opened->warnings, &cut->notes, &plan->notes};
    for (const std::vector<std::string>* notes : all)
      for (const std::string& line : *notes) config.note(line);
  }
  link::LinkHostConfig links;
  links.mine = config.hello;
  links.tls = config.tls;
  links.seed = config.hello.incarnation;
  links.on_trouble = config.on_link;
  auto host = link::LinkHost::start(links);
  if (!host) return fail(host.error());
  links.tls.reset();
  links.limits.hello_s = kRankHelloSeconds;
  links.on_trouble = [note = config.note](const Status& status) {
    if (note) note(status.message());
  };
  auto pairs = link::LinkHost::start(std::move(links));
  if (!pairs) return fail(pairs.error());
  auto process = std::make_unique<Process>(std::move(config), std::move(cut->model), std::move(*plan), std::move(*host),
                                           std::move(*pairs));
  process->connect();
  return process;
}

}  // namespace herd::processes
