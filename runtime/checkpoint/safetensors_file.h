#pragma once
// One .safetensors file: u64 header length, JSON header, tensor data. Every rule of the reference reader holds when a
// file is open: the tensors cover the data without gap or overlap, and shape times dtype is the byte count.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/files/file_bytes.h"
#include "runtime/checkpoint/gguf_dequantize.h"

namespace herd::model {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;  // the format's own name: "BF16", "F8_E4M3"
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // bytes [begin, end) of the file
  std::uint64_t end = 0;

  // Empty for a dtype that herd lists but cannot read.
  [[nodiscard]] std::optional<WeightFormat> encoding() const;
};

// Value: copies share the open file.
class SafetensorsFile {
 public:
  [[nodiscard]] static Expected<SafetensorsFile> open(const std::string& path);
  // Over memory that outlives the object; `file` is the name in messages.
  [[nodiscard]] static Expected<SafetensorsFile> parse(std::span<const std::byte> bytes, std::string file);

  [[nodiscard]] const std::string& file() const { return bytes_->name(); }
  [[nodiscard]] const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }  // sorted by name
  [[nodiscard]] const SafetensorsTensor* find(std::string_view name) const;
  [[nodiscard]] const std::shared_ptr<const files::FileBytes>& bytes() const { return bytes_; }

 private:
  SafetensorsFile() = default;
  [[nodiscard]] static Expected<SafetensorsFile> read(std::shared_ptr<const files::FileBytes> bytes);

  std::shared_ptr<const files::FileBytes> bytes_;
  std::vector<SafetensorsTensor> tensors_;
};

}  // namespace herd::model
