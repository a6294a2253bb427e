#include "kernels/cuda/nccl_collective.h"

#include <chrono>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "kernels/check.h"
#include "kernels/cuda/nccl_library.h"

namespace herd::cuda {
namespace {

using std::chrono::steady_clock;

constexpr int kQuickLooks = 1000;  // NCCL hands a call to a thread of its own: some tens of microseconds
constexpr std::int64_t kFinalizeMs = 5000;  // for a clean end; then the communicator is aborted instead
static_assert(sizeof(ncclUniqueId) <= sizeof(GpuGroupId::bytes));

// One rank's communicator. Locked: abort and status come from any thread.
class Communicator {
 public:
  explicit Communicator(const NcclLibrary& nccl) : nccl_(nccl) {}
  // No recorded step holds one of its collectives any more.
  ~Communicator() {
    close();
    if (aborting_.joinable()) aborting_.join();
  }
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  // Calls NCCL and waits until that is not under way any more, `deadline_ms` at most and not after it was given up;
  // then, or on an error, the communicator is aborted.
  template <class Call>
  Status run(const char* name, std::int64_t deadline_ms, const Call& call,
             const std::function<Status()>& given_up = {}) {
    const auto deadline = steady_clock::now() + std::chrono::milliseconds(deadline_ms);
    std::unique_lock lock(mutex_);
    if (!status_.ok()) return status_;
    ncclResult_t result = call(comm_);
    int looks = 0;
    while (result == ncclInProgress) {
      if (steady_clock::now() >= deadline)
        return abort_locked(std::string(name) + ": the other ranks did not come within " +
                            std::to_string(deadline_ms) + " ms");
      lock.unlock();
      if (++looks < kQuickLooks) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
      const Status asked = given_up ? given_up() : Status();
      lock.lock();
      if (!status_.ok()) return status_;
      if (!asked.ok()) return abort_locked(asked.message());
      result = async_error_locked();
    }
    if (result != ncclSuccess) return abort_locked(std::string(name) + ": " + nccl_.get_error_string(result));
    return {};
  }

  // Ok, or why it was given up. Finds errors that other ranks or the network made meanwhile.
  Status poll() {
    const std::lock_guard lock(mutex_);
    if (!status_.ok() || comm_ == nullptr) return status_;
    const ncclResult_t result = async_error_locked();
    if (result == ncclSuccess || result == ncclInProgress) return {};
    return abort_locked(std::string("all_gather: ") + nccl_.get_error_string(result));
  }

  Status abort(const std::string& reason) {
    const std::lock_guard lock(mutex_);
    return status_.ok() ? abort_locked(reason) : status_;
  }

 private:
  [[nodiscard]] ncclResult_t async_error_locked() const {
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = nccl_.comm_get_async_error(comm_, &state);
    return asked == ncclSuccess ? state : asked;
  }

  // NCCL's abort ends what is under way at once, but returns only when the recorded steps of all ranks in this process
  // are gone; those need their threads, which may be here. What it says changes nothing.
  Status abort_locked(const std::string& reason) {
    status_ = {StatusCode::kAborted, reason};
    if (comm_ != nullptr)
      aborting_ = std::thread([this, comm = std::exchange(comm_, nullptr)] { (void)nccl_.comm_abort(comm); });
    return status_;
  }

  void close() {
    if (comm_ == nullptr) return;
    if (!run("ncclCommFinalize", kFinalizeMs, [this](ncclComm_t& comm) { return nccl_.comm_finalize(comm); }).ok())
      return;
    (void)nccl_.comm_destroy(std::exchange(comm_, nullptr));
  }

