#include "kernels/gpu_backend.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace herd {
namespace {

constexpr const char* kLibrary = "libherd_cuda.so";
constexpr const char* kPathVariable = "HERD_CUDA_LIBRARY";

std::string executable_folder() {
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  if (length <= 0) return ".";
  const std::string whole(path, static_cast<std::size_t>(length));
  return whole.substr(0, whole.find_last_of('/'));
}

template <class Function>
Function* symbol(void* library, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(library, name));
}

Expected<GpuBackend*> open_library(void* library, const std::string& path) {
  auto* id = symbol<const char*()>(library, kGpuBuildIdSymbol);
  auto* backend = symbol<GpuBackend*()>(library, kGpuBackendSymbol);
  if (id == nullptr || backend == nullptr) return fail(missing(path + " is not herd's CUDA backend"));
  if (std::strcmp(id(), HERD_GPU_BUILD_ID) != 0)
    return fail(missing(path + " is of another build of herd (its id is " + id() + ", this one's " +
                        HERD_GPU_BUILD_ID + "); install both from one build"));
  return backend();
}

Expected<GpuBackend*> load_from(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return fail(missing(path + " cannot be loaded: " + ::dlerror()));
  return open_library(library, path);
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Expected<GpuBackend*> load() {
  const char* named = std::getenv(kPathVariable);
  if (named != nullptr && *named != '\0') {
    if (exists(named)) return load_from(named);
    return fail(missing(std::string(named) + " does not exist (" + kPathVariable + " names it)"));
  }
  const std::string folder = executable_folder();
  std::string looked;
  for (const std::string& path : {folder + "/" + kLibrary, folder + "/../" + kLibrary,
                                  folder + "/../lib/herd/" + kLibrary}) {
    if (exists(path)) return load_from(path);
    looked += (looked.empty() ? "" : ", ") + path;
  }
  return fail(missing("there is no CUDA backend: none of " + looked + " exists (herd was built without CUDA, or " +
                      kLibrary + " was not installed with it)"));
}

}  // namespace

Expected<GpuBackend*> load_gpu_backend() {
  static const Expected<GpuBackend*> loaded = load();
  return loaded;
}

}  // namespace herd
