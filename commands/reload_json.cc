#include "commands/reload_json.h"

#include <boost/json.hpp>

namespace herd::commands {

std::string reload_json(const std::string& config, const report::OrderAnswer& answer) {
  boost::json::object line{{"config", config}, {"taken", answer.status.ok()}};
  if (!answer.status.ok()) line["why"] = answer.status.message();
  line["lines"] = boost::json::array(answer.lines.begin(), answer.lines.end());
  return boost::json::serialize(line) + "\n";
}

}  // namespace herd::commands
