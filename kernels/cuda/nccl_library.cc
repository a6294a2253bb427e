#include "kernels/cuda/nccl_library.h"

#include <dlfcn.h>

namespace herd::cuda {
namespace {

constexpr const char* kLibrary = "libnccl.so.2";

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Expected<NcclLibrary> load() {
  void* library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return fail(missing(std::string("several GPUs need NCCL, which cannot be loaded: ") + ::dlerror()));
  NcclLibrary nccl = {};
  const bool found = find(library, "ncclGetUniqueId", nccl.get_unique_id) &&
                     find(library, "ncclCommInitRankConfig", nccl.comm_init_rank_config) &&
                     find(library, "ncclCommGetAsyncError", nccl.comm_get_async_error) &&
                     find(library, "ncclAllGather", nccl.all_gather) &&
                     find(library, "ncclCommAbort", nccl.comm_abort) &&
                     find(library, "ncclCommFinalize", nccl.comm_finalize) &&
                     find(library, "ncclCommDestroy", nccl.comm_destroy) &&
                     find(library, "ncclGetErrorString", nccl.get_error_string);
  if (!found) return fail(missing(std::string(kLibrary) + " is older than herd needs (2.14): " + ::dlerror()));
  return nccl;
}

}  // namespace

Expected<const NcclLibrary*> nccl_library() {
  static const Expected<NcclLibrary> loaded = load();
  if (!loaded) return fail(loaded.error());
  return &*loaded;
}

}  // namespace herd::cuda
