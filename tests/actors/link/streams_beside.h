#pragma once
// Streams of frames over connections that nobody disturbs: what goes wrong on others must not be seen on them. Every frame is
// looked at when it comes: the next of its stream, and every word of it as it was sent.

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "actors/link/link_host.h"
#include "tests/actors/link/link_ground.h"

namespace herd::link {

class StreamsBeside {
 public:
  static constexpr std::size_t kStreams = 8;

  // The leader's end: give this to its listener. The first kStreams connections are streams; nobody owns the others here.
  std::shared_ptr<LinkOwner> take(std::shared_ptr<Link> link) {
    const std::size_t stream = opened_.load();
    if (stream == kStreams) return nullptr;
    senders_[stream] = std::move(link);
    ++opened_;
    return std::make_shared<Sender>(*this);
  }
  // The gateway's end.
  OpenLink opener() {
    return [this](std::shared_ptr<Link> link, const PeerOpened&) { return std::make_shared<Receiver>(*this, std::move(link)); };
  }

  void start() {
    sending_ = true;
    thread_ = std::thread([this] {
      while (sending_) {
        for (std::size_t stream = 0; stream < opened_; ++stream) send_next(stream);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    });
  }
  // Everything that was sent has come.
  bool end() {
    sending_ = false;
    if (thread_.joinable()) thread_.join();
    return wait([&] {
      for (std::size_t stream = 0; stream < kStreams; ++stream)
        if (received_[stream] != sent_[stream]) return false;
      return true;
    });
  }
  bool all_opened() {
    return wait([&] { return opened_ == kStreams; });
  }
  // From now on each of them gets some more frames.
  bool go_on() {
    std::array<std::uint64_t, kStreams> before;
    for (std::size_t stream = 0; stream < kStreams; ++stream) before[stream] = received_[stream];
    return wait([&] {
      for (std::size_t stream = 0; stream < kStreams; ++stream)
        if (received_[stream] < before[stream] + 3) return false;
      return true;
    });
  }
  // No frame was missing, repeated, out of order or changed, and no connection ended.
  [[nodiscard]] bool whole() const { return wrong_ == 0 && ended_ == 0; }
  [[nodiscard]] std::uint64_t frames() const {
    std::uint64_t all = 0;
    for (const auto& count : received_) all += count;
    return all;
  }

 private:
  class Sender final : public LinkOwner {
   public:
    explicit Sender(StreamsBeside& streams) : streams_(streams) {}
    void on_frame(wire::OpenedFrame) override { ++streams_.wrong_; }
    void on_closed(const Status&) override { ++streams_.ended_; }

   private:
    StreamsBeside& streams_;
  };
  class Receiver final : public LinkOwner {
   public:
    Receiver(StreamsBeside& streams, std::shared_ptr<Link> link) : streams_(streams), link_(std::move(link)) {}
    void on_frame(wire::OpenedFrame frame) override {
      link_->consumed(frame.frame.words.size() * 8);
      const std::size_t stream = frame.header.replica.replica.value;
      const std::uint64_t number = frame.header.replica.epoch.value;
      if (number != streams_.received_.at(stream) || frame.frame != frame_of(stream, number)) ++streams_.wrong_;
      ++streams_.received_[stream];
    }
    void on_closed(const Status&) override {
      ++streams_.ended_;
      link_.reset();
    }

   private:
    StreamsBeside& streams_;
    std::shared_ptr<Link> link_;
  };

  // Mostly short, like tokens; now and then one of several fragments.
  static wire::Frame frame_of(std::uint64_t stream, std::uint64_t number) {
    wire::Words words(number % 100 == 7 ? 5000 : 1 + number * 13 % 60);
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = (stream << 56) ^ (number << 20) ^ i;
    return {wire::FrameKind::kTokenDeltas, std::move(words)};
  }
  void send_next(std::size_t stream) {
    if (sent_[stream] > received_[stream] + 64) return;
    const std::uint64_t number = sent_[stream]++;
    const routing::ReplicaGeneration names{ReplicaId(static_cast<std::uint32_t>(stream)), Epoch(number)};
    if (!senders_[stream]->send(frame_of(stream, number), Epoch(1), names).ok()) ++wrong_;
  }
  template <class Done>
  static bool wait(Done done) {
    const auto until = std::chrono::steady_clock::now() + kLong;
    while (!done()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  std::array<std::shared_ptr<Link>, kStreams> senders_;
  std::array<std::atomic<std::uint64_t>, kStreams> sent_{}, received_{};
  std::atomic<std::size_t> opened_{0};
  std::atomic<std::uint64_t> wrong_{0}, ended_{0};
  std::atomic<bool> sending_{false};
  std::thread thread_;
};

}  // namespace herd::link
