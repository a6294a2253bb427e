#pragma once
// FramePort: one end of a connection for those who send: before it opens, frames wait; after its end they are dropped. No CAF.
// Any thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "actors/link/link_host.h"
#include "cluster/routing/replica_generation.h"
#include "cluster/wire/envelope.h"
#include "kernels/check.h"
#include "kernels/status.h"

namespace herd::actors {

// A frame's bytes are given back to its connection when the last that came of the frame has been dealt with.
[[nodiscard]] inline std::shared_ptr<const void> held_frame(const std::shared_ptr<link::Link>& link, const wire::OpenedFrame& frame) {
  return {nullptr, [link, bytes = frame.frame.words.size() * sizeof(std::uint64_t)](const void*) { link->consumed(bytes); }};
}

class FramePort {
 public:
  // The connection has opened: what waits goes out. Once.
  void open(std::shared_ptr<link::Link> link) {
    const std::scoped_lock lock(mutex_);
    link_ = std::move(link);
    for (const Waiting& frame : std::exchange(waiting_, {})) put(frame.frame, frame.about);
    if (finished_) link_->finish(*finished_);
  }

  // About that generation; none by default. A frame that cannot be sent ends the connection, as its receiver would wait for it.
  void send(const wire::Frame& frame, routing::ReplicaGeneration about = {}) {
    const std::scoped_lock lock(mutex_);
    if (finished_) return;
    if (link_) return put(frame, about);
    HERD_CHECK(waiting_.size() < kWaitingMax, "little is said before a connection opens");
    waiting_.push_back({frame, about});
  }

  // What was sent goes out, then the connection closes.
  void finish(const Status& why) {
    const std::scoped_lock lock(mutex_);
    if (finished_) return;
    finished_ = why;
    if (link_) link_->finish(why);
  }

  // A frame that came is done with.
  void consumed(const wire::OpenedFrame& frame) {
    const std::scoped_lock lock(mutex_);
    if (link_) link_->consumed(frame.frame.words.size() * sizeof(std::uint64_t));
  }
  // The same at the end of what this returns. The connection is open.
  [[nodiscard]] std::shared_ptr<const void> held(const wire::OpenedFrame& frame) {
    const std::scoped_lock lock(mutex_);
    return held_frame(link_, frame);
  }

 private:
  static constexpr std::size_t kWaitingMax = 1024;
  struct Waiting {
    wire::Frame frame;
    routing::ReplicaGeneration about;
  };

  void put(const wire::Frame& frame, routing::ReplicaGeneration about) {
    if (Status sent = link_->send(frame, Epoch(), about); !sent.ok()) link_->finish(sent);
  }

  std::mutex mutex_;
  std::shared_ptr<link::Link> link_;
  std::vector<Waiting> waiting_;     // before it is open
  std::optional<Status> finished_;
};

}  // namespace herd::actors
