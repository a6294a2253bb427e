#include "actors/remote/rank_child.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <span>
#include <string>
#include <utility>

#include "cluster/wire/group_codec.h"
#include "cluster/wire/membership_codec.h"
#include "cluster/wire/rank_codec.h"

namespace herd::actors {
namespace {

constexpr std::chrono::seconds kToEndInOrder{5};
constexpr std::chrono::seconds kToEndWithoutLink{1};  // a process that was killed gives its memory back first

// The node's end of the connection with a rank's process.
class RankLink final : public link::LinkOwner {
 public:
  RankLink(RankChildHandle rank, const RankChildConfig& config)
      : rank_(std::move(rank)), channel_(config.channel), on_serving_(config.on_serving), on_ended_(config.on_ended) {}

  void on_frame(wire::OpenedFrame frame) override {
    if (Status status = take(frame); !status.ok()) channel_->port.finish(status);
    channel_->port.consumed(frame);
  }
  void on_hung() override { hangs_ = true; }
  void on_closed(const Status& why) override { caf::anon_send(rank_, RankLinkLost{why, hangs_}); }

 private:
  Status take(const wire::OpenedFrame& frame) {
    const std::span<const std::uint64_t> words = frame.frame.words;
    switch (frame.header.kind) {
      case wire::FrameKind::kRankLoading: return pass_on(wire::decode_rank_loading(words));
      case wire::FrameKind::kRankReady: return pass_on(wire::decode_rank_ready(words));
      case wire::FrameKind::kRankLeft: return pass_on(wire::decode_rank_left(words));
      case wire::FrameKind::kRankFailed: return pass_on(wire::decode_rank_failed(words));
      case wire::FrameKind::kStopReplica: return pass_on(wire::decode_stop_replica(words));
      case wire::FrameKind::kServing: return tell(on_serving_, wire::decode_serving(words));
      case wire::FrameKind::kGenerationEnded: return tell(on_ended_, wire::decode_generation_ended(words));
      default: return bad_input("a frame that no rank sends its node");
    }
  }
  template <class Note>
  Status pass_on(Expected<Note> note) {
    if (!note) return note.error();
    caf::anon_send(rank_, RankSaid{std::move(*note)});
    return {};
  }
  template <class Listener, class Note>
  Status tell(const Listener& listener, const Expected<Note>& note) {
    if (!note) return note.error();
    if (listener) listener(*note);
    return {};
  }

