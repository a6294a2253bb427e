#pragma once
// The head of a GGUF file (version 3, little-endian, data aligned to 32): typed metadata and the table of tensors, for whoever
// writes one. The tensors' data follow it, at the places that the table says.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/weight_format.h"
#include "runtime/checkpoint/gguf_file.h"

namespace herd::model {

// ggml's number of the encoding, and llama.cpp's of a file that is mostly in it (general.file_type).
[[nodiscard]] std::uint32_t ggml_type_number(WeightFormat format);
[[nodiscard]] std::uint32_t ggml_file_type(WeightFormat format);

// Value. Keys and tensors are written in the order in which they were added, each of them once.
class GgufHead {
 public:
  void add(std::string_view key, std::string_view text);
  void add(std::string_view key, std::uint32_t number);
  void add(std::string_view key, float number);
  void add(std::string_view key, double number);
  void add_flag(std::string_view key, bool flag);
  void add(std::string_view key, std::span<const std::string> texts);
  void add(std::string_view key, std::span<const float> numbers);
  void add(std::string_view key, std::span<const std::int32_t> numbers);
  void add(const GgufValue& value);  // as another file has it

  // `shape`: slowest dimension first, [rows, cols]. The place of the data: begin(), and on.
  void add_tensor(std::string_view name, const std::vector<std::int64_t>& shape, WeightFormat format);

  [[nodiscard]] bool has(std::string_view key) const;

  // Of the whole file: the head, and where tensor `index` begins in it.
  [[nodiscard]] std::vector<std::byte> bytes() const;  // up to the first tensor
  [[nodiscard]] std::uint64_t begin(std::size_t index) const;
  [[nodiscard]] std::uint64_t file_bytes() const;

 private:
  void begin_entry(std::string_view key);
  template <class T>
  void add_scalar(std::string_view key, GgufValueType type, T value);
  [[nodiscard]] std::uint64_t data_begin() const;

  std::vector<std::string> keys_;
  std::vector<std::byte> metadata_;
  std::vector<std::byte> table_;
  std::vector<std::uint64_t> offsets_;  // of the tensors, in the data
  std::uint64_t data_bytes_ = 0;
};

}  // namespace herd::model
