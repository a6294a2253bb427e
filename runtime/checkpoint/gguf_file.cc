#include "runtime/checkpoint/gguf_file.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <limits>
#include <utility>

#include "runtime/files/file_kind.h"

namespace herd::model {
namespace {

constexpr std::uint64_t kTensorsMax = 1'000'000;
constexpr std::uint64_t kEntriesMax = 1'000'000;
constexpr std::uint64_t kArrayElementsMax = std::uint64_t{1} << 22;  // twice the merges of the largest vocabulary
constexpr int kArrayDepthMax = 4;
constexpr std::uint64_t kArrayHeadBytes = 4 + 8;  // element type, count
constexpr std::uint64_t kStringHeadBytes = 8;     // length
constexpr std::uint64_t kMetadataBytesMax = std::uint64_t{64} << 20;
constexpr std::uint64_t kKeyBytesMax = 65535;
constexpr std::uint64_t kNameBytesMax = 256;
constexpr std::uint64_t kElementsMax = std::uint64_t{1} << 48;
constexpr std::uint32_t kDimensionsMax = 4;
constexpr std::int64_t kAlignmentMax = 4096;
constexpr std::uint64_t kHeaderBytesFirst = std::uint64_t{1} << 20;
constexpr std::uint64_t kHeaderBytesMax = std::uint64_t{512} << 20;  // the most metadata and tensors together fit in it
// The smallest encodings: empty key + type + one byte; empty name + count + one dimension + type + offset.
constexpr std::uint64_t kEntryBytesMin = 8 + 4 + 1;
constexpr std::uint64_t kTensorBytesMin = 8 + 4 + 8 + 4 + 8;

struct GgmlType {
  std::uint32_t number;
  const char* name;
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
};
constexpr GgmlType kGgmlTypes[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},
};

const GgmlType* ggml_type(std::uint32_t number) {
  for (const GgmlType& type : kGgmlTypes) {
    if (type.number == number) return &type;
  }
  return nullptr;
}

// 0 for string and array, whose size is not fixed, and for unknown types.
std::uint64_t value_bytes(GgufValueType type) {
  switch (type) {
    case GgufValueType::kU8:
    case GgufValueType::kI8:
    case GgufValueType::kBool:
      return 1;
    case GgufValueType::kU16:
    case GgufValueType::kI16:
      return 2;
    case GgufValueType::kU32:
    case GgufValueType::kI32:
    case GgufValueType::kF32:
      return 4;
    case GgufValueType::kU64:
    case GgufValueType::kI64:
    case GgufValueType::kF64:
      return 8;
    case GgufValueType::kString:
    case GgufValueType::kArray:
      return 0;
  }
  return 0;
}

const char* value_type_name(GgufValueType type) {
  constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                    "bool", "string", "array", "u64", "i64", "f64"};
  const auto index = static_cast<std::uint32_t>(type);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Reads forward through the file, of which only the first bytes are there. A read past the end of the file fails, as
// does one past the bytes that are there, which is_cut() tells apart.
class Cursor {
 public:
  Cursor(std::span<const std::byte> header, std::uint64_t file_bytes) : header_(header), file_bytes_(file_bytes) {}

  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t left() const { return file_bytes_ - position_; }
  [[nodiscard]] bool is_cut() const { return is_cut_; }

  template <class T>
  [[nodiscard]] bool read(T* out) {
    if (!skip(sizeof(T))) return false;
    *out = load<T>(header_.data() + position_ - sizeof(T));
    return true;
  }
  [[nodiscard]] bool skip(std::uint64_t n) {
    if (left() < n) return false;
    if (header_.size() - position_ < n) {
      is_cut_ = true;
      return false;
    }
    position_ += n;
    return true;
  }
  [[nodiscard]] bool read_string(std::string_view* out, std::uint64_t bytes_max) {
    std::uint64_t n = 0;
    if (!read(&n) || n > bytes_max || !skip(n)) return false;
    *out = {reinterpret_cast<const char*>(header_.data() + position_ - n), static_cast<std::size_t>(n)};
    return true;
  }
  [[nodiscard]] std::span<const std::byte> since(std::uint64_t begin) const {
    return header_.subspan(begin, position_ - begin);
  }

