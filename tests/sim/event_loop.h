#pragma once
// Virtual time: events in order of their time, then of their making. One thread; nothing here reads a clock.

#include <algorithm>
#include <cstdint>
#include <functional>

#include <queue>
#include <tuple>
#include <utility>
#include <vector>

#include "runtime/clock.h"
#include "tests/sim/chance.h"

namespace herd::sim {

class EventLoop {
 public:
  using Event = std::function<void()>;

  [[nodiscard]] Instant now() const { return now_; }
  void at(Instant when, Event event) { events_.push({std::max(when, now_), next_++, std::move(event)}); }
  void after(std::int64_t us, Event event) { at({now_.ns + us * 1000}, std::move(event)); }

  // False when nothing is left.
  bool run_one() {
    if (events_.empty()) return false;
    Entry entry = std::move(const_cast<Entry&>(events_.top()));  // popped at once
    events_.pop();
    now_ = entry.when;
    ++events_run_;
    entry.event();
    return true;
  }
  [[nodiscard]] std::uint64_t events_run() const { return events_run_; }

 private:
  struct Entry {
    Instant when;
    std::uint64_t number;
    Event event;
    bool operator<(const Entry& other) const {  // the queue's top is its largest
      return std::tie(when, number) > std::tie(other.when, other.number);
    }
  };
  Instant now_{1};
  std::uint64_t next_ = 0;
  std::uint64_t events_run_ = 0;
  std::priority_queue<Entry> events_;
};

// Delivers in the order of sending, each after a random delay.
class Link {
 public:
  void send(EventLoop& loop, Chance& chance, std::int64_t delay_us_max, EventLoop::Event event) {
    last_ = std::max(last_, Instant{loop.now().ns + chance.us_up_to(delay_us_max) * 1000});
    loop.at(last_, std::move(event));
  }

 private:
  Instant last_;
};

}  // namespace herd::sim
