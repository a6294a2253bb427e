#include "runtime/checkpoint/gguf_head.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <type_traits>

#include "kernels/check.h"

namespace herd::model {
namespace {

constexpr std::uint32_t kVersion = 3;
constexpr std::uint64_t kAlignment = 32;  // what a file has that does not say another one
constexpr std::uint64_t kFixedBytes = 4 + 4 + 8 + 8;

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
void put(std::vector<std::byte>& out, T value) {
  static_assert(std::is_arithmetic_v<T>);
  const std::size_t at = out.size();
  out.resize(at + sizeof value);
  std::memcpy(out.data() + at, &value, sizeof value);
}

void put_bytes(std::vector<std::byte>& out, std::span<const std::byte> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

void put_text(std::vector<std::byte>& out, std::string_view text) {
  put(out, std::uint64_t{text.size()});
  put_bytes(out, std::as_bytes(std::span(text)));
}

void put_type(std::vector<std::byte>& out, GgufValueType type) { put(out, static_cast<std::uint32_t>(type)); }

void put_array(std::vector<std::byte>& out, GgufValueType type, std::size_t count) {
  put_type(out, GgufValueType::kArray);
  put_type(out, type);
  put(out, std::uint64_t{count});
}

struct Numbers {
  WeightFormat format;
  std::uint32_t type;       // GGML_TYPE_…
  std::uint32_t file_type;  // LLAMA_FTYPE_MOSTLY_…, of K-quants the mixtures "M"
};
constexpr Numbers kNumbers[] = {{WeightFormat::kF32, 0, 0},   {WeightFormat::kF16, 1, 1},   {WeightFormat::kQ4_0, 2, 2},
                                {WeightFormat::kQ4_1, 3, 3},  {WeightFormat::kQ5_0, 6, 8},  {WeightFormat::kQ5_1, 7, 9},
                                {WeightFormat::kQ8_0, 8, 7},  {WeightFormat::kQ4_K, 12, 15}, {WeightFormat::kQ5_K, 13, 17},
                                {WeightFormat::kQ6_K, 14, 18}, {WeightFormat::kBF16, 30, 32}};

const Numbers& numbers_of(WeightFormat format) {
  const auto* found = std::ranges::find(kNumbers, format, &Numbers::format);
  HERD_CHECK(found != std::end(kNumbers), "every format has numbers");
  return *found;
}

}  // namespace

std::uint32_t ggml_type_number(WeightFormat format) { return numbers_of(format).type; }

std::uint32_t ggml_file_type(WeightFormat format) { return numbers_of(format).file_type; }

bool GgufHead::has(std::string_view key) const { return std::find(keys_.begin(), keys_.end(), key) != keys_.end(); }

void GgufHead::begin_entry(std::string_view key) {
  HERD_CHECK(!has(key), "a key is added once");
  keys_.emplace_back(key);
  put_text(metadata_, key);
}

void GgufHead::add(std::string_view key, std::string_view text) {
  begin_entry(key);
  put_type(metadata_, GgufValueType::kString);
  put_text(metadata_, text);
}

template <class T>
void GgufHead::add_scalar(std::string_view key, GgufValueType type, T value) {
  begin_entry(key);
  put_type(metadata_, type);
  put(metadata_, value);
}

void GgufHead::add(std::string_view key, std::uint32_t number) { add_scalar(key, GgufValueType::kU32, number); }

void GgufHead::add(std::string_view key, float number) { add_scalar(key, GgufValueType::kF32, number); }

void GgufHead::add(std::string_view key, double number) { add_scalar(key, GgufValueType::kF64, number); }

void GgufHead::add_flag(std::string_view key, bool flag) { add_scalar(key, GgufValueType::kBool, static_cast<std::uint8_t>(flag)); }

void GgufHead::add(std::string_view key, std::span<const std::string> texts) {
  begin_entry(key);
  put_array(metadata_, GgufValueType::kString, texts.size());
  for (const std::string& text : texts) put_text(metadata_, text);
}

void GgufHead::add(std::string_view key, std::span<const float> numbers) {
  begin_entry(key);
  put_array(metadata_, GgufValueType::kF32, numbers.size());
  put_bytes(metadata_, std::as_bytes(numbers));
}

void GgufHead::add(std::string_view key, std::span<const std::int32_t> numbers) {
  begin_entry(key);
  put_array(metadata_, GgufValueType::kI32, numbers.size());
  put_bytes(metadata_, std::as_bytes(numbers));
}

void GgufHead::add(const GgufValue& value) {
  begin_entry(value.key);
  if (value.is_array) put_array(metadata_, value.type, value.count);
  else put_type(metadata_, value.type);
  put_bytes(metadata_, value.elements);
}

void GgufHead::add_tensor(std::string_view name, const std::vector<std::int64_t>& shape, WeightFormat format) {
  put_text(table_, name);
  put(table_, static_cast<std::uint32_t>(shape.size()));
  std::int64_t rows = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    put(table_, static_cast<std::uint64_t>(shape[i]));
    if (i + 1 < shape.size()) rows *= shape[i];
  }
  put(table_, ggml_type_number(format));
  put(table_, data_bytes_);
  offsets_.push_back(data_bytes_);
  data_bytes_ = aligned(data_bytes_ + static_cast<std::uint64_t>(rows * row_bytes(format, shape.back())));
}

std::uint64_t GgufHead::data_begin() const { return aligned(kFixedBytes + metadata_.size() + table_.size()); }

std::uint64_t GgufHead::begin(std::size_t index) const { return data_begin() + offsets_[index]; }

std::uint64_t GgufHead::file_bytes() const { return data_begin() + data_bytes_; }

std::vector<std::byte> GgufHead::bytes() const {
  std::vector<std::byte> out;
  out.reserve(data_begin());
  put_bytes(out, std::as_bytes(std::span("GGUF", 4)));
  put(out, kVersion);
  put(out, std::uint64_t{offsets_.size()});
  put(out, std::uint64_t{keys_.size()});
  put_bytes(out, metadata_);
  put_bytes(out, table_);
  out.resize(data_begin());
  return out;
}

}  // namespace herd::model