 private:
  std::span<const std::byte> header_;
  std::uint64_t file_bytes_;
  std::uint64_t position_ = 0;
  bool is_cut_ = false;
};

std::string quoted(std::string_view text) {
  std::string result(1, '"');
  return result.append(text).append(1, '"');
}

// Empty when the cursor stands behind `count` values of a type. Arrays in arrays are passed over: no key that is read has
// any, and what follows them counts.
std::string pass_values(Cursor& cursor, const std::string& where, std::uint32_t type, std::uint64_t count, int depth) {
  const bool is_array = type == static_cast<std::uint32_t>(GgufValueType::kArray);
  const bool is_string = type == static_cast<std::uint32_t>(GgufValueType::kString);
  const std::uint64_t each =
      is_array ? kArrayHeadBytes : is_string ? kStringHeadBytes : value_bytes(static_cast<GgufValueType>(type));
  if (each == 0) return where + ": value type " + std::to_string(type) + " is unknown";
  if (count > kArrayElementsMax || count > cursor.left() / each) {
    return where + ": " + std::to_string(count) + " elements do not fit into the file or the limit of " +
           std::to_string(kArrayElementsMax);
  }
  if (!is_array && !is_string) return cursor.skip(count * each) ? "" : where + ": goes beyond the end of the file";
  if (is_array && depth == kArrayDepthMax)
    return where + ": has arrays in arrays, more than " + std::to_string(kArrayDepthMax) + " deep";
  std::string_view ignored;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint32_t inner = 0;
    std::uint64_t inner_count = 0;
    if (is_string) {
      if (!cursor.read_string(&ignored, kMetadataBytesMax)) return where + ": a string goes beyond the end of the file";
      continue;
    }
    if (!cursor.read(&inner) || !cursor.read(&inner_count)) return where + ": the file ends in the head of an array";
    if (std::string problem = pass_values(cursor, where, inner, inner_count, depth + 1); !problem.empty()) return problem;
  }
  return {};
}

// Empty when the cursor stands behind the entry.
std::string parse_value(Cursor& cursor, GgufValue& value) {
  const std::string where = "key " + quoted(value.key);
  std::uint32_t type = 0;
  if (!cursor.read(&type)) return where + ": the file ends in its type";
  if (type == static_cast<std::uint32_t>(GgufValueType::kArray)) {
    value.is_array = true;
    if (!cursor.read(&type) || !cursor.read(&value.count)) return where + ": the file ends in the array's head";
  }
  value.type = static_cast<GgufValueType>(type);
  const std::uint64_t begin = cursor.position();
  if (std::string problem = pass_values(cursor, where, type, value.count, 1); !problem.empty()) return problem;
  value.elements = cursor.since(begin);
  return {};
}

// Empty when `tensor` is complete but for the place of the data: begin is the offset in the data section, end its end.
std::string parse_tensor(Cursor& cursor, std::uint64_t alignment, GgufTensor& tensor) {
  if (!cursor.read_string(&tensor.name, kNameBytesMax)) return "a tensor's name goes beyond the file or 256 bytes";
  const std::string where(tensor.name);
  std::uint32_t dimensions = 0;
  if (!cursor.read(&dimensions)) return where + ": the file ends in its dimensions";
  if (dimensions == 0 || dimensions > kDimensionsMax) {
    return where + ": has " + std::to_string(dimensions) + " dimensions; 1 to 4 are possible";
  }
  std::uint64_t elements = 1;
  tensor.shape.resize(dimensions);
  for (std::uint32_t i = 0; i < dimensions; ++i) {  // fastest-varying first in the file
    std::uint64_t size = 0;
    if (!cursor.read(&size)) return where + ": the file ends in its dimensions";
    if (size == 0 || size > kElementsMax || __builtin_mul_overflow(elements, size, &elements) ||
        elements > kElementsMax) {
      return where + ": dimension " + std::to_string(i) + " of " + std::to_string(size) + " is zero or too large";
    }
    tensor.shape[dimensions - 1 - i] = static_cast<std::int64_t>(size);
  }
  std::uint64_t offset = 0;
  if (!cursor.read(&tensor.type) || !cursor.read(&offset)) return where + ": the file ends in its type or offset";
  if (offset % alignment != 0) {
    return where + ": offset " + std::to_string(offset) + " is not a multiple of the alignment " +
           std::to_string(alignment);
  }
  std::uint64_t bytes = 0;
  if (const GgmlType* type = ggml_type(tensor.type)) {
    if (static_cast<std::uint64_t>(tensor.shape.back()) % type->block_elements != 0) {
      return where + ": rows of " + std::to_string(tensor.shape.back()) + " elements are not whole " + type->name +
             " blocks of " + std::to_string(type->block_elements);
    }
    bytes = elements / type->block_elements * type->block_bytes;  // < 2^52
  }
  tensor.begin = offset;
  if (__builtin_add_overflow(offset, bytes, &tensor.end)) {
    return where + ": offset " + std::to_string(offset) + " is too large";
  }
  return {};
}

