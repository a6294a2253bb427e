#pragma once
// What came of `herd reload`, as a line of JSON. Boost.JSON stays in the .cc.

#include <string>

#include "cluster/report/operator_orders.h"

namespace herd::commands {

// {"config":…,"taken":true,"lines":[…]}, and "why" when it was not taken.
[[nodiscard]] std::string reload_json(const std::string& config, const report::OrderAnswer& answer);

}  // namespace herd::commands
