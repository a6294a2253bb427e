#include "runtime/checkpoint/safetensors_file.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>

#include "runtime/files/file_kind.h"

namespace herd::model {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kHeaderBytesMax = 100'000'000;
constexpr std::size_t kTensorsMax = 1'000'000;
constexpr std::size_t kDimensionsMax = 8;
constexpr std::size_t kDepthMax = 128;  // of a field that is skipped
constexpr std::size_t kNameBytesMax = 1024;
constexpr std::uint64_t kDimensionMax = std::uint64_t{1} << 48;  // also beside a dimension of 0: strides stay in int64

struct DtypeBits {
  std::string_view name;
  unsigned bits;
};
constexpr DtypeBits kDtypes[] = {
    {"BOOL", 8}, {"U8", 8},   {"I8", 8},    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},
    {"U16", 16}, {"F16", 16}, {"BF16", 16}, {"I32", 32},    {"U32", 32},    {"F32", 32},    {"I64", 64},
    {"U64", 64}, {"F64", 64}, {"C64", 64},  {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},
};

unsigned dtype_bits(std::string_view dtype) {
  for (const DtypeBits& known : kDtypes) {
    if (known.name == dtype) return known.bits;
  }
  return 0;
}

// Header JSON straight into tensors, without a document tree: memory stays near the size of the header.
// {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"format": "pt"}}
// As the reference reader: __metadata__ may be null, and an entry may have fields of a later version, which are skipped.
struct HeaderHandler {
  static constexpr std::size_t max_array_size = -1;
  static constexpr std::size_t max_object_size = -1;
  static constexpr std::size_t max_string_size = -1;
  static constexpr std::size_t max_key_size = -1;

  enum class Field { kNone, kDtype, kShape, kOffsets, kMetadata, kSkipped };

  std::vector<SafetensorsTensor> tensors;
  std::string problem;

  int depth = 0;
  bool in_array = false;
  bool in_metadata = false;
  int skipped_depth = 0;  // open arrays and objects of a skipped field's value
  Field field = Field::kNone;
  bool has_dtype = false, has_shape = false, has_offsets = false;
  std::vector<std::uint64_t> offsets;
  std::unordered_set<std::string> metadata_keys;
  bool metadata_seen = false;
  std::string key;
  std::string text;

  bool refuse(std::string what, json::error_code& error) {
    problem = std::move(what);
    error = json::error::exception;  // any code stops the parser
    return false;
  }
  bool unexpected(json::error_code& error) {
    if (depth == 0) return refuse("the header is not an object", error);
    if (in_metadata) return refuse("__metadata__ is not a map of strings", error);
    if (tensors.empty()) return refuse("an entry is not an object", error);
    switch (field) {
      case Field::kDtype:
        return refuse(tensors.back().name + ": dtype is not a string", error);
      case Field::kShape:
        return refuse(tensors.back().name + ": shape is not a list of dimensions", error);
      case Field::kOffsets:
        return refuse(tensors.back().name + ": data_offsets is not [begin, end]", error);
      default:
        return refuse(tensors.back().name + ": the entry is not an object", error);
    }
  }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  // Inside a field of an entry that is not read; the value is over when nothing of it is open.
  [[nodiscard]] bool skipping() const { return field == Field::kSkipped; }
  bool skipped_begins() {
    ++skipped_depth;
    return true;
  }
  bool skipped_ends() {
    if (--skipped_depth == 0) field = Field::kNone;
    return true;
  }
  bool skipped_value() {
    if (skipped_depth == 0) field = Field::kNone;
    return true;
  }

