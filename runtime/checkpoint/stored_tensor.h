#pragma once
// One tensor as it lies in a file: its bytes are read, expanded to float and brought into Hugging Face's row order when
// rows of it are asked for. Internal to runtime/model.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "kernels/weight_format.h"
#include "runtime/files/file_bytes.h"
#include "runtime/checkpoint/checkpoint.h"

namespace herd::model {

// Value.
struct StoredTensor {
  TensorInfo info;
  std::vector<std::int64_t> shape;
  std::optional<WeightFormat> encoding;  // empty: listed, cannot be read
  std::shared_ptr<const files::FileBytes> bytes;
  std::uint64_t begin = 0;   // first byte in the file; rows one after the other
  bool interleaved = false;  // rows of each head (entries, in a vector) lie in interleaved RoPE order

  // "FILE: name: ", with the file's own name where it differs.
  [[nodiscard]] std::string where() const;
  [[nodiscard]] Status not_readable() const;

  // Rows [row_begin, row_end) × columns [col_begin, col_end), all inside the tensor, as float.
  [[nodiscard]] Status read_rows(int head_dim, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                                 std::int64_t col_end, float* out) const;

  // See WeightSource. None of a vector in interleaved order: its elements lie scattered.
  [[nodiscard]] std::optional<WeightFormat> stored_format() const;
  [[nodiscard]] Status read_stored_rows(int head_dim, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                                        std::int64_t col_end, std::byte* out) const;
};

// Whether both hold the same values, in whatever encodings. Reads as far as the first difference.
[[nodiscard]] Expected<bool> same_values(const StoredTensor& a, const StoredTensor& b);

}  // namespace herd::model
