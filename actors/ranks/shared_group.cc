#include "actors/ranks/shared_group.h"

#include <unistd.h>

#include <utility>

#include "actors/ranks/sealed_memory.h"
#include "kernels/local_group.h"

namespace herd::actors {
namespace {

constexpr char kName[] = "herd-group";

}  // namespace

SharedGroup::SharedGroup(std::shared_ptr<void> memory, int fd, int ranks, const LocalCollectiveConfig& config)
    : memory_(std::move(memory)), fd_(fd), ranks_(ranks), config_(config) {}

SharedGroup::~SharedGroup() {
  if (fd_ >= 0) ::close(fd_);
}

Expected<std::shared_ptr<SharedGroup>> SharedGroup::create(int ranks, const LocalCollectiveConfig& config) {
  auto made = make_sealed_memory(kName, local_group_bytes(ranks, config));
  if (!made) return fail(made.error());
  prepare_local_group(made->memory.get());
  return std::shared_ptr<SharedGroup>(new SharedGroup(std::move(made->memory), made->fd, ranks, config));
}

Expected<std::shared_ptr<SharedGroup>> SharedGroup::map(int fd, int ranks, const LocalCollectiveConfig& config) {
  auto mapped = map_sealed_memory(kName, fd, local_group_bytes(ranks, config));
  if (!mapped) return fail(mapped.error());
  return std::shared_ptr<SharedGroup>(new SharedGroup(std::move(mapped->memory), -1, ranks, config));
}

std::unique_ptr<Collective> SharedGroup::join(int rank) const { return join_local_group(memory_, rank, ranks_, config_); }

void SharedGroup::abort(const std::string& why) const {
  static_cast<LocalGroup*>(memory_.get())->abort(why.c_str(), FutexScope::kProcesses);
}

}  // namespace herd::actors
