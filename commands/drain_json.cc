#include "commands/drain_json.h"

#include <boost/json.hpp>

namespace herd::commands {

std::string drain_json(const std::string& config, const report::DrainAsk& ask, const report::OrderAnswer& answer, bool may_be_stopped) {
  namespace json = boost::json;
  return json::serialize(json::object{{"config", config},
                                      {"target", ask.target},
                                      {"undo", ask.undo},
                                      {"may_be_stopped", may_be_stopped},
                                      {"lines", json::array(answer.lines.begin(), answer.lines.end())}}) +
         "\n";
}

}  // namespace herd::commands
