#include "runtime/checkpoint/gguf_parts.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "runtime/checkpoint/encoding_count.h"
#include "runtime/checkpoint/shard_index.h"
#include "runtime/files/presence.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".gguf";
constexpr std::size_t kDigitsMin = 5;
constexpr int kPartsMax = 4096;

// Takes the digits at the end of `text`; empty where there are too few or they are no number of parts.
std::optional<int> take_number(std::string_view& text) {
  const std::size_t last = text.find_last_not_of("0123456789");
  const std::string_view digits = text.substr(last == std::string_view::npos ? 0 : last + 1);
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.size() < kDigitsMin || error != std::errc() || number < 1 || number > kPartsMax) return {};
  text.remove_suffix(digits.size());
  return number;
}

bool take_end(std::string_view& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text.remove_suffix(end.size());
  return true;
}

// split.KEY of a part, in [0, max].
Expected<std::optional<std::int64_t>> split_number(const GgufFile& file, const char* key, std::int64_t max) {
  auto number = file.integer(key);
  if (number && *number && (**number < 0 || **number > max)) {
    return fail(bad_input(file.file() + ": " + key + ": " + std::to_string(**number) + " is not in [0, " +
                          std::to_string(max) + "]"));
  }
  return number;
}

// A file says itself that it is part `number` of `count`.
Status check_part(const GgufFile& file, int number, int count) {
  const auto stated_count = split_number(file, "split.count", kPartsMax);
  if (!stated_count) return stated_count.error();
  if (stated_count->value_or(1) != count) {
    return bad_input(file.file() + ": split.count: " + std::to_string(stated_count->value_or(1)) +
                     ", but by its name the model has " + std::to_string(count) + " parts");
  }
  const auto place = split_number(file, "split.no", kPartsMax);
  if (!place) return place.error();
  if (!*place) return bad_input(file.file() + ": split.no: is missing, as a part of a model needs it");
  if (**place != number - 1) {
    return bad_input(file.file() + ": split.no: it is part " + std::to_string(**place + 1) + " of the model, but part " +
                     std::to_string(number) + " by its name (renamed?)");
  }
  return {};
}

Status check_tensor_count(const std::vector<GgufFile>& parts) {
  std::int64_t found = 0;
  for (const GgufFile& part : parts) found += static_cast<std::int64_t>(part.tensors().size());
  for (const GgufFile& part : parts) {
    const auto stated = part.integer("split.tensors.count");
    if (!stated) return stated.error();
    if (stated->value_or(found) != found) {
      return bad_input(part.file() + ": split.tensors.count: " + std::to_string(**stated) + ", but the " +
                       std::to_string(parts.size()) + " parts have " + std::to_string(found) + " tensors together");
    }
  }
  return {};
}

// The paths of all parts, if all are there.
Expected<std::vector<std::string>> paths_of(const std::string& path, const GgufPartName& name) {
  std::vector<std::string> paths;
  std::vector<std::string> absent;
  for (int number = 1; number <= name.count; ++number) {
    const fs::path part = fs::path(path).parent_path() / name.of(number);
    if (!files::is_file(part)) absent.push_back(name.of(number));
    paths.push_back(part.string());
  }
  if (absent.empty()) return paths;
  return fail(missing(path + ": is one of " + std::to_string(name.count) + " parts of a model; missing beside it: " +
                      some_of(absent)));
}

}  // namespace

std::string GgufPartName::of(int other_number) const {
  char numbers[48];
  std::snprintf(numbers, sizeof numbers, "-%05d-of-%05d", other_number, count);
  return stem + numbers + suffix;
}

std::optional<GgufPartName> gguf_part_name(std::string_view file_name) {
  if (file_name.size() < kSuffix.size()) return {};
  GgufPartName name;
  std::string_view rest = file_name;
  name.suffix = rest.substr(rest.size() - kSuffix.size());
  rest.remove_suffix(kSuffix.size());
  const bool is_gguf = std::equal(name.suffix.begin(), name.suffix.end(), kSuffix.begin(),
                                  [](unsigned char a, char b) { return std::tolower(a) == b; });
  const auto count = is_gguf ? take_number(rest) : std::nullopt;
  if (!count || !take_end(rest, "-of-")) return {};
  const auto number = take_number(rest);
  if (!number || *number > *count || !take_end(rest, "-")) return {};
  name.stem = rest;
  name.number = *number;
  name.count = *count;
  if (name.of(name.number) != file_name) return {};  // more zeros than gguf-split writes
  return name;
}

Expected<std::vector<GgufFile>> open_gguf_parts(const std::string& path) {
  auto given = GgufFile::open(path);
  if (!given) return fail(given.error());
  const auto count = split_number(*given, "split.count", kPartsMax);
  if (!count) return fail(count.error());
  std::vector<GgufFile> parts;
  if (count->value_or(1) <= 1) {
    parts.push_back(std::move(*given));
    return parts;
  }
  const auto name = gguf_part_name(fs::path(path).filename().string());
  if (!name) {
    return fail(bad_input(path + ": split.count: is one of " + std::to_string(**count) + " parts of a model, but its name " +
                          "does not end like -00001-of-00005.gguf, which would say where the others are"));
  }
  if (Status status = check_part(*given, name->number, name->count); !status.ok()) return fail(std::move(status));
  const auto paths = paths_of(path, *name);
  if (!paths) return fail(paths.error());
  for (int number = 1; number <= name->count; ++number) {
    auto part = number == name->number ? std::move(given) : GgufFile::open((*paths)[static_cast<std::size_t>(number) - 1]);
    if (!part) return fail(part.error());
    if (Status status = check_part(*part, number, name->count); !status.ok()) return fail(std::move(status));
    parts.push_back(std::move(*part));
  }
  if (Status status = check_tensor_count(parts); !status.ok()) return fail(std::move(status));
  return parts;
}

GgufTensorPlace find_tensor(std::span<const GgufFile> parts, std::string_view name) {
  for (const GgufFile& part : parts) {
    if (const GgufTensor* tensor = part.find(name)) return {&part, tensor};
  }
  return {};
}

std::string main_encoding(std::span<const GgufFile> parts) {
  EncodingCount matrices;
  for (const GgufFile& part : parts) {
    for (const GgufTensor& tensor : part.tensors()) {
      if (tensor.shape.size() == 2) matrices.add(tensor.encoding_text(), tensor.shape[0] * tensor.shape[1]);
    }
  }
  return matrices.most();
}

}  // namespace herd::model
