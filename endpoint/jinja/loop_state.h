#pragma once
// Where a for loop is: what the name `loop` stands for.

#include <cstddef>
#include <vector>

#include "endpoint/jinja/value.h"

namespace herd::jinja {

struct LoopState {
  std::vector<Value> items;
  std::size_t index = 0;
};

}  // namespace herd::jinja
