#pragma once
// Writers of tiny checkpoint files, byte by byte, so that a test can break any one of them.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/splitmix64.h"
#include "kernels/weight_format.h"

namespace herd::model::testing {

template <class T>
void append(std::string& bytes, T value) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  bytes.append(raw, sizeof value);
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// A directory that is gone when the object is.
class TempDirectory {
 public:
  TempDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "herd_checkpoint_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  std::string write(const std::string& name, std::string_view content) const {
    const std::string path = path_ + "/" + name;
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
    return path;
  }

 private:
  std::string path_;
};

// Header length, header, data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  std::string bytes;
  append(bytes, static_cast<std::uint64_t>(header.size()));
  bytes += header;
  bytes += data;
  return bytes;
}

struct FloatTensor {
  std::string name;
  std::vector<std::int64_t> shape;  // Hugging Face order
  std::vector<float> values;
};

inline std::string shape_json(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t n : shape) {
    if (text.size() > 1) text += ',';
    text += std::to_string(n);
  }
  return text + "]";
}

// Rounds nothing: callers use values that the type holds.
inline std::string pack(const std::vector<float>& values, std::string_view dtype) {
  std::string bytes;
  for (const float value : values) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if (dtype == "BF16") {
      append(bytes, static_cast<std::uint16_t>(bits >> 16));
    } else {
      append(bytes, bits);
    }
  }
  return bytes;
}

inline std::string safetensors_bytes(const std::vector<FloatTensor>& tensors, std::string_view dtype) {
  std::string header = R"({"__metadata__":{"format":"pt"})";
  std::string data;
  for (const FloatTensor& tensor : tensors) {
    const std::size_t begin = data.size();
    data += pack(tensor.values, dtype);
    header += ",\"" + tensor.name + R"(":{"dtype":")" + std::string(dtype) + R"(","shape":)" +
              shape_json(tensor.shape) + ",\"data_offsets\":[" + std::to_string(begin) + "," +
              std::to_string(data.size()) + "]}";
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return safetensors_bytes(header, data);
}

// ggml's number of a type.
inline std::uint32_t ggml_number(WeightFormat format) {
  constexpr std::uint32_t kNumbers[std::size(kAllFormats)] = {0, 30, 1, 8, 2, 3, 6, 7, 12, 13, 14};
  return kNumbers[static_cast<std::size_t>(format)];
}

// Blocks of random quants, with scales and minimums in ±[2^-4, 2^-3).
inline std::string random_blocks(WeightFormat format, std::int64_t blocks, std::uint64_t seed) {
  const auto stride = static_cast<std::size_t>(block_bytes(format));
  std::string bytes(static_cast<std::size_t>(blocks) * stride, '\0');
  std::uint64_t state = seed;
  const auto random = [&state] { return splitmix64_finish(state += kSplitMix64Step); };
  for (char& byte : bytes) byte = static_cast<char>(random());
  for (auto at = static_cast<std::size_t>(scale_offset(format)); at < bytes.size(); at += stride) {
    for (std::size_t i = 0; i < (has_minimum(format) ? 2U : 1U); ++i) {
      const auto scale = static_cast<std::uint16_t>(0x2c00 | (random() & 0x83ff));
      std::memcpy(bytes.data() + at + 2 * i, &scale, 2);
    }
  }
  return bytes;
}

// One GGUF file; every field may be given a value that no converter would write.
struct GgufWriter {
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dims;  // ggml order
    std::uint32_t type = 0;
    std::string data;
    std::int64_t offset = -1;  // -1: where the data land; other negative ones are huge
  };

  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  std::uint64_t extra_tensors = 0;  // promised in the header, not there
  std::uint64_t extra_entries = 0;
  std::string entries;
  std::uint64_t entry_count = 0;
  std::vector<Tensor> tensors;

  static void put_string(std::string& bytes, std::string_view text) {
    append(bytes, static_cast<std::uint64_t>(text.size()));
    bytes += text;
  }
  void begin_entry(std::string_view key, std::uint32_t type) {
    put_string(entries, key);
    append(entries, type);
    ++entry_count;
  }
  void text(std::string_view key, std::string_view value) {
    begin_entry(key, 8);
    put_string(entries, value);
  }
  template <class T>
  void scalar(std::string_view key, std::uint32_t type, T value) {
    begin_entry(key, type);
    append(entries, value);
  }
  void u32(std::string_view key, std::uint32_t value) { scalar(key, 4, value); }
  void f32(std::string_view key, float value) { scalar(key, 6, value); }
  void texts(std::string_view key, const std::vector<std::string>& values) {
    begin_entry(key, 9);
    append(entries, std::uint32_t{8});
    append(entries, static_cast<std::uint64_t>(values.size()));
    for (const std::string& value : values) put_string(entries, value);
  }
  void i32s(std::string_view key, const std::vector<std::int32_t>& values) {
    begin_entry(key, 9);
    append(entries, std::uint32_t{5});
    append(entries, static_cast<std::uint64_t>(values.size()));
    for (const std::int32_t value : values) append(entries, value);
  }

  [[nodiscard]] std::string bytes() const {
    std::string out = "GGUF";
    append(out, version);
    append(out, tensors.size() + extra_tensors);
    append(out, entry_count + extra_entries);
    out += entries;
    std::string data;
    for (const Tensor& tensor : tensors) {
      data.resize((data.size() + alignment - 1) / alignment * alignment, '\0');
      put_string(out, tensor.name);
      append(out, static_cast<std::uint32_t>(tensor.dims.size()));
      for (const std::uint64_t dim : tensor.dims) append(out, dim);
      append(out, tensor.type);
      append(out,
             tensor.offset == -1 ? static_cast<std::uint64_t>(data.size()) : static_cast<std::uint64_t>(tensor.offset));
      data += tensor.data;
    }
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data;
  }
};

}  // namespace herd::model::testing
