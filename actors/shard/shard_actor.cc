#include "actors/shard/shard_actor.h"

#include <exception>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::actors {
namespace {

using scheduler::StepPlan;
using scheduler::StepResult;

Status make_executor(ShardState& state, const RankFactory& make_rank, ReplicaId replica, std::uint32_t rank) {
  try {
    auto made = make_rank(replica, rank);
    if (!made) return made.error();
    state.execute = std::move(*made);
    return {};
  } catch (const std::exception& exception) {
    return {StatusCode::kInternal, std::string("making the rank: ") + exception.what()};
  }
}

StepResult failed(const StepPlan& plan, std::uint32_t rank, const char* why) {
  StepResult result;
  result.epoch = plan.epoch;
  result.step = plan.step;
  result.rank = rank;
  result.status = {StatusCode::kInternal, why};
  return result;
}

StepResult execute(ShardState& state, const StepPlan& plan, std::uint32_t rank) {
  HERD_CHECK(state.execute != nullptr, "a replica sends plans to ranks that were made");
  try {
    return state.execute(plan);
  } catch (const std::exception& exception) {
    return failed(plan, rank, exception.what());
  }
}

}  // namespace

ShardHandle::behavior_type shard_actor(ShardHandle::stateful_pointer<ShardState> self, ReplicaHandle replica,
                                       ReplicaId replica_id, std::uint32_t rank, RankFactory make_rank,
                                       WireRoundtrip through_wire) {
  end_process_on_exception(self);
  watch(self, replica);
  on_down(self, [self](const caf::actor_addr&) { self->quit(); });  // nobody is left to serve
  return {
      [=](const MakeRank&) {
        self->send(replica, RankMade{rank, make_executor(self->state, make_rank, replica_id, rank)});
      },
      [=](const ExecutePlan& order) {
        self->send(replica, StepDone{through_wire(execute(self->state, *order.plan, rank))});
      },
  };
}

}  // namespace herd::actors
