#pragma once
// The KV layout id: what must be equal for one rank to use another's KV blocks as they lie in memory, as text:
//
//   cpu-2/bfloat16/30x16x3x64    numerics class / element / layers x tokens a block x KV heads of this rank x head size

#include <string>
#include <string_view>

#include "kernels/dtype.h"
#include "kernels/tensor_view.h"

namespace herd::kv {

// `numerics_class`: a GPU lays bf16 out for its tensor cores, a CPU for its vectors. At most 256 bytes.
[[nodiscard]] inline std::string kv_layout_id(std::string_view numerics_class, const KvLayout& layout, int layers) {
  return std::string(numerics_class) + "/" + dtype_name(layout.dtype) + "/" + std::to_string(layers) + "x" +
         std::to_string(layout.block_size) + "x" + std::to_string(layout.kv_heads) + "x" + std::to_string(layout.head_dim);
}

}  // namespace herd::kv
