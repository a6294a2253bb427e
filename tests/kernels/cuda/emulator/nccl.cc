// NCCL of the emulator: ranks are threads of this process. An all-gather is a meeting of all ranks in the order of
// their streams; who comes last copies for all.
#include <nccl.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/kernels/cuda/emulator/call.h"
#include "tests/kernels/cuda/emulator/device_memory.h"
#include "tests/kernels/cuda/emulator/stream_queue.h"

namespace {

using namespace herd::emulator;  // NOLINT

// Of one rank: away until it arrives, then waiting, then served until it has seen that.
enum class Presence { kAway, kWaiting, kServed };
struct Visit {
  Presence presence = Presence::kAway;
  const void* send = nullptr;
  void* receive = nullptr;
  std::size_t bytes = 0;
};

struct Group {
  explicit Group(int size) : size(size), visits(static_cast<std::size_t>(size)) {}

  const int size;
  std::mutex mutex;  // over all below
  std::condition_variable changed;
  std::set<int> ranks, devices;  // that have joined
  std::vector<Visit> visits;
  int arrived = 0;
  std::uint64_t meetings = 0;
  ncclResult_t error = ncclSuccess;  // after which nothing is gathered any more
};

struct Groups {
  std::mutex mutex;
  std::uint64_t ids = 0;
  std::map<std::string, std::shared_ptr<Group>> forming;
};
Groups& groups() {
  static auto* const all = new Groups;
  return *all;
}

std::chrono::steady_clock::time_point deadline() {
  return std::chrono::steady_clock::now() + std::chrono::milliseconds(nccl_deadline_ms());
}

void spoil(Group& group, ncclResult_t error) {
  if (group.error == ncclSuccess) group.error = error;
  group.changed.notify_all();
}

void copy_all(Group& group) {
  for (const Visit& to : group.visits) {
    auto* at = static_cast<unsigned char*>(to.receive);
    for (const Visit& from : group.visits) {
      if (at != from.send) std::memmove(at, from.send, from.bytes);
      at += from.bytes;
    }
  }
}

// With the group locked: this rank's arrival, and the meeting when it is the last.
void arrive(Group& group, int rank, const void* send, void* receive, std::size_t bytes) {
  group.visits[static_cast<std::size_t>(rank)] = {Presence::kWaiting, send, receive, bytes};
  if (++group.arrived < group.size) return;
  bool alike = true;
  for (const Visit& visit : group.visits) alike = alike && visit.bytes == bytes;
  group.arrived = 0;
  if (!alike) return spoil(group, ncclInvalidUsage);
  copy_all(group);
  for (Visit& visit : group.visits) visit.presence = Presence::kServed;
  group.meetings++;
  group.changed.notify_all();
}

// One run of an all-gather; true when this rank's part has ended. A group that failed leaves 0xff behind.
bool gather(Group& group, int rank, const void* send, void* receive, std::size_t bytes, bool may_block) {
  std::unique_lock lock(group.mutex);
  Visit& own = group.visits[static_cast<std::size_t>(rank)];
  if (group.error == ncclSuccess && own.presence == Presence::kAway) arrive(group, rank, send, receive, bytes);
  const auto over = [&] { return group.error != ncclSuccess || own.presence == Presence::kServed; };
  if (!over() && !may_block) return false;
  if (!group.changed.wait_until(lock, deadline(), over)) {
    std::fprintf(stderr, "CUDA emulator: ncclAllGather %llu: rank %d waited %lld ms, %d of %d ranks came\n",
                 static_cast<unsigned long long>(group.meetings + 1), rank,
                 static_cast<long long>(nccl_deadline_ms()), group.arrived, group.size);
    spoil(group, ncclSystemError);
  }
  const bool served = own.presence == Presence::kServed;
  own.presence = Presence::kAway;
  if (!served) std::memset(receive, 0xff, bytes * static_cast<std::size_t>(group.size));
  return true;
}

std::size_t type_bytes(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8: return 1;
    case ncclFloat16:
    case ncclBfloat16: return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32: return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64: return 8;
  }
  return 0;
}

}  // namespace

// Of one rank; used by its thread, but for an abort.
struct ncclComm {
  std::shared_ptr<Group> group;
  int rank = 0;
  int device = 0;
  bool blocking = true;
  bool used = false;                      // by a collective
  // Held here and by every recorded operation. As in NCCL, a communicator that is being finalized waits until the last
  // graph with one of its collectives is destroyed; so does an abort, though what is under way ends at once.
  std::shared_ptr<const bool> recorded = std::make_shared<const bool>(true);
  std::atomic<bool> finalizing = false;
  std::atomic<int> answers_in_progress = 0;  // how often ncclCommGetAsyncError still says so
  std::atomic<bool> must_be_asked = false;   // the last call said ncclInProgress
  std::shared_ptr<CUstream_st> stream;       // of the last collective
};

