// A rank's process that computes nothing: it says what a rank says, takes what it is handed, and dies as it is told. The variable
// FAKE_RANK says how it behaves: "refuses" cannot be made, "changes" reads other weights in each life, "busy" never finishes
// what it drains where it has more than a minute for it.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "actors/children/descriptor_channel.h"
#include "actors/link/link_host.h"
#include "cluster/wire/group_codec.h"
#include "cluster/wire/membership_codec.h"
#include "cluster/wire/rank_codec.h"

namespace herd::actors {
namespace {

using wire::FrameKind;

class FakeRank {
 public:
  explicit FakeRank(std::map<std::string, std::string> flags)
      : flags_(std::move(flags)), inbox_(children::OwnedFd(number("--descriptors-fd"))) {
    if (const char* behaviour = std::getenv("FAKE_RANK")) behaviour_ = behaviour;
  }

  void run() {
    // Before there is another thread.
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, nullptr);
    link::LinkHostConfig config;
    config.mine.cluster = flags_.at("--cluster");
    config.mine.role = handshake::Role::kRank;
    config.mine.node = flags_.at("--node");
    config.mine.incarnation = 1;
    config.mine.model = "fake";
    config.on_trouble = [](const Status& status) { std::fprintf(stderr, "%s\n", status.message().c_str()); };
    host_ = link::LinkHost::start(std::move(config)).value();
    const auto open = [this](std::shared_ptr<link::Link> link, const link::PeerOpened&) {
      const std::scoped_lock lock(mutex_);
      link_ = std::move(link);
      return std::make_shared<Owner>(*this);
    };
    const Status adopted = host_->adopt(number("--link-fd"), {{handshake::Role::kNode, flags_.at("--node")}}, open);
    if (!adopted.ok()) std::fprintf(stderr, "%s\n", adopted.message().c_str());
    std::fprintf(stderr, "rank %d is here\n", number("--rank"));
    std::thread([this, term] {
      for (int number = 0; sigwait(&term, &number) == 0;) say(wire::encode(replica::StopReplicaOrder{}));
    }).detach();
    over_.get_future().wait();
  }

 private:
  class Owner final : public link::LinkOwner {
   public:
    explicit Owner(FakeRank& rank) : rank_(rank) {}
    void on_frame(wire::OpenedFrame frame) override { rank_.on_frame(frame); }
    void on_closed(const Status& why) override {
      std::fprintf(stderr, "its node is gone: %s\n", why.message().c_str());
      rank_.over_.set_value();
    }

   private:
    FakeRank& rank_;
  };

  [[nodiscard]] int number(const char* flag) const { return std::atoi(flags_.at(flag).c_str()); }
  void say(const wire::Frame& frame, routing::ReplicaGeneration about = {}) {
    const std::scoped_lock lock(mutex_);
    if (!link_) std::_Exit(0);  // it was told to end before anybody heard of it
    (void)link_->send(frame, Epoch(), about);
  }

  void on_frame(const wire::OpenedFrame& frame) {
    const auto& words = frame.frame.words;
    const routing::ReplicaGeneration about = frame.header.replica;
    switch (frame.header.kind) {
      case FrameKind::kRankSpec: return prepare(*wire::decode_rank_spec(words));
      case FrameKind::kFormReplica: return form(*wire::decode_form_replica(words));
      case FrameKind::kRankEnded: {
        const auto ended = wire::decode_rank_ended(words);
        return end(about, ended->loss.cause, ended->loss.why);
      }
      case FrameKind::kStopReplica:
        if (behaviour_ == "busy" && wire::decode_stop_replica(words)->drain_s > 60) return;
        return end(about, routing::LossCause::kStopped, {StatusCode::kAborted, "it was stopped"});
      case FrameKind::kLeaveGroup:
        return say(wire::encode(replica::RankLeftNote{wire::decode_leave_group(words)->epoch}), about);
      default: std::_Exit(1);
    }
  }

  void prepare(const placement::RankSpec& spec) {
    replica::RankReadyNote ready;
    if (behaviour_ == "refuses") ready.status = missing("no memory for weights");
    ready.numerics_class = "cpu-2";
    ready.weights.shared_out = {behaviour_ == "changes" ? static_cast<std::uint64_t>(getpid()) : 0, spec.rank + 1};
    ready.weights.whole = {0, 9};
    ready.rates.flops_per_s = 1e9;
    if (spec.rank == 0) ready.address = "127.0.0.1:4711";
    ready.device = "none";
    say(wire::encode(ready));
  }

  // As a leader: all that it is to be handed is there.
  void form(const replica::FormReplica& order) {
    const auto here = [this](const std::string& name) { return inbox_.take(name, std::chrono::seconds(10)).has_value(); };
    bool all = here(order.rendezvous);
    for (std::uint32_t rank = 1; rank < order.ranks; ++rank) all = here(order.rendezvous + "/" + std::to_string(rank)) && all;
    if (!all) std::_Exit(1);
    routing::ReplicaView view = order.view;
    view.state = routing::ReplicaState::kServing;
    say(wire::encode(membership::Serving{view}), view.route.generation);
  }

  void end(routing::ReplicaGeneration about, routing::LossCause cause, const Status& why) {
    replica::GenerationEnded ended;
    ended.loss.replica = about;
    ended.loss.cause = cause;
    ended.loss.why = why;
    say(wire::encode(ended), about);
  }

  const std::map<std::string, std::string> flags_;
  std::string behaviour_;
  std::promise<void> over_;
  children::DescriptorInbox inbox_;
  std::mutex mutex_;  // of the next
  std::shared_ptr<link::Link> link_;
  std::unique_ptr<link::LinkHost> host_;
};

}  // namespace
}  // namespace herd::actors

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  herd::actors::FakeRank rank(std::move(flags));
  rank.run();
  std::_Exit(0);  // the thread that takes signals goes on until then
}
