#include "actors/roles/shard_actor.h"

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::actors {
namespace {

using Self = ShardHandle::stateful_pointer<ShardState>;

Status make_steps(ShardState& state, const RankFactory& make_rank, ReplicaId replica, std::uint32_t rank,
                  RankSteps::Report report) {
  try {
    auto made = make_rank(replica, rank);
    if (!made) return made.error();
    state.steps = std::make_unique<RankSteps>(std::move(*made), rank, std::move(report));
    return {};
  } catch (const std::bad_alloc&) {
    return missing("making the rank: out of memory (or of address space, ulimit -v); lower --kv-cache-memory, "
                   "--max-model-len, --max-num-batched-tokens or --threads");
  } catch (const std::exception& exception) {
    return {StatusCode::kInternal, std::string("making the rank: ") + exception.what()};
  }
}

// Behind what is in the mailbox already.
void look_again(Self self) {
  if (self->state.looking || self->state.steps->idle()) return;
  self->state.looking = true;
  self->send(self, CollectStep{});
}

}  // namespace

ShardHandle::behavior_type shard_actor(Self self, ReplicaId replica, std::uint32_t rank, RankFactory make_rank) {
  ShardState& state = self->state;
  end_process_on_exception(self);
  on_down(self, [self](const caf::actor_addr&, bool) { self->quit(); });  // nobody is left to serve
  const auto report = [self](step::StepResult result) {
    self->send(self->state.replica, StepDone{std::move(result)});
  };
  return {
      [=, &state](const MakeRank& order) {
        state.replica = order.replica;
        watch(self, state.replica);
        self->send(state.replica, RankMade{rank, make_steps(state, make_rank, replica, rank, report)});
      },
      [=, &state](const ExecutePlan& order) {
        HERD_CHECK(state.steps != nullptr, "a replica sends plans to ranks that were made");
        state.steps->on_plan(order.plan);
        look_again(self);
      },
      [=, &state](const CollectStep&) {
        state.looking = false;
        state.steps->look(ShardState::kPatience);
        look_again(self);
      },
  };
}

}  // namespace herd::actors