// Empty when every tensor lies inside `data_bytes` and none overlaps another.
std::string check_places(const std::vector<GgufTensor>& tensors, std::uint64_t data_bytes) {
  std::vector<const GgufTensor*> by_begin;
  by_begin.reserve(tensors.size());
  for (const GgufTensor& tensor : tensors) by_begin.push_back(&tensor);
  std::sort(by_begin.begin(), by_begin.end(), [](const GgufTensor* a, const GgufTensor* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  const GgufTensor* before = nullptr;
  for (const GgufTensor* tensor : by_begin) {
    if (tensor->end > data_bytes) {
      return std::string(tensor->name) + ": its data end at byte " + std::to_string(tensor->end) +
             " of the data section, which has " + std::to_string(data_bytes) + " (the file is cut short?)";
    }
    if (before != nullptr && tensor->begin < before->end) {
      return std::string(tensor->name) + ": overlaps another tensor, " + std::string(before->name) + ", at byte " +
             std::to_string(tensor->begin) + " of the data section";
    }
    before = tensor;
  }
  return {};
}

std::int64_t load_integer(GgufValueType type, const std::byte* at, bool* ok) {
  *ok = true;
  switch (type) {
    case GgufValueType::kU8:
      return load<std::uint8_t>(at);
    case GgufValueType::kI8:
      return load<std::int8_t>(at);
    case GgufValueType::kU16:
      return load<std::uint16_t>(at);
    case GgufValueType::kI16:
      return load<std::int16_t>(at);
    case GgufValueType::kU32:
      return load<std::uint32_t>(at);
    case GgufValueType::kI32:
      return load<std::int32_t>(at);
    case GgufValueType::kI64:
      return load<std::int64_t>(at);
    case GgufValueType::kU64: {
      const auto value = load<std::uint64_t>(at);
      if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return static_cast<std::int64_t>(value);
      }
      break;
    }
    default:
      break;
  }
  *ok = false;
  return 0;
}

}  // namespace

std::optional<WeightFormat> GgufTensor::encoding() const {
  switch (type) {
    case 0:
      return WeightFormat::kF32;
    case 1:
      return WeightFormat::kF16;
    case 2:
      return WeightFormat::kQ4_0;
    case 3:
      return WeightFormat::kQ4_1;
    case 6:
      return WeightFormat::kQ5_0;
    case 7:
      return WeightFormat::kQ5_1;
    case 8:
      return WeightFormat::kQ8_0;
    case 12:
      return WeightFormat::kQ4_K;
    case 13:
      return WeightFormat::kQ5_K;
    case 14:
      return WeightFormat::kQ6_K;
    case 30:
      return WeightFormat::kBF16;
    default:
      return {};
  }
}

std::string GgufTensor::type_name() const {
  const GgmlType* known = ggml_type(type);
  return known != nullptr ? known->name : "type " + std::to_string(type);
}

std::string GgufTensor::encoding_text() const {
  if (const auto readable = encoding()) return format_name(*readable);
  std::string name = type_name();
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

Expected<GgufFile> GgufFile::open(const std::string& path) {
  auto bytes = files::FileBytes::open(path);
  if (!bytes) return fail(bytes.error());
  return read(*bytes);
}

Expected<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string file) {
  return read(files::FileBytes::over(bytes, std::move(file)));
}

// How long a header is shows when it is read: more of the file is taken until it is whole, or longer than any is.
Expected<GgufFile> GgufFile::read(const std::shared_ptr<const files::FileBytes>& bytes) {
  for (std::uint64_t size = kHeaderBytesFirst;; size *= 2) {
    std::vector<std::byte> header(std::min(size, bytes->size()));
    if (Status status = bytes->read(0, header); !status.ok()) return fail(std::move(status));
    bool cut = false;
    auto file = read_header(bytes, std::move(header), &cut);
    if (!cut) return file;
    if (size >= kHeaderBytesMax) return fail(bad_input(bytes->name() + ": has more than 512 MiB before the tensors' data"));
  }
}

