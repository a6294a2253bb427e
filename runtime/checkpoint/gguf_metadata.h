#pragma once
// The metadata of a GGUF file, for readers of many keys. Internal to runtime/checkpoint.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/status.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/ids.h"

namespace herd::model {

// Typed metadata with one sticky status, so that a reader can run through all keys and look once.
class GgufMetadata {
 public:
  explicit GgufMetadata(const GgufFile& file) : file_(file) {}

  [[nodiscard]] const Status& status() const { return status_; }
  void refuse(std::string_view key, const std::string& what) {
    if (status_.ok()) status_ = bad_input(file_.file() + ": " + std::string(key) + ": " + what);
  }

  std::optional<double> number(std::string_view key) { return take(file_.number(key)); }
  std::optional<bool> boolean(std::string_view key) { return take(file_.boolean(key)); }
  std::string string(std::string_view key) { return std::string(take(file_.string(key)).value_or(std::string_view())); }

  // A count of things; one number for all layers, or a list that says the same for each.
  std::optional<int> size(std::string_view key) {
    const GgufValue* value = file_.value(key);
    if (value == nullptr) return {};
    std::optional<std::int64_t> result;
    if (!value->is_array) {
      result = take(file_.integer(key));
    } else {
      auto list = file_.integers(key);
      if (!list) {
        keep(list.error());
      } else if (list->empty()) {
        refuse(key, "is an empty list");
      } else if (std::any_of(list->begin(), list->end(), [&](std::int64_t each) { return each != list->front(); })) {
        refuse(key, "differs from layer to layer, which is not supported yet");
      } else {
        result = list->front();
      }
    }
    if (result && (*result < 0 || *result > kSizeMax)) {
      refuse(key, std::to_string(*result) + " is not in [0, " + std::to_string(kSizeMax) + "]");
    }
    return status_.ok() && result ? std::optional(static_cast<int>(*result)) : std::nullopt;
  }
  int required_size(std::string_view key) {
    const auto result = size(key);
    if (!result) refuse(key, "is missing");
    return result.value_or(0);
  }

  // Token id; 2^32 - 1 and negative numbers stand for "none".
  std::optional<TokenId> token_id(std::string_view key) {
    const auto id = take(file_.integer(key));
    if (!id || *id < 0 || *id == 0xffffffffLL) return {};
    if (*id > kSizeMax) refuse(key, std::to_string(*id) + " is not a token id");
    return status_.ok() ? std::optional(static_cast<TokenId>(*id)) : std::nullopt;
  }

  void keep(const Status& status) {
    if (status_.ok()) status_ = status;
  }

 private:
  static constexpr std::int64_t kSizeMax = std::numeric_limits<int>::max();

  template <class T>
  std::optional<T> take(Expected<std::optional<T>> value) {
    if (value) return *value;
    keep(value.error());
    return {};
  }

  const GgufFile& file_;
  Status status_;
};

}  // namespace herd::model
