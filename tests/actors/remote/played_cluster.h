#pragma once
// A coordinator and leaders that a test plays, over real connections with certificates: what a gateway meets in a cluster of
// processes. Nothing happens by itself: views are pushed and tokens made when the test says so.

#include <algorithm>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/link/link_host.h"
#include "cluster/report/process_report.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/gateway_join.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/group_codec.h"
#include "cluster/wire/report_codec.h"
#include "tests/actors/link/link_ground.h"
#include "tests/actors/toy_cluster.h"

namespace herd::actors {

// One process that listens: what comes in on its connections is handed to `on_frame` under its lock.
class PlayedPeer {
 protected:
  using LinkPtr = std::shared_ptr<link::Link>;
  template <class Look>
  auto look(Look look) {
    const std::scoped_lock lock(mutex_);
    return look();
  }

 public:
  PlayedPeer(handshake::Role role, const std::string& name, std::optional<link::TlsFiles> files, std::uint16_t port = 0) {
    link::LinkHostConfig config = link::host_config(role, name, std::move(files), record_);
    host_ = link::LinkHost::start(std::move(config)).value();
    port_ = host_->listen("127.0.0.1", port, link::kGateways, opener()).value();
  }
  virtual ~PlayedPeer() { stop(); }
  PlayedPeer(const PlayedPeer&) = delete;
  PlayedPeer& operator=(const PlayedPeer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::size_t connections() { return look([&] { return connections_; }); }  // that ever came
  [[nodiscard]] std::size_t joins() { return look([&] { return joins_.size(); }); }
  [[nodiscard]] routing::GatewayJoin join(std::size_t index) { return look([&] { return joins_.at(index); }); }
  // Under await()'s lock.
  [[nodiscard]] bool joined() const { return !joins_.empty(); }
  // Ends every connection of the moment; others may come.
  void cut() {
    for (const auto& link : look([&] { return links_; })) link->finish({StatusCode::kAborted, "cut by the test"});
  }
  // As a process that is killed.
  void stop() { host_->stop(); }

  template <class Done>
  bool await(Done done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, link::kLong, done);
  }

 protected:
  // Under the lock:
  virtual void on_join(const LinkPtr& /*link*/, const routing::GatewayJoin& /*join*/) {}
  virtual void on_frame(const LinkPtr& /*link*/, const wire::OpenedFrame& /*frame*/) {}
  virtual void on_gone(const LinkPtr& /*link*/) {}

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<routing::GatewayJoin> joins_;
  std::vector<LinkPtr> links_;
  std::size_t connections_ = 0;

 private:
  class Owner final : public link::LinkOwner {
   public:
    Owner(PlayedPeer& peer, LinkPtr link) : peer_(peer), link_(std::move(link)) {}
    void on_frame(wire::OpenedFrame frame) override {
      link_->consumed(frame.frame.words.size() * sizeof(std::uint64_t));
      const std::scoped_lock lock(peer_.mutex_);
      if (frame.header.kind == wire::FrameKind::kGatewayJoin) {
        const auto join = wire::decode_gateway_join(frame.frame.words).value();
        peer_.joins_.push_back(join);
        peer_.on_join(link_, join);
      } else {
        peer_.on_frame(link_, frame);
      }
      peer_.changed_.notify_all();
    }
    void on_closed(const Status&) override {
      const std::scoped_lock lock(peer_.mutex_);
      std::erase(peer_.links_, link_);
      peer_.on_gone(link_);
      peer_.changed_.notify_all();
      link_.reset();
    }

   private:
    PlayedPeer& peer_;
    LinkPtr link_;
  };

  link::OpenLink opener() {
    return [this](LinkPtr link, const link::PeerOpened&) {
      const std::scoped_lock lock(mutex_);
      links_.push_back(link);
      ++connections_;
      changed_.notify_all();
      return std::make_shared<Owner>(*this, std::move(link));
    };
  }

  link::Record record_;
  std::unique_ptr<link::LinkHost> host_;
  std::uint16_t port_ = 0;
};

class PlayedCoordinator final : public PlayedPeer {
 public:
  using PlayedPeer::PlayedPeer;
  ~PlayedCoordinator() override { stop(); }

  // To every gateway, now and when one joins.
  void push(routing::ClusterView view) {
    const std::scoped_lock lock(mutex_);
    view_ = std::move(view);
    for (const LinkPtr& link : links_) send(link, wire::encode(*view_));
  }
  void lose(const routing::ReplicaLoss& loss) {
    const std::scoped_lock lock(mutex_);
    for (const LinkPtr& link : links_) send(link, wire::encode(loss));
  }
  std::vector<report::ProcessReports> reports() { return look([&] { return reports_; }); }
  bool await_reports(std::size_t count) {
    return await([&] { return reports_.size() >= count; });
  }

 private:
  static void send(const LinkPtr& link, const wire::Frame& frame) { (void)link->send(frame, {}, {}); }
  void on_join(const LinkPtr& link, const routing::GatewayJoin&) override {
    if (view_) send(link, wire::encode(*view_));
  }
  void on_frame(const LinkPtr&, const wire::OpenedFrame& frame) override {
    if (frame.header.kind == wire::FrameKind::kProcessReports)
      reports_.push_back(wire::decode_process_reports(frame.frame.words).value());
  }

