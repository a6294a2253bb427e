#include "kernels/cuda/nccl_library.h"

#include "kernels/cuda/loaded_functions.h"

namespace herd::cuda {
namespace {

Expected<NcclLibrary> load() {
  return load_functions<NcclLibrary>("libnccl.so.2", "several GPUs need NCCL, which cannot be loaded",
                                     "libnccl.so.2 is older than herd needs (2.14)",
                                     NamedFunction{"ncclGetUniqueId", &NcclLibrary::get_unique_id},
                                     NamedFunction{"ncclCommInitRankConfig", &NcclLibrary::comm_init_rank_config},
                                     NamedFunction{"ncclCommGetAsyncError", &NcclLibrary::comm_get_async_error},
                                     NamedFunction{"ncclAllGather", &NcclLibrary::all_gather},
                                     NamedFunction{"ncclCommAbort", &NcclLibrary::comm_abort},
                                     NamedFunction{"ncclCommFinalize", &NcclLibrary::comm_finalize},
                                     NamedFunction{"ncclCommDestroy", &NcclLibrary::comm_destroy},
                                     NamedFunction{"ncclGetErrorString", &NcclLibrary::get_error_string});
}

}  // namespace

Expected<const NcclLibrary*> nccl_library() {
  static const Expected<NcclLibrary> loaded = load();
  if (!loaded) return fail(loaded.error());
  return &*loaded;
}

}  // namespace herd::cuda
