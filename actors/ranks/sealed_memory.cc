#include "actors/ranks/sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "kernels/process_limits.h"

namespace herd::actors {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;

std::string text(const char* name, const char* what) {
  return std::string(name) + ": " + what + ": " + system_error_text(errno);
}

Expected<std::shared_ptr<void>> map(const char* name, int fd, std::size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return fail(missing(text(name, "shared memory cannot be mapped")));
  return std::shared_ptr<void>(memory, [bytes](void* mapped) { munmap(mapped, bytes); });
}

}  // namespace

Expected<SealedMemory> make_sealed_memory(const char* name, std::size_t bytes) {
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return fail(missing(text(name, "no shared memory")));
  const bool made = ftruncate(fd, static_cast<off_t>(bytes)) == 0 && fcntl(fd, F_ADD_SEALS, kSeals | F_SEAL_SEAL) == 0;
  auto memory = made ? map(name, fd, bytes) : fail(missing(text(name, "no shared memory")));
  if (!memory) {
    ::close(fd);
    return fail(memory.error());
  }
  return SealedMemory{std::move(*memory), fd};
}

Expected<SealedMemory> map_sealed_memory(const char* name, int fd, std::size_t bytes) {
  struct stat file {};
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || fstat(fd, &file) != 0) return fail(bad_input(text(name, "the descriptor is no shared memory")));
  if ((seals & kSeals) != kSeals) return fail(bad_input(std::string(name) + ": the shared memory is not sealed"));
  if (file.st_size != static_cast<off_t>(bytes))
    return fail(bad_input(std::string(name) + ": the shared memory has " + std::to_string(file.st_size) + " bytes instead of " +
                          std::to_string(bytes)));
  auto memory = map(name, fd, bytes);
  if (!memory) return fail(memory.error());
  return SealedMemory{std::move(*memory), -1};
}

}  // namespace herd::actors