  bool on_object_begin(json::error_code& error) {
    if (skipping()) return skipped_begins();
    if (depth == 2 || in_array) return unexpected(error);
    ++depth;
    return true;
  }
  bool on_object_end(std::size_t, json::error_code& error) {
    if (skipping()) return skipped_ends();
    --depth;
    if (depth != 1) return true;
    if (std::exchange(in_metadata, false)) return true;
    SafetensorsTensor& tensor = tensors.back();
    if (!has_dtype) return refuse(tensor.name + ": dtype is missing", error);
    if (!has_shape) return refuse(tensor.name + ": shape is missing", error);
    if (!has_offsets) return refuse(tensor.name + ": data_offsets is missing", error);
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
      return refuse(tensor.name + ": data_offsets is not [begin, end]", error);
    }
    tensor.begin = offsets[0];
    tensor.end = offsets[1];
    return true;
  }
  bool on_array_begin(json::error_code& error) {
    if (skipping()) return skipped_begins();
    if (in_array || depth != 2 || (field != Field::kShape && field != Field::kOffsets)) return unexpected(error);
    in_array = true;
    return true;
  }
  bool on_array_end(std::size_t, json::error_code&) {
    if (skipping()) return skipped_ends();
    in_array = false;
    field = Field::kNone;
    return true;
  }

  bool on_key_part(json::string_view part, std::size_t, json::error_code& error) {
    if (skipping()) return true;
    key.append(part.data(), part.size());
    if (key.size() > kNameBytesMax) return refuse("a name has more than 1024 bytes", error);
    return true;
  }
  bool on_key(json::string_view part, std::size_t n, json::error_code& error) {
    if (skipping()) return true;
    if (!on_key_part(part, n, error)) return false;
    const std::string name = std::exchange(key, {});
    if (depth == 1) return begin_entry(name, error);
    if (in_metadata) {
      if (!metadata_keys.insert(name).second) return refuse("__metadata__: key \"" + name + "\" occurs twice", error);
      field = Field::kMetadata;
      return true;
    }
    return begin_field(name, error);
  }
  bool begin_entry(const std::string& name, json::error_code& error) {
    field = Field::kNone;
    if (name == "__metadata__") {
      if (std::exchange(metadata_seen, true)) return refuse("key \"__metadata__\" occurs twice", error);
      in_metadata = true;
      return true;
    }
    if (tensors.size() == kTensorsMax) return refuse("more than 1000000 tensors", error);
    tensors.emplace_back().name = name;
    has_dtype = has_shape = has_offsets = false;
    offsets.clear();
    return true;
  }
  bool begin_field(const std::string& name, json::error_code& error) {
    bool* seen = nullptr;
    if (name == "dtype") {
      field = Field::kDtype;
      seen = &has_dtype;
    } else if (name == "shape") {
      field = Field::kShape;
      seen = &has_shape;
    } else if (name == "data_offsets") {
      field = Field::kOffsets;
      seen = &has_offsets;
    } else {
      field = Field::kSkipped;
      return true;
    }
    if (std::exchange(*seen, true)) return refuse(tensors.back().name + ": key \"" + name + "\" occurs twice", error);
    return true;
  }

  bool on_string_part(json::string_view part, std::size_t, json::error_code& error) {
    if (skipping()) return true;
    if (in_array || depth != 2 || (field != Field::kDtype && field != Field::kMetadata)) return unexpected(error);
    if (field == Field::kDtype) text.append(part.data(), part.size());
    if (text.size() > 32) return refuse(tensors.back().name + ": dtype is unknown", error);
    return true;
  }
  bool on_string(json::string_view part, std::size_t n, json::error_code& error) {
    if (skipping()) return skipped_value();
    if (!on_string_part(part, n, error)) return false;
    if (field == Field::kDtype) tensors.back().dtype = text;
    text.clear();
    field = Field::kNone;
    return true;
  }

  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_uint64(std::uint64_t value, json::string_view, json::error_code& error) {
    if (skipping()) return skipped_value();
    if (!in_array) return unexpected(error);
    if (field == Field::kOffsets) {
      if (offsets.size() == 2) return unexpected(error);
      offsets.push_back(value);
      return true;
    }
    std::vector<std::int64_t>& shape = tensors.back().shape;
    if (shape.size() == kDimensionsMax)
      return refuse(tensors.back().name + ": shape has more than 8 dimensions", error);
    if (value > kDimensionMax) return refuse(tensors.back().name + ": shape is too large", error);
    shape.push_back(static_cast<std::int64_t>(value));
    return true;
  }
  bool on_int64(std::int64_t value, json::string_view digits, json::error_code& error) {
    if (skipping()) return skipped_value();
    if (value < 0) return unexpected(error);
    return on_uint64(static_cast<std::uint64_t>(value), digits, error);
  }
  bool on_double(double, json::string_view, json::error_code& error) { return other_value(error); }
  bool on_bool(bool, json::error_code& error) { return other_value(error); }
  bool on_null(json::error_code& error) {
    if (depth == 1 && std::exchange(in_metadata, false)) return true;
    return other_value(error);
  }
  bool other_value(json::error_code& error) { return skipping() ? skipped_value() : unexpected(error); }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

// Empty when the tensor's bytes are what its shape and dtype say.
std::string check_size(const SafetensorsTensor& tensor) {
  const unsigned bits_each = dtype_bits(tensor.dtype);
  if (bits_each == 0) return "dtype \"" + tensor.dtype + "\" is unknown";
  std::uint64_t bits = bits_each;
  for (const std::int64_t dimension : tensor.shape) {
    if (__builtin_mul_overflow(bits, static_cast<std::uint64_t>(dimension), &bits)) return "shape is too large";
  }
  if (bits % 8 != 0) return "its elements do not fill whole bytes";
  if (bits / 8 != tensor.end - tensor.begin) {
    return "shape and dtype need " + std::to_string(bits / 8) + " bytes, data_offsets give " +
           std::to_string(tensor.end - tensor.begin);
  }
  return {};
}

