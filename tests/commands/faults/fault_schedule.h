#pragma once
// FaultSchedule: which planted fault happens in which step of which rank. Ranks ask it on their own threads; faults may be
// planted at any time, and a rank's steps are counted through all its lives.

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <vector>

#include "runtime/ids.h"
#include "tests/commands/faults/planted_fault.h"

namespace herd::faults {

class FaultSchedule {
 public:
  void plant(const std::vector<PlantedFault>& faults);
  // A rank is handed a step in which it computes something; what happens in it. Those of the kinds that happen in a collective
  // operation wait for on_operation().
  [[nodiscard]] std::optional<PlantedFault> on_step(ReplicaId replica, std::uint32_t rank);
  // That rank begins a collective operation; what happens in it.
  [[nodiscard]] std::optional<PlantedFault> on_operation(ReplicaId replica, std::uint32_t rank);

 private:
  struct Waiting {
    PlantedFault fault;
    std::mt19937_64 draws;
    std::uint32_t left = 0;     // times that it still happens
    std::uint32_t replica = 0;  // where and when the next time is
    std::uint32_t rank = 0;
    std::uint32_t step = 0;     // steps until then, counted down
  };
  struct InStep {
    PlantedFault fault;
    std::uint32_t operations = 0;  // until it happens, counted down
  };
  static void draw(Waiting& waiting);

  std::mutex mutex_;
  std::vector<Waiting> waiting_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, InStep> in_step_;  // by replica and rank
};

}  // namespace herd::faults
