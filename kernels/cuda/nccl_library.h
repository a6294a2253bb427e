#pragma once
// The functions of NCCL that the backend calls, found at run time: a machine with one GPU needs no NCCL.

#include <nccl.h>

#include "kernels/status.h"

namespace herd::cuda {

struct NcclLibrary {
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRankConfig) comm_init_rank_config;
  decltype(&ncclCommGetAsyncError) comm_get_async_error;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclCommAbort) comm_abort;
  decltype(&ncclCommFinalize) comm_finalize;
  decltype(&ncclCommDestroy) comm_destroy;
  decltype(&ncclGetErrorString) get_error_string;
};

// Loads libnccl.so.2 once. kMissing when it is not installed or lacks a function.
Expected<const NcclLibrary*> nccl_library();

}  // namespace herd::cuda