// Tensors cover [0, data_bytes) exactly. Empty when they do.
std::string check_coverage(const std::vector<SafetensorsTensor>& tensors, std::uint64_t data_bytes) {
  std::vector<const SafetensorsTensor*> by_begin;
  by_begin.reserve(tensors.size());
  for (const SafetensorsTensor& tensor : tensors) by_begin.push_back(&tensor);
  std::sort(by_begin.begin(), by_begin.end(), [](const SafetensorsTensor* a, const SafetensorsTensor* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t at = 0;
  for (const SafetensorsTensor* tensor : by_begin) {
    if (tensor->end > data_bytes) {
      return tensor->name + ": data_offsets end at " + std::to_string(tensor->end) + ", the file has " +
             std::to_string(data_bytes) + " bytes of data";
    }
    if (tensor->begin < at) return tensor->name + ": overlaps another tensor";
    if (tensor->begin > at) return tensor->name + ": leaves a gap before byte " + std::to_string(tensor->begin);
    at = tensor->end;
  }
  if (at != data_bytes) return std::to_string(data_bytes - at) + " bytes of data belong to no tensor";
  return {};
}

}  // namespace

std::optional<WeightFormat> SafetensorsTensor::encoding() const {
  if (dtype == "F32") return WeightFormat::kF32;
  if (dtype == "BF16") return WeightFormat::kBF16;
  if (dtype == "F16") return WeightFormat::kF16;
  return {};
}

Expected<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  auto bytes = files::FileBytes::open(path);
  if (!bytes) return fail(bytes.error());
  return read(std::move(*bytes));
}

Expected<SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes, std::string file) {
  return read(files::FileBytes::over(bytes, std::move(file)));
}

Expected<SafetensorsFile> SafetensorsFile::read(std::shared_ptr<const files::FileBytes> bytes) {
  const auto refuse = [&](const std::string& what) { return fail(bad_input(bytes->name() + ": " + what)); };
  std::string head(std::min<std::uint64_t>(bytes->size(), files::kKindBytes), '\0');
  if (Status status = bytes->read(0, std::as_writable_bytes(std::span(head))); !status.ok())
    return fail(std::move(status));
  if (bytes->size() < 8) {
    return refuse("shorter than the 8 bytes of a safetensors header length" + files::kind_remark(head));
  }
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, head.data(), 8);
  if (header_bytes > kHeaderBytesMax || header_bytes > bytes->size() - 8) {
    const std::string remark = files::kind_remark(head);
    return refuse(!remark.empty() ? "is not a safetensors file" + remark
                                  : "the header length " + std::to_string(header_bytes) +
                                        " is beyond the end of the file or 100 MB");
  }
  std::string header(header_bytes, '\0');
  if (Status status = bytes->read(8, std::as_writable_bytes(std::span(header))); !status.ok())
    return fail(std::move(status));
  if (!header.starts_with('{')) return refuse("the header does not begin with {");

  json::parse_options options;
  options.max_depth = kDepthMax;
  json::basic_parser<HeaderHandler> parser(options);
  json::error_code error;
  const std::size_t read = parser.write_some(false, header.data(), header.size(), error);
  if (!parser.handler().problem.empty()) return refuse(parser.handler().problem);
  if (!error && read < header_bytes) error = json::error::extra_data;
  if (error)
    return refuse("the header is not valid JSON near byte " + std::to_string(8 + read) + ": " + error.message());

  SafetensorsFile result;
  result.tensors_ = std::move(parser.handler().tensors);
  std::sort(result.tensors_.begin(), result.tensors_.end(),
            [](const SafetensorsTensor& a, const SafetensorsTensor& b) { return a.name < b.name; });
  for (std::size_t i = 0; i < result.tensors_.size(); ++i) {
    const SafetensorsTensor& tensor = result.tensors_[i];
    if (i > 0 && result.tensors_[i - 1].name == tensor.name) return refuse(tensor.name + ": occurs twice");
    if (const std::string problem = check_size(tensor); !problem.empty()) return refuse(tensor.name + ": " + problem);
  }
  const std::uint64_t data_begin = 8 + header_bytes;
  if (const std::string problem = check_coverage(result.tensors_, bytes->size() - data_begin); !problem.empty()) {
    return refuse(problem);
  }
  for (SafetensorsTensor& tensor : result.tensors_) {
    tensor.begin += data_begin;
    tensor.end += data_begin;
  }
  result.bytes_ = std::move(bytes);
  return result;
}

const SafetensorsTensor* SafetensorsFile::find(std::string_view name) const {
  const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                   [](const SafetensorsTensor& tensor, std::string_view n) { return tensor.name < n; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

}  // namespace herd::model