  const NcclLibrary& nccl_;
  std::mutex mutex_;
  ncclComm_t comm_ = nullptr;
  Status status_;
  std::thread aborting_;
};

// Says whose it is.
Status named(const Stream& stream, const Status& status) {
  if (status.ok()) return {};
  return {status.code(),
          "gpu " + std::to_string(stream.gpu()) + " (rank " + std::to_string(stream.rank()) + "): " + status.message()};
}

class NcclCollective final : public Collective {
 public:
  NcclCollective(const NcclLibrary& nccl, CudaDevice& device, std::unique_ptr<Communicator> communicator, int rank,
                 int size, std::int64_t deadline_ms)
      : nccl_(nccl),
        device_(device),
        communicator_(std::move(communicator)),
        rank_(rank),
        size_(size),
        deadline_ms_(deadline_ms) {
    device_.stream().watch([this](std::int64_t waited_ms) { return watched(waited_ms); });
  }
  // A communicator does not end before the last graph that holds one of its collectives.
  ~NcclCollective() override {
    device_.stream().watch(nullptr);
    device_.forget_recorded();
    device_.stream().use();
  }
  NcclCollective(const NcclCollective&) = delete;
  NcclCollective& operator=(const NcclCollective&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_gather(CollectiveName name, const void* send, void* receive, std::size_t bytes) override {
    Stream& stream = device_.stream();
    if (!stream.ok() || bytes == 0) return;
    stream.use();
    const CollectiveOperation operation{++operations_, bytes, CollectiveOperation::Kind::kAllGather, name};
    const Status status = communicator_->run(describe(operation).c_str(), deadline_ms_, [&](ncclComm_t& comm) {
      return nccl_.all_gather(send, receive, bytes, ncclUint8, comm, stream.handle());
    });
    if (!status.ok()) stream.fail(status.message());
  }

  void abort(const char* reason) override { (void)communicator_->abort(reason); }
  Status status() const override { return named(device_.stream(), communicator_->poll()); }

 private:
  // The device waits. A step takes far less than the deadline: when it does not end, a rank is missing.
  Status watched(std::int64_t waited_ms) {
    if (waited_ms < deadline_ms_) return communicator_->poll();
    return communicator_->abort("the step did not end within " + std::to_string(deadline_ms_) + " ms");
  }

  const NcclLibrary& nccl_;
  CudaDevice& device_;
  const std::unique_ptr<Communicator> communicator_;
  const int rank_;
  const int size_;
  const std::int64_t deadline_ms_;
  std::uint64_t operations_ = 0;  // enqueued so far, those of recorded steps once
};

}  // namespace

Expected<GpuGroupId> new_nccl_group() {
  const auto nccl = nccl_library();
  if (!nccl) return fail(nccl.error());
  ncclUniqueId unique = {};
  if (const ncclResult_t result = (*nccl)->get_unique_id(&unique); result != ncclSuccess)
    return fail({StatusCode::kInternal, std::string("ncclGetUniqueId: ") + (*nccl)->get_error_string(result)});
  GpuGroupId id;
  std::memcpy(id.bytes, &unique, sizeof unique);
  return id;
}

Expected<std::unique_ptr<Collective>> join_nccl_group(const GpuGroupId& id, const GroupJoin& join,
                                                      CudaDevice& device) {
  HERD_CHECK(join.size >= 1 && join.rank >= 0 && join.rank < join.size && join.join_ms >= 1 && join.deadline_ms >= 1,
             "a rank lies in its group");
  const auto nccl = nccl_library();
  if (!nccl) return fail(nccl.error());
  Stream& stream = device.stream();
  if (!stream.ok()) return fail(stream.status());
  stream.use();
  auto communicator = std::make_unique<Communicator>(**nccl);
  const auto init = [&](ncclComm_t& comm) {
    ncclUniqueId unique = {};
    std::memcpy(&unique, id.bytes, sizeof unique);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return (*nccl)->comm_init_rank_config(&comm, join.size, unique, join.rank, &config);
  };
  const Status status = communicator->run("ncclCommInitRankConfig", join.join_ms, init, join.given_up);
  if (!status.ok()) return fail(named(stream, status));
  return std::make_unique<NcclCollective>(**nccl, device, std::move(communicator), join.rank, join.size,
                                          join.deadline_ms);
}

}  // namespace herd::cuda
