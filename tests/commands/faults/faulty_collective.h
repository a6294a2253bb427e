#pragma once
// FaultyCollective: a rank's member of a group to which planted faults happen.

#include <cstdint>
#include <memory>

#include "kernels/collective.h"
#include "runtime/ids.h"
#include "tests/commands/faults/fault_schedule.h"

namespace herd::faults {

class FaultyCollective final : public Collective {
 public:
  FaultyCollective(std::unique_ptr<Collective> member, std::shared_ptr<FaultSchedule> schedule, ReplicaId replica, std::uint32_t rank);
  [[nodiscard]] int rank() const override { return member_->rank(); }
  [[nodiscard]] int size() const override { return member_->size(); }
  void all_gather(CollectiveName name, const void* send, void* receive, std::size_t bytes) override;
  void exchange(CollectiveName name, const void* send, void* receive, std::size_t slice_bytes) override;
  void send(CollectiveName name, int to, const void* data, std::size_t bytes) override;
  void receive(CollectiveName name, int from, void* data, std::size_t bytes) override;
  void abort(const char* reason) override { member_->abort(reason); }
  [[nodiscard]] Status status() const override { return member_->status(); }

 private:
  // Whether the operation is done at all; does not return from a fault that hangs.
  [[nodiscard]] bool begin();

  const std::unique_ptr<Collective> member_;
  const std::shared_ptr<FaultSchedule> schedule_;
  const ReplicaId replica_;
  const std::uint32_t rank_;
};

}  // namespace herd::faults