Expected<GgufFile> GgufFile::read_header(std::shared_ptr<const files::FileBytes> bytes, std::vector<std::byte> header,
                                         bool* cut) {
  GgufFile result;
  result.bytes_ = std::move(bytes);
  result.header_ = std::move(header);
  Cursor cursor(result.header_, result.bytes_->size());
  const auto refuse = [&](const std::string& what) {
    *cut = cursor.is_cut();
    return fail(bad_input(result.file() + ": " + what));
  };
  std::uint32_t magic = 0;
  if (!cursor.read(&magic) || magic != 0x46554747u) {
    const std::string_view head(reinterpret_cast<const char*>(result.header_.data()), result.header_.size());
    const files::FileKind kind = files::kind_of(head.substr(0, files::kKindBytes));
    const bool is_known = kind != files::FileKind::kUnknown;
    return refuse("does not begin with GGUF" + (is_known ? std::string(": it is ") + files::kind_text(kind) : ""));
  }
  if (!cursor.read(&result.version_)) return refuse("the file ends in its version");
  if (result.version_ != 0 && (result.version_ & 0xffffu) == 0)
    return refuse("is a big-endian GGUF file; convert it to little-endian");
  if (result.version_ != 2 && result.version_ != 3) {
    return refuse("GGUF version " + std::to_string(result.version_) + " is not supported (2 and 3 are)");
  }
  std::uint64_t tensor_count = 0;
  std::uint64_t entry_count = 0;
  if (!cursor.read(&tensor_count) || !cursor.read(&entry_count)) return refuse("the file ends in its header");
  if (tensor_count > kTensorsMax || tensor_count > cursor.left() / kTensorBytesMin) {
    return refuse("tensor count " + std::to_string(tensor_count) + " does not fit into the file");
  }
  if (entry_count > kEntriesMax || entry_count > cursor.left() / kEntryBytesMin) {
    return refuse("metadata count " + std::to_string(entry_count) + " does not fit into the file");
  }

  const std::uint64_t metadata_begin = cursor.position();
  result.metadata_.resize(entry_count);
  for (GgufValue& entry : result.metadata_) {
    if (!cursor.read_string(&entry.key, kKeyBytesMax))
      return refuse("a metadata key goes beyond the file or 65535 bytes");
    if (const std::string problem = parse_value(cursor, entry); !problem.empty()) return refuse(problem);
    if (cursor.position() - metadata_begin > kMetadataBytesMax) return refuse("has more than 64 MiB of metadata");
  }
  std::sort(result.metadata_.begin(), result.metadata_.end(),
            [](const GgufValue& a, const GgufValue& b) { return a.key < b.key; });
  for (std::size_t i = 1; i < result.metadata_.size(); ++i) {
    if (result.metadata_[i - 1].key == result.metadata_[i].key) {
      return refuse("key " + quoted(result.metadata_[i].key) + ": occurs twice");
    }
  }

  const auto stated_alignment = result.integer("general.alignment");
  if (!stated_alignment) return fail(stated_alignment.error());
  const std::int64_t alignment = stated_alignment->value_or(32);
  if (alignment < 8 || alignment > kAlignmentMax || (alignment & (alignment - 1)) != 0) {
    return refuse("general.alignment: " + std::to_string(alignment) + " is not a power of two in [8, 4096]");
  }

  result.tensors_.resize(tensor_count);
  for (GgufTensor& tensor : result.tensors_) {
    const std::string problem = parse_tensor(cursor, static_cast<std::uint64_t>(alignment), tensor);
    if (!problem.empty()) return refuse(problem);
  }
  std::sort(result.tensors_.begin(), result.tensors_.end(),
            [](const GgufTensor& a, const GgufTensor& b) { return a.name < b.name; });
  for (std::size_t i = 1; i < result.tensors_.size(); ++i) {
    if (result.tensors_[i - 1].name == result.tensors_[i].name) {
      return refuse(std::string(result.tensors_[i].name) + ": occurs twice");
    }
  }
  const auto mask = static_cast<std::uint64_t>(alignment) - 1;
  const std::uint64_t data_begin = (cursor.position() + mask) & ~mask;
  const std::uint64_t data_bytes = data_begin < result.bytes_->size() ? result.bytes_->size() - data_begin : 0;
  if (const std::string problem = check_places(result.tensors_, data_bytes); !problem.empty()) return refuse(problem);
  for (GgufTensor& tensor : result.tensors_) {
    tensor.begin += data_begin;
    tensor.end += data_begin;
  }
  return result;
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                   [](const GgufTensor& tensor, std::string_view n) { return tensor.name < n; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

const GgufValue* GgufFile::value(std::string_view key) const {
  const auto at = std::lower_bound(metadata_.begin(), metadata_.end(), key,
                                   [](const GgufValue& value, std::string_view k) { return value.key < k; });
  return at != metadata_.end() && at->key == key ? &*at : nullptr;
}

Status GgufFile::wrong_type(const GgufValue& value, const char* wanted) const {
  return bad_input(file() + ": " + std::string(value.key) + ": is " + (value.is_array ? "an array of " : "") +
                   value_type_name(value.type) + ", expected " + wanted);
}

Expected<std::optional<std::int64_t>> GgufFile::integer(std::string_view key) const {
  const GgufValue* found = value(key);
  if (found == nullptr) return std::optional<std::int64_t>();
  bool ok = !found->is_array;
  const std::int64_t result = ok ? load_integer(found->type, found->elements.data(), &ok) : 0;
  if (!ok) return fail(wrong_type(*found, "an integer below 2^63"));
  return std::optional(result);
}

Expected<std::optional<double>> GgufFile::number(std::string_view key) const {
  const GgufValue* found = value(key);
  if (found == nullptr) return std::optional<double>();
  if (!found->is_array) {
    if (found->type == GgufValueType::kF32) return std::optional<double>(load<float>(found->elements.data()));
    if (found->type == GgufValueType::kF64) return std::optional<double>(load<double>(found->elements.data()));
    bool ok = false;
    const std::int64_t result = load_integer(found->type, found->elements.data(), &ok);
    if (ok) return std::optional<double>(static_cast<double>(result));
  }
  return fail(wrong_type(*found, "a number"));
}

Expected<std::optional<bool>> GgufFile::boolean(std::string_view key) const {
  const GgufValue* found = value(key);
  if (found == nullptr) return std::optional<bool>();
  if (found->is_array || found->type != GgufValueType::kBool) return fail(wrong_type(*found, "a bool"));
  return std::optional(load<std::uint8_t>(found->elements.data()) != 0);
}

Expected<std::optional<std::string_view>> GgufFile::string(std::string_view key) const {
  const GgufValue* found = value(key);
  if (found == nullptr) return std::optional<std::string_view>();
  if (found->is_array || found->type != GgufValueType::kString) return fail(wrong_type(*found, "a string"));
  return std::optional(
      std::string_view(reinterpret_cast<const char*>(found->elements.data()) + 8, found->elements.size() - 8));
}

Expected<std::vector<std::string_view>> GgufFile::strings(std::string_view key) const {
  std::vector<std::string_view> result;
  const GgufValue* found = value(key);
  if (found == nullptr) return result;
  if (!found->is_array || found->type != GgufValueType::kString) return fail(wrong_type(*found, "an array of strings"));
  result.reserve(found->count);
  const auto* at = reinterpret_cast<const char*>(found->elements.data());
  for (std::uint64_t i = 0; i < found->count; ++i) {  // lengths were checked by parse()
    const auto n = load<std::uint64_t>(reinterpret_cast<const std::byte*>(at));
    result.emplace_back(at + 8, n);
    at += 8 + n;
  }
  return result;
}

Expected<std::vector<std::int64_t>> GgufFile::integers(std::string_view key) const {
  std::vector<std::int64_t> result;
  const GgufValue* found = value(key);
  if (found == nullptr) return result;
  if (!found->is_array) return fail(wrong_type(*found, "an array of integers"));
  result.reserve(found->count);
  const std::uint64_t each = value_bytes(found->type);
  for (std::uint64_t i = 0; i < found->count; ++i) {
    bool ok = false;
    result.push_back(load_integer(found->type, found->elements.data() + i * each, &ok));
    if (!ok) return fail(wrong_type(*found, "an array of integers below 2^63"));
  }
  return result;
}

Expected<std::vector<float>> GgufFile::floats(std::string_view key) const {
  std::vector<float> result;
  const GgufValue* found = value(key);
  if (found == nullptr) return result;
  if (!found->is_array || found->type != GgufValueType::kF32) return fail(wrong_type(*found, "an array of f32"));
  result.reserve(found->count);
  for (std::uint64_t i = 0; i < found->count; ++i) result.push_back(load<float>(found->elements.data() + i * 4));
  return result;
}

}  // namespace herd::model
