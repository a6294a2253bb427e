#include "actors/gpu_ranks.h"

#include <algorithm>
#include <exception>
#include <set>
#include <thread>
#include <utility>

#include "kernels/check.h"
#include "kernels/local_collective.h"

namespace herd::actors {
namespace {

std::string count_of_gpus(std::size_t count) {
  return count == 1 ? "there is 1 GPU" : std::string("there are ").append(std::to_string(count)).append(" GPUs");
}

Status named_by_flag(const Status& error) {
  return {error.code(), "--devices gpu: " + error.message()};
}

}  // namespace

Expected<std::vector<GpuInfo>> choose_gpus(const std::vector<GpuInfo>& there, const std::vector<int>& wanted,
                                           int places) {
  const auto needed = static_cast<std::size_t>(places);
  if (!wanted.empty() && wanted.size() < needed)
    return fail(missing("--devices: " + std::to_string(places) + " ranks need as many GPUs, " +
                        std::to_string(wanted.size()) + " named"));
  if (wanted.empty() && there.size() < needed)
    return fail(missing("--devices gpu: " + std::to_string(places) + " ranks need as many GPUs, " +
                        count_of_gpus(there.size())));
  std::vector<GpuInfo> chosen;
  for (std::size_t place = 0; place < needed; ++place) {
    const int index = wanted.empty() ? there[place].index : wanted[place];
    const auto found = std::ranges::find(there, index, &GpuInfo::index);
    if (found == there.end())
      return fail(missing("--devices gpu-" + std::to_string(index) + ": no such GPU, " + count_of_gpus(there.size())));
    chosen.push_back(*found);
  }
  return chosen;
}

Expected<GpuBackend*> open_gpus(std::vector<GpuInfo>& there) {
  auto backend = load_gpu_backend();
  if (!backend) return fail(named_by_flag(backend.error()));
  auto devices = (*backend)->devices();
  if (!devices) return fail(named_by_flag(devices.error()));
  there = std::move(*devices);
  return *backend;
}

std::shared_ptr<Collective> GroupSeats::take(int replica, int rank, std::unique_ptr<Collective> member) {
  const auto seat = static_cast<std::size_t>(replica * ranks_ + rank);
  const std::scoped_lock lock(mutex_);
  HERD_CHECK(members_[seat] == nullptr, "one member a rank");
  const Status& why = reasons_[static_cast<std::size_t>(replica)];
  if (!why.ok()) member->abort(why.message().c_str());
  members_[seat] = member.get();
  return {member.release(), [self = shared_from_this(), seat](Collective* leaving) {
            self->leave(seat);
            delete leaving;
          }};
}

void GroupSeats::leave(std::size_t seat) {
  const std::scoped_lock lock(mutex_);
  members_[seat] = nullptr;
}

Status GroupSeats::abort(int replica, Status why) {
  HERD_CHECK(!why.ok(), "an abort has a reason");
  const std::scoped_lock lock(mutex_);
  Status& first = reasons_[static_cast<std::size_t>(replica)];
  if (first.ok()) first = std::move(why);
  for (int rank = 0; rank < ranks_; ++rank) {
    if (Collective* member = members_[static_cast<std::size_t>(replica * ranks_ + rank)])
      member->abort(first.message().c_str());
  }
  return first;
}

Status GroupSeats::aborted(int replica) const {
  const std::scoped_lock lock(mutex_);
  return reasons_[static_cast<std::size_t>(replica)];
}

Expected<std::shared_ptr<GpuRanks>> GpuRanks::open(const GpuOptions& options, int replicas, int ranks) {
  std::shared_ptr<GpuRanks> gpus(new GpuRanks);
  gpus->options_ = options;
  gpus->replicas_ = replicas;
  gpus->ranks_ = ranks;
  std::vector<GpuInfo> there;
  auto backend = open_gpus(there);
  if (!backend) return fail(backend.error());
  gpus->backend_ = *backend;
  auto chosen = choose_gpus(there, options.indices, replicas * ranks);
  if (!chosen) return fail(chosen.error());
  gpus->gpus_ = std::move(*chosen);
  std::set<std::string> classes;
  for (std::size_t place = 0; place < gpus->gpus_.size(); ++place) {
    auto device = gpus->backend_->make_device({.gpu = gpus->gpus_[place].index,
                                               .rank = static_cast<int>(place) % ranks,
                                               .matmul = options.matmul,
                                               .graphs = false});
    if (!device) return fail(named_by_flag(device.error()));
    classes.insert((*device)->numerics_class());
    gpus->loaders_.push_back(std::move(*device));
  }
  if (classes.size() > 1) {
    std::string names;
    for (const std::string& name : classes) names += (names.empty() ? "" : ", ") + name;
    return fail(missing("--devices: these GPUs compute in different classes of arithmetic (" + names +
                        "), so that they would not give the same bytes; choose GPUs of one kind"));
  }
  return gpus;
}

Expected<std::shared_ptr<const GpuRanks::Round>> GpuRanks::new_round(std::int64_t deadline_ms) const {
  std::vector<GpuGroupId> ids;
  for (int replica = 0; ranks_ > 1 && replica < replicas_; ++replica) {
    auto id = backend_->new_group();
    if (!id) return fail(id.error());
    ids.push_back(*id);
  }
  return std::make_shared<const Round>(*this, std::move(ids), deadline_ms);
}

GpuRanks::Round::Round(const GpuRanks& gpus, std::vector<GpuGroupId> ids, std::int64_t deadline_ms)
    : gpus_(gpus),
      ids_(std::move(ids)),
      deadline_ms_(deadline_ms),
      seats_(std::make_shared<GroupSeats>(gpus.replicas_, gpus.ranks_)) {}

Expected<GpuRanks::Round::Place> GpuRanks::Round::enter(int replica, int rank) const {
  auto place = sit_down(replica, rank);
  if (!place) return fail(abort(replica, place.error()));
  return place;
}

Expected<GpuRanks::Round::Place> GpuRanks::Round::sit_down(int replica, int rank) const {
  const GpuOptions& options = gpus_.options_;
  auto device = gpus_.backend_->make_device({.gpu = gpus_.gpu(gpus_.place(replica, rank)).index,
                                             .rank = rank,
                                             .matmul = options.matmul,
                                             .graphs = options.graphs});
  if (!device) return fail(device.error());
  const auto given_up = [this, replica] { return seats_->aborted(replica); };
  if (Status why = given_up(); !why.ok()) return fail(std::move(why));  // nobody is left to wait for
  std::unique_ptr<Collective> member;
  if (gpus_.ranks_ == 1) {
    member = std::move(make_local_group(1, {.deadline_ms = deadline_ms_}).front());
  } else {
    auto joined = gpus_.backend_->join_group(ids_[static_cast<std::size_t>(replica)],
                                             {rank, gpus_.ranks_, deadline_ms_, deadline_ms_, given_up}, **device);
    if (!joined) return fail(joined.error());
    member = std::move(*joined);
  }
  auto group = seats_->take(replica, rank, std::move(member));
  return Place{std::move(*device), std::move(group)};
}

Expected<std::vector<std::size_t>> free_beside_ranks(const GpuRanks& gpus, int replicas, int ranks,
                                                     std::int64_t deadline_ms, const MakeGpuRank& make) {
  const auto round = gpus.new_round(deadline_ms);
  if (!round) return fail(round.error());
  std::vector<std::size_t> free_bytes(gpus.places());
  std::mutex mutex;
  Status first;  // in time, of any replica
  const auto look = [&](int replica, int rank) -> Status {
    auto executor = make(**round, replica, rank);
    if (!executor) return executor.error();
    free_bytes[gpus.place(replica, rank)] = (*executor)->device().free_bytes();
    return {};
  };
  const auto run = [&](int replica, int rank) {
    Status status;
    try {
      status = look(replica, rank);
    } catch (const std::exception& exception) {
      status = {StatusCode::kInternal, exception.what()};
    }
    if (status.ok()) return;
    status = (*round)->abort(replica, std::move(status));
    const std::scoped_lock lock(mutex);
    if (first.ok()) first = std::move(status);
  };
  std::vector<std::thread> threads;
  for (int replica = 0; replica < replicas; ++replica) {
    for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(run, replica, rank);
  }
  for (std::thread& thread : threads) thread.join();
  if (!first.ok()) return fail(std::move(first));
  return free_bytes;
}

}  // namespace herd::actors
