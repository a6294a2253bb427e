#pragma once
// Script: what comes from outside in a seed: habits of the network and of ranks, requests, poison, faults, each with a number.
// A run may leave out any of them; the others come as they would have come.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/clock.h"

namespace herd::sim {

struct SimOptions;

using EventNumbers = std::set<std::uint32_t>;

class Script {
 public:
  struct Event {
    Instant at;
    std::string what;  // and then what came of it
    bool kept = true;  // in this run
  };

  // Null: all of them come.
  explicit Script(std::shared_ptr<const EventNumbers> only) : only_(std::move(only)) {}

  // Its number; nullopt: this run does without it.
  std::optional<std::uint32_t> add(Instant at, std::string what);
  // What it was in this run.
  void happened(std::uint32_t number, std::string what) { events_[number].what = std::move(what); }
  [[nodiscard]] const std::vector<Event>& events() const { return events_; }

  // The options of this run: habits that are left out are off.
  [[nodiscard]] SimOptions with_habits(SimOptions options);

 private:
  std::shared_ptr<const EventNumbers> only_;
  std::vector<Event> events_;
};

}  // namespace herd::sim
