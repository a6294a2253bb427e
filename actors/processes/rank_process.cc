#include "actors/processes/rank_process.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <stop_token>
#include <thread>
#include <utility>

#include "actors/children/descriptor_channel.h"
#include "actors/link/link_host.h"
#include "actors/processes/leader_seat.h"
#include "actors/processes/task_queue.h"
#include "actors/ranks/progress_page.h"
#include "actors/ranks/single_rank_site.h"
#include "actors/remote/leader_proxy.h"
#include "actors/remote/node_proxy.h"
#include "actors/roles/live_ranks.h"
#include "actors/roles/rank_actor.h"
#include "cluster/config/cluster_spec.h"
#include "cluster/wire/group_codec.h"
#include "cluster/wire/rank_codec.h"
#include "kernels/death_mark.h"
#include "kernels/process_limits.h"
#include "runtime/steady_clock.h"
#include "runtime/text/address_text.h"

namespace herd::actors {
namespace {

using observability::LogLevel;
using std::chrono::milliseconds;

constexpr std::size_t kActorThreads = 2;     // replica, proxies; the rank has a thread of its own
constexpr int kThreadsBeside = 12;           // CAF's, connections, descriptors, the rank, its memory's, the caller's
constexpr milliseconds kFarewell{1'000};     // for the last words to its node and gateways
constexpr milliseconds kRankPatience{2'000};  // with a rank that is told to end
constexpr milliseconds kLossPatience{200};   // with a generation whose leader's rank has ended: it says how it was lost
constexpr double kLoadingSeconds = 0.2;      // between two notes of how far it has come
constexpr double kPortPatience_s = 3.0;      // with an address that somebody else has
constexpr char kLeaderEnd[] = "/leader";     // of a connection's name, see group_messages.h

// The peers of socket pairs are processes of this machine: their end is heard of at once, and who is paused for long comes back.
link::LinkLimits pair_limits() {
  link::LinkLimits limits;
  limits.hello_s = 60;
  limits.silence_min_s = limits.silence_max_s = limits.stall_s = 1e8;
  return limits;
}

handshake::Hello hello_of(const RankProcessConfig& config) {
  handshake::Hello hello;
  hello.cluster = config.cluster;
  hello.role = handshake::Role::kRank;
  hello.node = config.node;
  hello.incarnation = config.incarnation;
  hello.build_id = config.build_id;
  hello.model = "replica-" + std::to_string(config.replica.value);  // which one its node says later
  return hello;
}

Status out_of_memory() { return missing("out of memory (or of address space, ulimit -v); give the node fewer ranks, or lower num_blocks"); }

}  // namespace

struct RankProcess::Impl {
  explicit Impl(RankProcessConfig given) : config(std::move(given)), log(*config.log) {
    if (!config.clock) config.clock = steady_now;
  }
  ~Impl() { close(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Status start();
  Expected<std::unique_ptr<link::LinkHost>> start_host(std::optional<link::TlsFiles> tls, const link::LinkLimits& limits);
  Status run();
  void close();

  // The main thread:
  void on_spec(const placement::RankSpec& spec);
  Status make_rank(const placement::RankSpec& spec);
  Status listen();
  Status spawn_rank(const placement::RankSpec& spec);
  void on_form(const replica::FormReplica& order);
  void on_leave(Epoch epoch);
  void on_rank_ended(const replica::RankEnded& ended, routing::ReplicaGeneration about);
  void on_lost(const routing::ReplicaLoss& loss);
  void on_rank_over(const Status& why);
  void on_stop();
  void end(Status why);

  // The connections' thread:
  Status on_node_frame(const wire::OpenedFrame& frame);
  void on_node_closed(const Status& why);
  // The inbox's thread:
  void on_descriptor(const std::string& name);
  // The rank's thread:
  void on_loading(std::size_t done, std::size_t all);
  // The actors' threads:
  replica::RankReadyNote note_of(const RankReady& ready);
  [[nodiscard]] StepReads reads_of(const SingleRankFacts& facts, const scheduler::DeviceRates& rates) const;
  void on_stats(const replica::ReplicaStats& stats) {
    const std::scoped_lock lock(mutex);
    state.stats = stats;
  }
  SupervisorHandle spawn_node();

  void say(LogLevel level, const std::string& text) const { log.write(level, text); }

  struct System {
    System() : config(kActorThreads), actors(config) {}
    ActorSystemConfig config;
    caf::actor_system actors;
  };
  class NodeLink;

  RankProcessConfig config;
  observability::EventLog& log;
  TaskQueue tasks;
  std::stop_source loading;  // stopped: weights are not read on
  const std::shared_ptr<FramePort> node_port = std::make_shared<FramePort>();
  const std::shared_ptr<LiveRanks> live = std::make_shared<LiveRanks>();

  std::unique_ptr<System> system;
  std::shared_ptr<ProgressPage> progress;
  std::unique_ptr<link::LinkHost> pairs;     // to node, leader, other ranks
  std::shared_ptr<children::DescriptorInbox> inbox;  // the rank's thread waits in it

  // The main thread's, but for what the mutex guards:
  Status why_ended;
  bool leaving = false;  // its node knows
  bool closed = false;
  std::shared_ptr<SingleRankSite> site;
  std::unique_ptr<LeaderSeat> seat;
  Instant said_loading;  // the rank's thread

  mutable std::mutex mutex;  // of the below
  std::condition_variable node_gone;
  bool node_closed = false;
  RankHandle rank;
  std::unique_ptr<link::LinkHost> network;  // a leader's: to gateways
  std::shared_ptr<MoveLinks> moves;         // likewise: to other leaders
  std::shared_ptr<GatewayDesk> desk;        // likewise
  std::string address;  // of a leader, where it takes gateways
  RankProcessState state;
};

class RankProcess::Impl::NodeLink final : public link::LinkOwner {
 public:
  explicit NodeLink(Impl& process) : process_(process) {}
  void on_frame(wire::OpenedFrame frame) override {
    if (Status status = process_.on_node_frame(frame); !status.ok()) process_.node_port->finish(status);
    process_.node_port->consumed(frame);
  }
  void on_closed(const Status& why) override { process_.on_node_closed(why); }

 private:
  Impl& process_;
};

// Start and end --------------------------------------------------------------------------------------------------------

Expected<std::unique_ptr<link::LinkHost>> RankProcess::Impl::start_host(std::optional<link::TlsFiles> tls,
                                                                        const link::LinkLimits& limits) {
  link::LinkHostConfig host;
  host.mine = hello_of(config);
  host.tls = std::move(tls);
  host.limits = limits;
  host.seed = config.incarnation;
  host.on_trouble = [this](const Status& trouble) { say(LogLevel::kWarning, "connection: " + trouble.message()); };
  return link::LinkHost::start(std::move(host));
}

Status RankProcess::Impl::start() {
  children::OwnedFd link_fd(config.link_fd), descriptors(config.descriptors_fd);
  const children::OwnedFd page(config.progress_fd);
  if (Status status = probe_threads(kThreadsBeside); !status.ok()) return status;
  auto mapped = ProgressPage::map(page.get());
  if (!mapped) return mapped.error();
  progress = std::move(*mapped);
  auto host = start_host(std::nullopt, pair_limits());
  if (!host) return host.error();
  pairs = std::move(*host);
  system = std::make_unique<System>();
  forget_actor_system();  // this thread may outlive it
  inbox = std::make_shared<children::DescriptorInbox>(std::move(descriptors), [this](const std::string& name) { on_descriptor(name); });
  return pairs->adopt(link_fd.release(), {{handshake::Role::kNode, config.node}},
                      [this](std::shared_ptr<link::Link> link, const link::PeerOpened&) {
                        node_port->open(std::move(link));
                        return std::make_shared<NodeLink>(*this);
                      });
}

Status RankProcess::Impl::run() {
  try {
    tasks.run();
  } catch (const std::bad_alloc&) {
    why_ended = out_of_memory();
  }
  close();
  return why_ended;
}

void RankProcess::Impl::end(Status why) {
  if (why_ended.ok()) why_ended = std::move(why);
  tasks.end();
}

// Waits in a group are ended first; then last words, the rank's thread, connections, actors.
void RankProcess::Impl::close() {
  if (std::exchange(closed, true)) return;
  const Status why = why_ended.ok() ? Status{StatusCode::kAborted, "the rank's process ends"} : why_ended;
  loading.request_stop();
  if (inbox) inbox->stop();
  if (site) site->abort_group(config.replica, Epoch(UINT64_MAX), why);
  node_port->finish(why);
  if (seat) seat->desk()->finish(why);
  if (moves) moves->finish(why);
  {
    std::unique_lock lock(mutex);
    node_gone.wait_for(lock, kFarewell, [this] { return node_closed; });
    if (rank) caf::anon_send_exit(rank, caf::exit_reason::user_shutdown);
    rank = nullptr;
  }
  const bool hangs = !live->await_none(kRankPatience);
  seat.reset();
  std::unique_ptr<link::LinkHost> last;
  {
    const std::scoped_lock lock(mutex);
    last = std::move(network);
    desk = nullptr;
    moves = nullptr;
  }
  last.reset();
  pairs.reset();
  forget_actor_system();
  if (!hangs) return system.reset();
  (void)system.release();  // its destructor would wait for the thread that hangs
  if (why_ended.ok()) why_ended = {StatusCode::kAborted, "the rank's thread hangs"};
}

// What the node says ---------------------------------------------------------------------------------------------------

Status RankProcess::Impl::on_node_frame(const wire::OpenedFrame& frame) {
  const auto give = [this](auto decoded, auto then) -> Status {
    if (!decoded) return decoded.error();
    tasks.post([value = std::move(*decoded), then] { then(value); });
    return {};
  };
  switch (frame.header.kind) {
    case wire::FrameKind::kRankSpec:
      return give(wire::decode_rank_spec(frame.frame.words), [this](const placement::RankSpec& spec) { on_spec(spec); });
    case wire::FrameKind::kFormReplica:
      return give(wire::decode_form_replica(frame.frame.words), [this](const replica::FormReplica& order) { on_form(order); });
    case wire::FrameKind::kLeaveGroup:
      return give(wire::decode_leave_group(frame.frame.words), [this](const replica::LeaveGroupOrder& order) { on_leave(order.epoch); });
    case wire::FrameKind::kRankEnded:
      return give(wire::decode_rank_ended(frame.frame.words),
                  [this, about = frame.header.replica](const replica::RankEnded& ended) { on_rank_ended(ended, about); });
    case wire::FrameKind::kStopReplica:
      return give(wire::decode_stop_replica(frame.frame.words),
                  [this, about = frame.header.replica](const replica::StopReplicaOrder& order) {
                    if (seat && seat->generation() == about) seat->stop(order.drain_s);
                  });
    default:
      return bad_input("frame of kind " + std::to_string(static_cast<unsigned>(frame.header.kind)) + " from a node");
  }
}

void RankProcess::Impl::on_node_closed(const Status& why) {
  {
    const std::scoped_lock lock(mutex);
    node_closed = true;
    node_gone.notify_all();
  }
  tasks.post([this, why] {
    say(LogLevel::kInfo, "the node has closed: " + why.message());
    end({});
  });
}

void RankProcess::Impl::on_spec(const placement::RankSpec& spec) {
  if (site) return say(LogLevel::kWarning, "a second RankSpec is passed over");
  Status status;
  try {
    status = make_rank(spec);
  } catch (const std::bad_alloc&) {
    status = out_of_memory();
  }
  if (status.ok()) return;
  node_port->send(wire::encode(note_of({.rank = config.rank, .status = status, .rates = {}})));
  end(std::move(status));
}

Status RankProcess::Impl::make_rank(const placement::RankSpec& spec) {
  if (spec.replica != config.replica || spec.rank != config.rank)
    return bad_input("the rank is to be replica " + std::to_string(spec.replica.value) + ", rank " + std::to_string(spec.rank) +
                     ", and was started as another one");
  if (config.on_spec) config.on_spec(spec);
  if (Status threads = probe_threads(kThreadsBeside + spec.device.threads); !threads.ok()) return threads;
  SingleRankOptions options;
  options.spec = spec;
  options.stop = loading.get_token();
  options.find_group = [inbox = inbox, ranks = static_cast<int>(spec.ranks), deadline = spec.shape.step_timeout,
                        sharers = config.cpu_sharers](const Rendezvous& name) -> Expected<std::shared_ptr<const SharedGroup>> {
    auto memory = inbox->take(name, kDescriptorPatience);
    if (!memory) return fail(memory.error());
    return SharedGroup::map(memory->get(), ranks, {.deadline_ms = deadline.count(), .cpu_sharers = sharers});
  };
  options.load_progress = [this](std::size_t done, std::size_t all) { on_loading(done, all); };
  options.on_group = [this](Epoch epoch) { log.set_context("epoch", static_cast<std::int64_t>(epoch.value)); };
  options.hooks.wrap_rank = config.wrap_rank;
  options.hooks.commit_memory = true;
  options.hooks.warn = [this](const std::string& text) { say(LogLevel::kWarning, text); };
  auto opened = SingleRankSite::open_model(std::move(options));
  if (!opened) return opened.error();
  site = std::move(*opened);
  return spawn_rank(spec);
}

Status RankProcess::Impl::listen() {
  auto host = start_host(config.tls, {});
  if (!host) return host.error();
  auto links = std::make_shared<MoveLinks>(**host);
  // Gateways come with what is to be computed, other leaders for KV blocks.
  const link::OpenLink opener = [gateways = seat->desk()->opener(), leaders = links->opener()](std::shared_ptr<link::Link> link,
                                                                                               const link::PeerOpened& opened) {
    return opened.hello.role == handshake::Role::kRank ? leaders(std::move(link), opened) : gateways(std::move(link), opened);
  };
  // One that led the replica before may still be on its way out, and has the port until then.
  Expected<std::uint16_t> port = 0;
  for (const Instant begin = config.clock();;) {
    port = (*host)->listen(config::listen_address(config.host), config.port,
                           {{handshake::Role::kGateway, ""}, {handshake::Role::kRank, ""}}, opener);
    if (port || port.error().code() != StatusCode::kMissing || seconds_between(begin, config.clock()) > kPortPatience_s) break;
    std::this_thread::sleep_for(milliseconds(20));
  }
  if (!port) return port.error();
  seat->set_moves(links);
  const std::scoped_lock lock(mutex);
  moves = std::move(links);
  network = std::move(*host);
  address = text::address_text(config.host, *port);
  return {};
}

Status RankProcess::Impl::spawn_rank(const placement::RankSpec& spec) {
  mark_deaths(progress->mark(spec.rank));
  const SupervisorHandle node = spawn_node();
  RankStart start{.replica = spec.replica, .rank = spec.rank, .read_weights_again = false, .progress = progress->word(spec.rank)};
  RankHandle made = system->actors.spawn<caf::detached>(rank_actor, std::move(start), site, live);
  {
    const std::scoped_lock lock(mutex);
    rank = made;
  }
  if (config.rank == 0) {
    auto made_seat = std::make_unique<LeaderSeat>(LeaderParts{.system = &system->actors,
                                                    .pairs = pairs.get(),
                                                    .inbox = inbox.get(),
                                                    .node = config.node,
                                                    .replica = config.replica,
                                                    .site = site,
                                                    .progress = progress,
                                                    .rank = made,
                                                    .supervisor = node,
                                                    .on_step = config.on_step,
                                                    .on_stats = [this](const replica::ReplicaStats& stats) { on_stats(stats); },
                                                    .clock = config.clock});
    {
      const std::scoped_lock lock(mutex);
      desk = made_seat->desk();
    }
    seat = std::move(made_seat);
    if (Status listening = listen(); !listening.ok()) return listening;
  }
  caf::anon_send(made, PrepareRank{node});
  return {};
}

SupervisorHandle RankProcess::Impl::spawn_node() {
  NodeProxyConfig node;
  node.replica = config.replica;
  node.port = node_port;
  node.note = [this](const RankReady& ready) { return note_of(ready); };
  node.on_rank_over = [this](const Status& why) {
    tasks.post([this, why] { on_rank_over(why); });
  };
  node.on_serving = [this](const routing::ReplicaGeneration&) {
    const std::scoped_lock lock(mutex);
    state.serves = true;
  };
  node.on_lost = [this](const routing::ReplicaLoss& loss) { tasks.post([this, loss] { on_lost(loss); }); };
  return system->actors.spawn(node_proxy, std::move(node));
}

replica::RankReadyNote RankProcess::Impl::note_of(const RankReady& ready) {
  replica::RankReadyNote note;
  note.status = ready.status;
  note.metrics_address = config.metrics_address;
  const std::scoped_lock lock(mutex);
  note.address = address;
  state.loaded_percent = -1;
  if (!ready.status.ok()) return note;
  state.prepared = true;
  SingleRankFacts facts = site->single_facts();
  note.rates = ready.rates;
  if (config.on_loaded) config.on_loaded(reads_of(facts, ready.rates));
  note.numerics_class = std::move(facts.numerics_class);
  note.weights = facts.weights;
  note.device = std::move(facts.device);
  if (note.device.size() > wire::kRankTextBytesMax) note.device.resize(wire::kRankTextBytesMax);
  return note;
}

StepReads RankProcess::Impl::reads_of(const SingleRankFacts& facts, const scheduler::DeviceRates& rates) const {
  const placement::ShardedModel& model = site->model();
  const std::size_t ranks = model.shards.size();
  const std::int32_t block_size = site->spec().shape.block_size;
  return {.weight_bytes = facts.read_per_token * ranks,
          .kv_bytes_per_token = static_cast<std::uint64_t>(model.block_bytes_of_all_ranks(block_size) / block_size),
          .bytes_per_s = rates.bytes_per_s * static_cast<double>(ranks)};
}

void RankProcess::Impl::on_loading(std::size_t done, std::size_t all) {
  const Instant now = config.clock();
  if (done < all && seconds_between(said_loading, now) < kLoadingSeconds) return;
  said_loading = now;
  node_port->send(wire::encode(replica::RankLoading{done, all}));
  const std::scoped_lock lock(mutex);
  state.loaded_percent = all == 0 ? 100 : static_cast<std::int32_t>(100 * done / all);
}

// The groups of the rank -------------------------------------------------------------------------------------------------

// Another rank's: its leader's end came to the node's other child.
void RankProcess::Impl::on_descriptor(const std::string& name) {
  if (!name.ends_with(kLeaderEnd)) return;
  auto fd = inbox->take(name, milliseconds(0));
  if (!fd) return;
  RankHandle made;
  {
    const std::scoped_lock lock(mutex);
    made = rank;
  }
  if (!made) return say(LogLevel::kWarning, name + ": a leader's connection came before the rank was told what it is");
  const auto open = [this, made](std::shared_ptr<link::Link> link, const link::PeerOpened&) {
    return std::make_shared<GroupLink>(system->actors, std::move(link), config.replica, made, site);
  };
  if (Status status = pairs->adopt(fd->release(), {{handshake::Role::kRank, config.node}}, open); !status.ok())
    say(LogLevel::kWarning, name + ": " + status.message());
}

void RankProcess::Impl::on_form(const replica::FormReplica& order) {
  const routing::ReplicaGeneration made = order.view.route.generation;
  Status status = bad_input("rank " + std::to_string(config.rank) + " leads no replica");
  if (seat) status = !why_ended.ok() ? Status{StatusCode::kAborted, "its leader ends"} : seat->form(order);
  if (status.ok()) {
    const std::scoped_lock lock(mutex);
    state.epoch = made.epoch.value;
    return;
  }
  say(LogLevel::kWarning, "epoch " + std::to_string(made.epoch.value) + " is not formed: " + status.message());
  routing::ReplicaLoss loss;
  loss.replica = made;
  loss.cause = routing::LossCause::kOverdue;
  loss.why = status;
  loss.in_step.emplace();
  node_port->send(wire::encode(replica::GenerationEnded{std::move(loss), {}}), made);
}

void RankProcess::Impl::on_rank_ended(const replica::RankEnded& ended, routing::ReplicaGeneration about) {
  if (seat && (about == routing::ReplicaGeneration() || about == seat->generation())) seat->on_rank_ended(ended);
}

void RankProcess::Impl::on_leave(Epoch epoch) {
  if (!site) return;
  site->abort_group(config.replica, epoch, {StatusCode::kAborted, "its node has ended the group"});
  if (seat && seat->generation() && seat->generation()->epoch <= epoch) seat->stop(0);
  const std::scoped_lock lock(mutex);
  caf::anon_send(rank, LeaveGroup{epoch});
}

void RankProcess::Impl::on_lost(const routing::ReplicaLoss& loss) {
  say(loss.cause == routing::LossCause::kStopped ? LogLevel::kInfo : LogLevel::kWarning,
      "epoch " + std::to_string(loss.replica.epoch.value) + " has ended: " + loss.why.message());
  if (seat) seat->on_over(loss);
  {
    const std::scoped_lock lock(mutex);
    if (state.epoch != loss.replica.epoch.value) return;  // another one has taken its place
    state.serves = false;
    state.epoch = 0;
    state.stats.serving = false;
  }
  if (!why_ended.ok()) end({});
}

// The generation that it led says first how it was lost: with which steps under way, and who is to blame.
void RankProcess::Impl::on_rank_over(const Status& why) {
  if (!seat || !seat->generation()) return end(why);
  if (why_ended.ok()) why_ended = why;
  tasks.end_after(kLossPatience);
}

// Its node drains the replica, then takes leave of this rank and starts another one.
void RankProcess::Impl::on_stop() {
  if (std::exchange(leaving, true)) return;
  if (!site) return end({});
  node_port->send(wire::encode(replica::StopReplicaOrder{}));
}

// ----------------------------------------------------------------------------------------------------------------------

RankProcess::RankProcess(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RankProcess::~RankProcess() = default;

Expected<std::unique_ptr<RankProcess>> RankProcess::start(RankProcessConfig config) {
  auto impl = std::make_unique<Impl>(std::move(config));
  if (Status status = impl->start(); !status.ok()) return fail(std::move(status));
  return std::unique_ptr<RankProcess>(new RankProcess(std::move(impl)));
}

Status RankProcess::run() { return impl_->run(); }

void RankProcess::stop() {
  impl_->tasks.post([impl = impl_.get()] { impl->on_stop(); });
}

RankProcessState RankProcess::state() const {
  const std::scoped_lock lock(impl_->mutex);
  RankProcessState state = impl_->state;
  if (impl_->network) {
    state.gateways = impl_->network->stats();
    state.certificate_expires = impl_->network->certificate_expires_unix_seconds();
  }
  if (impl_->desk) state.stale_frames = impl_->desk->stale_frames();
  return state;
}

}  // namespace herd::actors
