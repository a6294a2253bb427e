#pragma once
// FieldNotices: which unknown fields the log has named already, so that each is named once however often clients send
// it. Pure; bounded.

#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace herd::api {

class FieldNotices {
 public:
  // Behind so many names the log hears of no other.
  static constexpr std::size_t kNamesMax = 256;

  // Those of `fields` that were never named, joined by commas; from now on they are.
  [[nodiscard]] std::string first_time(const std::vector<std::string>& fields);

 private:
  std::set<std::string> named_;
};

// a,b,c
[[nodiscard]] std::string joined(const std::vector<std::string>& fields);

}  // namespace herd::api