  std::optional<routing::ClusterView> view_;
  std::vector<report::ProcessReports> reports_;
};

// Its tokens are toy_stream()'s, one of every open sequence a step.
class PlayedLeader final : public PlayedPeer {
 public:
  using PlayedPeer::PlayedPeer;
  ~PlayedLeader() override { stop(); }

  // It is the leader of that generation from here on, with nothing open. Gateways that have joined are told.
  void serve(routing::ReplicaGeneration generation) {
    const std::scoped_lock lock(mutex_);
    generation_ = generation;
    open_.clear();
    for (const LinkPtr& link : links_) report(link, generation);
  }
  void step() {
    const std::scoped_lock lock(mutex_);
    for (auto sequence = open_.begin(); sequence != open_.end();) {
      const bool last = sequence->next + 1 == sequence->stream.tokens.size();
      say(*sequence, last ? sequence->stream.finish : step::FinishReason::kNone, *generation_);
      ++sequence->next;
      sequence = last ? open_.erase(sequence) : std::next(sequence);
    }
  }
  // The next token again, under another generation or attempt; what is open stays as it is.
  void say_as(routing::ReplicaGeneration generation, std::uint32_t attempt) {
    const std::scoped_lock lock(mutex_);
    for (Open sequence : open_) {
      sequence.submission.attempt = attempt;
      say(sequence, step::FinishReason::kNone, generation);
    }
  }
  void report_as(routing::ReplicaGeneration generation) {
    const std::scoped_lock lock(mutex_);
    for (const LinkPtr& link : links_) report(link, generation);
  }
  // The first of what is open is refused.
  void refuse(const Status& why) {
    const std::scoped_lock lock(mutex_);
    step::TokenDelta delta = delta_of(open_.front());
    delta.finish = step::FinishReason::kRefused;
    delta.error = why;
    send(open_.front().link, delta, *generation_);
    open_.erase(open_.begin());
  }
  void lose(const routing::ReplicaLoss& loss, routing::ReplicaGeneration about) {
    const std::scoped_lock lock(mutex_);
    for (const LinkPtr& link : links_) (void)link->send(wire::encode(loss), {}, about);
  }
  // A payload that is none.
  void garble() {
    const std::scoped_lock lock(mutex_);
    for (const LinkPtr& link : links_) (void)link->send({wire::FrameKind::kTokenDeltas, wire::Words(4, ~0ULL)}, {}, *generation_);
  }

  bool await_open(std::size_t sequences) {
    return await([&] { return open_.size() == sequences; });
  }
  bool await_submissions(std::size_t count) {
    return await([&] { return submissions_.size() >= count; });
  }
  // Of the submissions that ever came.
  std::vector<step::Submission> submissions() { return look([&] { return submissions_; }); }
  std::size_t strangers() { return look([&] { return strangers_; }); }

 private:
  struct Open {
    LinkPtr link;
    step::Submission submission;
    sim::ToyStream stream;
    std::size_t next = 0;  // index of the token that comes next
  };

  static step::TokenDelta delta_of(const Open& sequence) {
    step::TokenDelta delta;
    delta.gateway = sequence.submission.gateway;
    delta.sequence = sequence.submission.sequence;
    delta.attempt = sequence.submission.attempt;
    return delta;
  }
  static void say(const Open& sequence, step::FinishReason finish, routing::ReplicaGeneration generation) {
    step::TokenDelta delta = delta_of(sequence);
    delta.has_token = true;
    delta.token.sequence = delta.sequence;
    delta.token.output_index = static_cast<std::uint32_t>(sequence.next);
    delta.token.token = sequence.stream.tokens.at(sequence.next);
    delta.finish = finish;
    send(sequence.link, delta, generation);
  }
  static void send(const LinkPtr& link, const step::TokenDelta& delta, routing::ReplicaGeneration generation) {
    (void)link->send(wire::encode(std::span(&delta, 1)), {}, generation);
  }
  static void report(const LinkPtr& link, routing::ReplicaGeneration generation) {
    replica::ReplicaReport report;
    report.stats.serving = true;
    (void)link->send(wire::encode(report), {}, generation);
  }
  void on_join(const LinkPtr& link, const routing::GatewayJoin&) override {
    if (generation_) report(link, *generation_);
  }
  void on_frame(const LinkPtr& link, const wire::OpenedFrame& frame) override {
    if (frame.header.kind == wire::FrameKind::kAbort) {
      const auto key = wire::decode_abort(frame.frame.words).value();
      std::erase_if(open_, [&](const Open& open) { return open.submission.key() == key; });
    } else if (frame.header.kind == wire::FrameKind::kSubmission) {
      auto submission = wire::decode_submission(frame.frame.words).value();
      submissions_.push_back(submission);
      if (frame.header.replica != generation_) {
        ++strangers_;
        return;
      }
      const std::size_t next = submission.tokens.size() - submission.prompt_tokens;
      auto stream = sim::toy_stream(submission, 1024, kToyVocabSize);
      open_.push_back({link, std::move(submission), std::move(stream), next});
    }
  }
  void on_gone(const LinkPtr& link) override {
    std::erase_if(open_, [&](const Open& open) { return open.link == link; });
  }

  std::optional<routing::ReplicaGeneration> generation_;
  std::vector<Open> open_;
  std::vector<step::Submission> submissions_;
  std::size_t strangers_ = 0;  // submissions of other generations
};

}  // namespace herd::actors
