#pragma once
// Preconditions that checked operations and checked samplers share.

#include "kernels/check.h"
#include "kernels/tensor_view.h"

namespace herd {

inline void check_view(const TensorView& x) {
  HERD_CHECK(x.rows >= 0 && x.cols >= 1, "a tensor has columns");
  HERD_CHECK(x.row_stride >= x.cols, "rows do not overlap");
  HERD_CHECK(x.data != nullptr || x.rows == 0, "a tensor has memory");
}

}  // namespace herd
