#include "actors/roles/rank_actor.h"

#include <algorithm>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::actors {
namespace {

// What `work` throws, as a status.
template <class Work>
Status status_of(const char* what, std::uint32_t rank, Work work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return missing(std::string(what) + " rank " + std::to_string(rank) +
                   ": out of memory (or of address space, ulimit -v); lower --kv-cache-memory, --max-model-len, "
                   "--max-num-batched-tokens or --threads");
  } catch (const std::exception& exception) {
    return {StatusCode::kInternal, std::string(what) + " rank " + std::to_string(rank) + ": " + exception.what()};
  }
}

}  // namespace

void RankState::start(RankStart start, std::shared_ptr<RankGround> ground, std::shared_ptr<LiveRanks> live) {
  place_ = std::make_unique<LiveRanks::Place>(std::move(live));
  start_ = std::move(start);
  ground_ = std::move(ground);
  end_process_on_exception(self_);
}

void RankState::on_prepare(const PrepareRank& order) {
  supervisor_ = order.supervisor;
  RankReady ready;
  ready.rank = start_.rank;
  ready.status = status_of("making", start_.rank, [&]() -> Status {
    const auto rates = prepare();
    if (rates) ready.rates = *rates;
    return rates ? Status() : rates.error();
  });
  const bool made = ready.status.ok();
  if (!made) rank_.reset();  // another is made at once, and may need its memory
  self_->send(supervisor_, std::move(ready));
  if (!made) self_->quit();
}

Expected<scheduler::DeviceRates> RankState::prepare() {
  auto made = ground_->make_rank(start_);
  if (!made) return herd::fail(made.error());
  rank_ = std::move(*made);
  return rank_->prepare();
}

void RankState::on_join(const JoinGroup& order) {
  // Between processes an order may come when its generation is over already.
  if (order.epoch <= newest_)
    return self_->send(order.replica, RankJoined{start_.rank, {StatusCode::kAborted, "the group is over"}});
  HERD_CHECK(rank_ != nullptr && steps_ == nullptr, "a rank that is free joins");
  newest_ = order.epoch;
  replica_ = order.replica;
  bool threw = true;
  const Status status = status_of("joining of", start_.rank, [&] {
    Status joined = rank_->join(order.epoch, order.rendezvous);
    threw = false;
    return joined;
  });
  if (status.ok()) {
    epoch_ = order.epoch;
    steps_ = std::make_unique<RankSteps>(
        rank_->executor(), start_.rank, [this](step::StepResult result) { self_->send(replica_, StepDone{std::move(result)}); },
        [this](step::BlockBytes block) { self_->send(replica_, BlockRead{epoch_, std::make_shared<step::BlockBytes>(std::move(block))}); });
  }
  self_->send(replica_, RankJoined{start_.rank, status});
  if (threw) fail(status);
}

void RankState::on_plan(const ExecutePlan& order) {
  if (steps_ == nullptr || order.plan->epoch != epoch_) return;  // of a group that this rank has left
  steps_->on_plan(order.plan);
  end_if_broken();
  look_again();
}

void RankState::on_block(const TakeBlock& given) {
  if (steps_ == nullptr || given.epoch != epoch_) return;
  steps_->give(*given.bytes);
  end_if_broken();
}

void RankState::on_collect() {
  looking_ = false;
  if (steps_ == nullptr) return;
  steps_->look(kPatience);
  end_if_broken();
  look_again();
}

void RankState::on_leave(const LeaveGroup& order) {
  if (rank_ == nullptr) return;
  newest_ = std::max(newest_, order.epoch);
  if (steps_ != nullptr) steps_->finish();
  end_if_broken();
  if (rank_ == nullptr) return;
  steps_.reset();
  const Status status = status_of("leaving of", start_.rank, [&] {
    rank_->leave();
    return Status();
  });
  if (!status.ok()) return fail(status);
  replica_ = nullptr;
  self_->send(supervisor_, RankLeft{start_.rank, order.epoch});
}

void RankState::look_again() {
  if (looking_ || steps_ == nullptr || steps_->idle()) return;
  looking_ = true;
  self_->send(self_, CollectStep{});
}

void RankState::end_if_broken() {
  if (steps_ != nullptr && !steps_->broken().ok()) fail(steps_->broken());
}

void RankState::fail(Status why) {
  self_->send(supervisor_, RankFailed{start_.rank, std::move(why)});
  steps_.reset();
  rank_.reset();
  end_broken(self_);
}

RankHandle::behavior_type rank_actor(RankState::Self self, RankStart start, std::shared_ptr<RankGround> ground,
                                     std::shared_ptr<LiveRanks> live) {
  RankState& state = self->state;
  state.start(std::move(start), std::move(ground), std::move(live));
  return {
      [&state](const PrepareRank& order) { state.on_prepare(order); },
      [&state](const JoinGroup& order) { state.on_join(order); },
      [&state](const ExecutePlan& order) { state.on_plan(order); },
      [&state](const TakeBlock& given) { state.on_block(given); },
      [&state](const CollectStep&) { state.on_collect(); },
      [&state](const LeaveGroup& order) { state.on_leave(order); },
  };
}

}  // namespace herd::actors
