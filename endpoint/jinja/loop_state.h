#pragma once
// Where a for loop is: what the name `loop` stands for.

#include <cstddef>
#include <optional>
#include <vector>

#include "endpoint/jinja/value.h"

namespace herd::jinja {

struct LoopState {
  std::vector<Value> items;
  std::size_t index = 0;
  int depth0 = 0;                                     // how many calls of the loop itself are around this one
  const Statement* recursive = nullptr;               // the statement of a loop that may be called
  const Scope* scope = nullptr;                       // where that stands
  mutable std::optional<std::vector<Value>> changed;  // what loop.changed() was given last
};

}  // namespace herd::jinja
