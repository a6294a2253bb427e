#pragma once
// rank_child: a rank that is a process of its own, as its supervisor sees it. It has the process started, says what the rank is to be
// and passes on what comes from there; it ends when the process has ended, and not before, so that memory and ports are free for the
// next one. One for each life of a rank.
//   made --PrepareRank--> starting --its link opens, RankReadyNote--> prepared (RankReady to the supervisor)
//   prepared --LeaveGroup--> the rank is told, and answers (RankLeft)
//   any --its process was told to end--> the rank says so (RankLeaving to the supervisor), and goes on until it is told to end
//   any --told to end--> its link closes, SIGTERM, later SIGKILL --the process ends--> RankReady (not ok) or RankFailed, and why
// A process whose link is gone is ended: nobody can tell it anything any more.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "actors/children/child_keeper.h"
#include "actors/children/descriptor_channel.h"
#include "actors/link/link_host.h"
#include "actors/messages/type_ids.h"
#include "actors/ranks/progress_page.h"
#include "actors/remote/frame_port.h"
#include "actors/remote/rank_roster.h"
#include "cluster/membership/node_messages.h"
#include "cluster/placement/rank_spec.h"
#include "cluster/replica/group_messages.h"

namespace herd::actors {

// What a node starts rank processes with. Outlives them.
struct RankLauncher {
  std::string node;
  std::shared_ptr<children::ChildKeeper> keeper;
  link::LinkHost* host = nullptr;  // takes the ends of socket pairs; never null
  // The command line of a rank's process, which finds its descriptors under these numbers.
  static constexpr int kLinkFd = 3, kDescriptorsFd = 4, kProgressFd = 5;
  std::function<std::vector<std::string>(const placement::RankSpec&)> argv;
  // A line that a rank wrote on stderr. The keeper's thread; may be empty.
  std::function<void(ReplicaId, std::uint32_t rank, std::string_view line)> on_line;
  std::shared_ptr<RankRoster> roster;
};

// What the node has of a rank's process beside its actor, for who forms a group of it. Made anew with each life. Any thread.
struct RankChannel {
  FramePort port;
  children::OwnedFd descriptors;  // of the DescriptorInbox at the other end
};

struct RankChildConfig {
  placement::RankSpec spec;
  std::vector<int> cpus;  // that it may run on; empty: as its node
  std::shared_ptr<const RankLauncher> launcher;
  std::shared_ptr<RankChannel> channel;
  std::shared_ptr<ProgressPage> progress;
  // Whether it may join the others; not ok: it is ended. On the actor's thread, as the next.
  std::function<Status(const replica::RankReadyNote&)> on_ready;
  std::function<void(const routing::RankLoss&)> on_death;
  // What a leader says of its generation. On the link's thread.
  std::function<void(const membership::Serving&)> on_serving;
  std::function<void(const replica::GenerationEnded&)> on_ended;
};

// To a rank_child, from the keeper's thread, its link and whoever wants it gone.
struct ChildStarted {
  std::int64_t pid = 0;
  Status status;
};
struct ChildOver {
  children::ChildEnd end;
};
struct RankSaid {
  std::variant<replica::RankLoading, replica::RankReadyNote, replica::RankLeftNote, replica::RankFailedNote, replica::StopReplicaOrder>
      note;
};
struct RankLinkLost {
  Status why;
  bool hangs = false;  // nobody has ended the connection: the process does nothing
};
struct KillRank {};  // it was told to end and is still there, or is to end at once

using RankChildHandle = RankHandle::extend<caf::reacts_to<ChildStarted>, caf::reacts_to<ChildOver>, caf::reacts_to<RankSaid>,
                                           caf::reacts_to<RankLinkLost>, caf::reacts_to<KillRank>>;

class RankChildState {
 public:
  using Self = RankChildHandle::stateful_pointer<RankChildState>;
  explicit RankChildState(Self self) : self_(self) {}
  void start(RankChildConfig config);

  void on_prepare(const PrepareRank& order);
  void on_leave(const LeaveGroup& order);
  void on_started(const ChildStarted& started);
  void on_over(const ChildOver& over);
  void on_link_lost(const RankLinkLost& lost);
  void kill();
  void on_said(const replica::RankLoading& loading);
  void on_said(const replica::RankReadyNote& ready);
  void on_said(const replica::RankLeftNote& left);
  void on_said(const replica::RankFailedNote& failed);
  void on_said(const replica::StopReplicaOrder& leaving);

 private:
  void on_end_asked();
  [[nodiscard]] Status launch();
  void signal(int number);
  // It never came to be a process, or that has ended.
  void leave(const Status& why);
  template <class Change>
  void report(Change change) {
    config_.launcher->roster->update(config_.spec.replica, config_.spec.rank, std::move(change));
  }

  Self self_;
  RankChildConfig config_;
  SupervisorHandle supervisor_;      // known from PrepareRank on
  std::int64_t pid_ = 0;             // 0: it is not started yet
  bool ready_ = false;               // and its supervisor knows
  bool told_to_end_ = false;
  bool leaving_ = false;             // by somebody else, as it says
  std::optional<Status> link_lost_;
  bool hangs_ = false;  // its process, as far as its connection told
  std::optional<Status> refused_;    // it said so, or it must not join: known before it ends
};

RankChildHandle::behavior_type rank_child(RankChildState::Self self, RankChildConfig config);

}  // namespace herd::actors

HERD_LOCAL_MESSAGE(herd::actors::ChildOver)
HERD_LOCAL_MESSAGE(herd::actors::ChildStarted)
HERD_LOCAL_MESSAGE(herd::actors::KillRank)
HERD_LOCAL_MESSAGE(herd::actors::RankLinkLost)
HERD_LOCAL_MESSAGE(herd::actors::RankSaid)
