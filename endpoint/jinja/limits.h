#pragma once
// What one template may cost. Templates come from strangers: whatever one does, it ends within these; the defaults are
// such that it ends within 100 ms and 16 MB (tests/bench/jinja_bench.cc). A long conversation needs more, in proportion.

#include <cstddef>
#include <cstdint>

namespace herd::jinja {

struct Limits {
  std::size_t template_bytes_max = std::size_t{1} << 20;
  std::size_t tokens_max = 40'000;                        // of a template; as parts of its tree they take some 300 bytes each
  int syntax_depth_max = 200;                             // of nested expressions and statements
  std::uint64_t steps_max = 2'000'000;                    // a node evaluated or 32 bytes of text touched, each a step
  int depth_max = 400;                                    // nodes and macros being evaluated at one time
  int value_depth_max = 64;                               // of lists in lists
  std::size_t value_bytes_max = std::size_t{6} << 20;     // all texts and lists ever made in one rendering, marks included
  std::size_t output_bytes_max = std::size_t{2} << 20;
};

}  // namespace herd::jinja