  const RankChildHandle rank_;
  const std::shared_ptr<RankChannel> channel_;
  const std::function<void(const membership::Serving&)> on_serving_;
  const std::function<void(const replica::GenerationEnded&)> on_ended_;
  bool hangs_ = false;
};

// The last line that a process wrote, fit to be shown anywhere.
std::string last_line(std::string_view words) {
  constexpr std::size_t kBytesMax = 200;
  while (!words.empty() && words.back() == '\n') words.remove_suffix(1);
  if (const std::size_t before = words.rfind('\n'); before != std::string_view::npos) words.remove_prefix(before + 1);
  std::string line(words.substr(0, kBytesMax));
  std::ranges::replace_if(line, [](char c) { return c < 0x20 || c > 0x7E; }, '?');
  return line;
}

// "killed by signal 9 (SIGKILL)"; of one that died of itself with its last words, which say why.
std::string death_text(const children::ChildEnd& end) {
  std::string text = children::end_text(end);
  const bool of_itself = !children::ended_from_outside(end) && (end.by_signal || end.code != 0);
  if (const std::string line = last_line(end.last_words); of_itself && !line.empty()) text += ": " + line;
  return text;
}

routing::RankLoss death_of(std::uint32_t rank, const children::ChildEnd& end) {
  return {children::ended_from_outside(end) ? routing::LossCause::kKilled : routing::LossCause::kDiedOfItself,
          {StatusCode::kAborted, "rank " + std::to_string(rank) + (end.by_signal ? " was " : " ") + death_text(end)}};
}

}  // namespace

void RankChildState::start(RankChildConfig config) {
  config_ = std::move(config);
  end_process_on_exception(self_);
  actors::on_end_asked(self_, [this] { on_end_asked(); });
}

void RankChildState::on_prepare(const PrepareRank& order) {
  supervisor_ = order.supervisor;
  report([](report::ProcessReport& rank) {
    rank.state = report::ProcessState::kStarting;
    if (!rank.last_death.empty()) ++rank.restarts;
    rank.pid = 0;
    rank.epoch = 0;
    rank.loaded_percent = -1;
  });
  if (Status status = launch(); !status.ok()) leave(status);
}

// Descriptors are made here and given to the child by the keeper's thread; the child's ends are closed once it has them.
Status RankChildState::launch() {
  auto link = children::link_socket_pair();
  if (!link) return link.error();
  auto descriptors = children::descriptor_socket_pair();
  if (!descriptors) return descriptors.error();
  config_.progress->mark(config_.spec.rank)->leave(0);  // the death of the one before is told
  const RankLauncher& launcher = *config_.launcher;
  config_.channel->descriptors = std::move(descriptors->first);
  const RankChildHandle me(self_);
  const auto owner = [me, config = config_](std::shared_ptr<link::Link> opened, const link::PeerOpened&) {
    config.channel->port.open(std::move(opened));
    return std::make_shared<RankLink>(me, config);
  };
  if (Status status = launcher.host->adopt(link->first.release(), {{handshake::Role::kRank, launcher.node}}, owner); !status.ok())
    return status;
  config_.channel->port.send(wire::encode(config_.spec));
  children::ChildSpec spec;
  spec.argv = launcher.argv(config_.spec);
  spec.cpus = config_.cpus;
  spec.own_group = true;
  spec.descriptors = {{RankLauncher::kLinkFd, link->second.get()},
                      {RankLauncher::kDescriptorsFd, descriptors->second.get()},
                      {RankLauncher::kProgressFd, config_.progress->descriptor()}};
  const auto ends = std::make_shared<std::pair<children::OwnedFd, children::OwnedFd>>(std::move(link->second),
                                                                                     std::move(descriptors->second));
  const auto on_line = [on_line = launcher.on_line, replica = config_.spec.replica, rank = config_.spec.rank](std::string_view line, bool) {
    if (on_line) on_line(replica, rank, line);
  };
  launcher.keeper->post([me, spec, ends, on_line, page = config_.progress](children::ChildProcesses& children) {
    const auto pid = children.start(spec, on_line, [me](const children::ChildEnd& end) { caf::anon_send(me, ChildOver{end}); });
    *ends = {};
    caf::anon_send(me, pid ? ChildStarted{*pid, {}} : ChildStarted{0, pid.error()});
  });
  return {};
}

void RankChildState::on_started(const ChildStarted& started) {
  if (!started.status.ok()) return leave(started.status);
  pid_ = started.pid;
  report([this](report::ProcessReport& rank) { rank.pid = pid_; });
  if (told_to_end_) kill();
}

void RankChildState::on_leave(const LeaveGroup& order) {
  config_.channel->port.send(wire::encode(replica::LeaveGroupOrder{order.epoch}), {config_.spec.replica, order.epoch});
}

void RankChildState::on_said(const replica::RankLoading& loading) {
  report([&](report::ProcessReport& rank) {
    rank.loaded_percent = static_cast<std::int32_t>(100.0 * static_cast<double>(loading.done_bytes) /
                                                    static_cast<double>(std::max<std::uint64_t>(1, loading.all_bytes)));
  });
}

void RankChildState::on_said(const replica::RankReadyNote& ready) {
  if (ready_ || refused_) return;
  const Status status = ready.status.ok() ? config_.on_ready(ready) : ready.status;
  if (!status.ok()) {
    refused_ = status;
    return ready.status.ok() ? kill() : on_end_asked();
  }
  ready_ = true;
  report([&](report::ProcessReport& rank) {
    rank.loaded_percent = -1;
    rank.metrics_url = ready.metrics_address.empty() ? "" : "http://" + ready.metrics_address + "/metrics";
  });
  RankReady told;
  told.rank = config_.spec.rank;
  told.rates = ready.rates;
  self_->send(supervisor_, std::move(told));
}

void RankChildState::on_said(const replica::RankLeftNote& left) {
  self_->send(supervisor_, RankLeft{config_.spec.rank, left.epoch});
}

// It ends by itself.
void RankChildState::on_said(const replica::RankFailedNote& failed) {
  refused_ = failed.why;
  on_end_asked();
}

void RankChildState::on_said(const replica::StopReplicaOrder&) {
  if (!supervisor_ || std::exchange(leaving_, true)) return;
  report([](report::ProcessReport& rank) { rank.state = report::ProcessState::kDraining; });
  self_->send(supervisor_, RankLeaving{config_.spec.rank});
}

// It may just be ending, which is heard of a moment later; not so one that hangs.
void RankChildState::on_link_lost(const RankLinkLost& lost) {
  link_lost_ = lost.why;
  hangs_ = lost.hangs;
  if (hangs_) return kill();
  if (told_to_end_) return;  // it has its time
  tell_self_after(self_, kToEndWithoutLink, KillRank{});
}

// It ends when its node takes leave. A second SIGTERM would hurry one that had the first from somebody else; one that does not hear
// its node yet ends by the signal.
void RankChildState::on_end_asked() {
  told_to_end_ = true;
  config_.channel->port.finish({StatusCode::kAborted, "its node ends this rank"});
  if (!leaving_) signal(SIGTERM);
  tell_self_after(self_, kToEndInOrder, KillRank{});
}

void RankChildState::kill() {
  if (link_lost_ && !told_to_end_ && !refused_)
    refused_ = {StatusCode::kAborted, "rank " + std::to_string(config_.spec.rank) + " could not be reached any more and was ended: " +
                                          link_lost_->message()};
  told_to_end_ = true;
  signal(SIGKILL);
}

void RankChildState::signal(int number) {
  if (pid_ == 0) return;  // on_started comes back to it
  config_.launcher->keeper->post([pid = static_cast<pid_t>(pid_), number](children::ChildProcesses& children) {
    children.signal(pid, number);
  });
}

void RankChildState::on_over(const ChildOver& over) {
  routing::RankLoss death = death_of(config_.spec.rank, over.end);
  if (refused_) death.why = *refused_;  // how it ended is how it was ended for that
  if (refused_ && hangs_) death.cause = routing::LossCause::kOverdue;
  report([&](report::ProcessReport& rank) {
    rank.pid = 0;
    rank.state = report::ProcessState::kStopped;
    rank.epoch = 0;
    rank.loaded_percent = -1;
    rank.metrics_url.clear();
    rank.last_death = death_text(over.end);
  });
  config_.launcher->roster->count_death(children::end_text(over.end));
  config_.on_death(death);
  leave(death.why);
}

void RankChildState::leave(const Status& why) {
  config_.channel->port.finish(why);
  if (ready_) {
    self_->send(supervisor_, RankFailed{config_.spec.rank, why});
  } else {
    RankReady never;
    never.rank = config_.spec.rank;
    never.status = why;
    self_->send(supervisor_, std::move(never));
  }
  self_->quit();
}

RankChildHandle::behavior_type rank_child(RankChildState::Self self, RankChildConfig config) {
  RankChildState& state = self->state;
  state.start(std::move(config));
  return {
      [&state](const PrepareRank& order) { state.on_prepare(order); },
      [](const JoinGroup&) {},  // its leader says so, in its own process; likewise below
      [](const ExecutePlan&) {},
      [](const TakeBlock&) {},
      [](const CollectStep&) {},
      [&state](const LeaveGroup& order) { state.on_leave(order); },
      [&state](const ChildStarted& started) { state.on_started(started); },
      [&state](const ChildOver& over) { state.on_over(over); },
      [&state](const RankSaid& said) { std::visit([&](const auto& note) { state.on_said(note); }, said.note); },
      [&state](const RankLinkLost& lost) { state.on_link_lost(lost); },
      [&state](const KillRank&) { state.kill(); },
  };
}

}  // namespace herd::actors
