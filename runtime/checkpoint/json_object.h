#pragma once
// Read-only view of one JSON object of a configuration file, kept outside the JSON library's headers. What Python's json
// module reads is read (python_json.h, over runtime/json): of equal keys the last counts; NaN and the infinities are numbers, which no
// field that is read may be. null counts as absent, as in Hugging Face's files. The first problem found by any accessor
// stays in status(); accessors then give nothing, so a reader can run through all fields and look once.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"

namespace boost::json {
class object;
class value;
}  // namespace boost::json

namespace herd::model {

// Value; copies share the document and the status.
class JsonObject {
 public:
  // One well-formed JSON object: UTF-8, nesting at most 256. `file` is named in messages.
  [[nodiscard]] static Expected<JsonObject> parse(std::string_view text, std::string_view file);

  [[nodiscard]] const Status& status() const { return *status_; }

  [[nodiscard]] bool has(std::string_view key) const;  // present and not null
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key, std::int64_t min, std::int64_t max) const;
  [[nodiscard]] std::optional<double> number(std::string_view key, double min, double max) const;
  [[nodiscard]] std::optional<bool> boolean(std::string_view key) const;
  [[nodiscard]] std::optional<std::string> string(std::string_view key) const;
  [[nodiscard]] std::optional<JsonObject> object(std::string_view key) const;
  // One value or a list of them; absent is empty.
  [[nodiscard]] std::vector<std::int64_t> integers(std::string_view key, std::int64_t min, std::int64_t max) const;
  [[nodiscard]] std::vector<std::string> strings(std::string_view key) const;
  [[nodiscard]] std::vector<JsonObject> objects(std::string_view key) const;
  [[nodiscard]] bool is_string(std::string_view key) const;
  [[nodiscard]] std::vector<std::string> keys() const;

  // As written in the file, at most 80 bytes: for messages.
  [[nodiscard]] std::string text_of(std::string_view key) const;
  // "FILE: rope_scaling.factor: " + what.
  [[nodiscard]] Status problem(std::string_view key, const std::string& what) const;
  // Puts problem(key, what) into status(), unless there is one already.
  void refuse(std::string_view key, const std::string& what) const;

 private:
  JsonObject() = default;
  [[nodiscard]] const boost::json::value* find(std::string_view key) const;
  // use(value) for the value of `key`, or for each of the list it is, up to the first problem.
  template <class Use>
  void for_each(std::string_view key, Use use) const;

  std::shared_ptr<const boost::json::object> object_;
  std::shared_ptr<Status> status_;
  std::string where_;  // "FILE: " or "FILE: rope_scaling."
};

}  // namespace herd::model
