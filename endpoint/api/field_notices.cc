#include "endpoint/api/field_notices.h"

namespace herd::api {

std::string FieldNotices::first_time(const std::vector<std::string>& fields) {
  std::vector<std::string> fresh;
  for (const std::string& field : fields)
    if (named_.size() < kNamesMax && named_.insert(field).second) fresh.push_back(field);
  return joined(fresh);
}

std::string joined(const std::vector<std::string>& fields) {
  std::string text;
  for (const std::string& field : fields) {
    if (!text.empty()) text += ',';
    text += field;
  }
  return text;
}

}  // namespace herd::api
