#pragma once
// One GGUF file (version 2 or 3, little-endian): typed metadata and a table of tensors. Opening walks the whole header
// with every length checked against the bytes that are left, before anything is allocated. Strings are views into the
// header, which the object keeps in memory; the tensors' data stay in the file. One file may be a part of a model:
// gguf_parts.h puts them together.

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

enum class GgufValueType : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// One metadata entry. A scalar is an array of one element with is_array false.
struct GgufValue {
  std::string_view key;
  GgufValueType type = GgufValueType::kU8;  // of the elements; kArray: arrays, which no reader below takes
  bool is_array = false;
  std::uint64_t count = 1;
  std::span<const std::byte> elements;  // packed; strings are u64 length + bytes each
};

struct GgufTensor {
  std::string_view name;
  std::vector<std::int64_t> shape;  // Hugging Face order, slowest dimension first: [rows, cols]
  std::uint32_t type = 0;           // ggml type number
  std::uint64_t begin = 0;          // bytes [begin, end) of the file; end == begin for a type of unknown size
  std::uint64_t end = 0;

  // Empty for a type that herd lists but cannot read.
  [[nodiscard]] std::optional<WeightFormat> encoding() const;
  [[nodiscard]] std::string type_name() const;      // ggml's: "Q4_K", "type 99"
  [[nodiscard]] std::string encoding_text() const;  // "q8_0", "float32"; of a type that cannot be read "q3_k", "type 99"
};

// Resource, movable.
class GgufFile {
 public:
  [[nodiscard]] static Expected<GgufFile> open(const std::string& path);
  // Over memory that outlives the object; `file` is the name in messages.
  [[nodiscard]] static Expected<GgufFile> parse(std::span<const std::byte> bytes, std::string file);

  [[nodiscard]] const std::string& file() const { return bytes_->name(); }
  [[nodiscard]] std::uint32_t version() const { return version_; }

  [[nodiscard]] const std::vector<GgufTensor>& tensors() const { return tensors_; }  // sorted by name
  [[nodiscard]] const GgufTensor* find(std::string_view name) const;
  [[nodiscard]] const std::shared_ptr<const files::FileBytes>& bytes() const { return bytes_; }

  [[nodiscard]] const std::vector<GgufValue>& metadata() const { return metadata_; }  // sorted by key
  [[nodiscard]] const GgufValue* value(std::string_view key) const;

  // Absent key: an empty optional. Present with another type: an error that names file, key and type. Any integer
  // type is an integer (a u64 beyond int64 is an error); f32, f64 and integers are numbers.
  [[nodiscard]] Expected<std::optional<std::int64_t>> integer(std::string_view key) const;
  [[nodiscard]] Expected<std::optional<double>> number(std::string_view key) const;
  [[nodiscard]] Expected<std::optional<bool>> boolean(std::string_view key) const;
  [[nodiscard]] Expected<std::optional<std::string_view>> string(std::string_view key) const;
  // Arrays; an absent key is an empty vector.
  [[nodiscard]] Expected<std::vector<std::string_view>> strings(std::string_view key) const;
  [[nodiscard]] Expected<std::vector<std::int64_t>> integers(std::string_view key) const;
  [[nodiscard]] Expected<std::vector<float>> floats(std::string_view key) const;

 private:
  GgufFile() = default;
  [[nodiscard]] static Expected<GgufFile> read(const std::shared_ptr<const files::FileBytes>& bytes);
  // `header`: the first bytes of the file. `cut` is set when more of them are needed than there are.
  [[nodiscard]] static Expected<GgufFile> read_header(std::shared_ptr<const files::FileBytes> bytes,
                                                      std::vector<std::byte> header, bool* cut);
  [[nodiscard]] Status wrong_type(const GgufValue& value, const char* wanted) const;

  std::shared_ptr<const files::FileBytes> bytes_;
  std::vector<std::byte> header_;  // what the views below look into; moving a vector keeps its memory
  std::uint32_t version_ = 0;
  std::vector<GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace herd::model