namespace {

bool all_here(Group& group) { return static_cast<int>(group.ranks.size()) == group.size; }

ncclResult_t join(Group& group, ncclComm& comm) {
  std::unique_lock lock(group.mutex);
  if (!group.ranks.insert(comm.rank).second) return ncclInvalidUsage;
  if (!group.devices.insert(comm.device).second) {
    std::fprintf(stderr, "CUDA emulator: ncclCommInitRankConfig: ranks share GPU %d\n", comm.device);
    spoil(group, ncclInvalidUsage);
    return ncclInvalidUsage;
  }
  group.changed.notify_all();
  if (!comm.blocking) {
    comm.must_be_asked = true;
    return ncclInProgress;
  }
  const auto over = [&] { return all_here(group) || group.error != ncclSuccess; };
  if (!group.changed.wait_until(lock, deadline(), over)) spoil(group, ncclSystemError);
  return group.error;
}

}  // namespace

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (id == nullptr) return ncclInvalidArgument;
  if (leave(enter("ncclGetUniqueId")) != cudaSuccess) return ncclUnhandledCudaError;
  const std::lock_guard lock(groups().mutex);
  std::memset(id, 0, sizeof *id);
  std::snprintf(id->internal, sizeof id->internal, "herd emulated group %llu",
                static_cast<unsigned long long>(++groups().ids));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (comm == nullptr || ranks < 1 || rank < 0 || rank >= ranks) return ncclInvalidArgument;
  *comm = nullptr;
  if (config != nullptr && config->magic != 0xcafebeefU) return ncclInvalidArgument;
  if (leave(enter("ncclCommInitRankConfig")) != cudaSuccess) return ncclUnhandledCudaError;
  auto made = std::make_unique<ncclComm>();
  {
    const std::lock_guard lock(groups().mutex);
    auto& group = groups().forming[std::string(id.internal, sizeof id.internal)];
    if (!group) group = std::make_shared<Group>(ranks);
    made->group = group;
  }
  if (made->group->size != ranks) return ncclInvalidArgument;
  made->rank = rank;
  made->device = current_device();
  made->blocking = config == nullptr || config->blocking != 0;
  const ncclResult_t joined = join(*made->group, *made);
  if (joined == ncclSuccess || joined == ncclInProgress) *comm = made.release();
  return joined;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  if (comm == nullptr || error == nullptr) return ncclInvalidArgument;
  const std::lock_guard lock(comm->group->mutex);
  *error = comm->group->error;
  if (*error != ncclSuccess) return ncclSuccess;
  if (comm->finalizing && comm->recorded.use_count() > 1) {
    *error = ncclInProgress;
    return ncclSuccess;
  }
  if (!all_here(*comm->group) || comm->answers_in_progress > 0) {
    if (comm->answers_in_progress > 0) comm->answers_in_progress--;
    *error = ncclInProgress;
    return ncclSuccess;
  }
  comm->must_be_asked = false;
  return ncclSuccess;
}

ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t handle) {
  if (comm == nullptr || type_bytes(type) == 0) return ncclInvalidArgument;
  if (comm->must_be_asked) return ncclInvalidUsage;
  if (leave(enter("ncclAllGather")) != cudaSuccess) return ncclUnhandledCudaError;
  const std::size_t bytes = count * type_bytes(type), all = bytes * static_cast<std::size_t>(comm->group->size);
  const auto usable = [](const void* memory, std::size_t size) {
    const MemoryAt at = memory_at(memory, size);
    return at.kind != MemoryKind::kPageable && !at.broken;
  };
  const auto stream = stream_of(handle);
  if (!stream || stream->device != comm->device || !usable(send, bytes) || !usable(receive, all))
    return ncclInvalidArgument;
  comm->stream = stream;
  auto recorded = is_capturing(*stream) ? comm->recorded : nullptr;
  const cudaError_t queued =
      enqueue(*stream, [group = comm->group, rank = comm->rank, send, receive, bytes, recorded](bool may_block) {
        return gather(*group, rank, send, receive, bytes, may_block);
      });
  if (leave(queued) != cudaSuccess) return ncclUnhandledCudaError;
  const bool first = !comm->used;
  comm->used = true;
  if (comm->blocking || !first) return ncclSuccess;
  comm->answers_in_progress = 1;  // connections are made at the first collective
  comm->must_be_asked = true;
  return ncclInProgress;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  if (comm == nullptr) return ncclInvalidArgument;
  if (leave(enter("ncclCommFinalize")) != cudaSuccess) return ncclUnhandledCudaError;
  if (comm->stream) drain(*comm->stream);
  if (comm->blocking) return comm->recorded.use_count() > 1 ? ncclInvalidUsage : ncclSuccess;  // NCCL would hang
  comm->finalizing = true;
  comm->answers_in_progress = 1;
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (comm == nullptr) return ncclInvalidArgument;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (comm == nullptr) return ncclInvalidArgument;
  if (comm->finalizing && comm->recorded.use_count() > 1) {
    std::fputs("CUDA emulator: ncclCommAbort: would wait for ever for a finalize that waits for recorded graphs\n", stderr);
    std::abort();
  }
  {
    const std::lock_guard lock(comm->group->mutex);
    spoil(*comm->group, ncclRemoteError);
  }
  for (const auto end = deadline(); comm->recorded.use_count() > 1;) {
    if (std::chrono::steady_clock::now() >= end) {
      std::fputs("CUDA emulator: ncclCommAbort: recorded graphs hold its collectives\n", stderr);
      std::abort();
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  delete comm;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
    case ncclSystemError: return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    case ncclInternalError: return "internal error - please report this issue to the NCCL developers";
    case ncclInvalidArgument: return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage: return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInProgress: return "NCCL operation in progress";
  }
  return "unknown result code";
}
