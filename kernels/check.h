#pragma once
// HERD_CHECK: an invariant of our own code. On in every build; prints the condition and a message, then ends
// the process. Never used for anything a user, file or peer can cause.

#include <cstdio>
#include <cstdlib>

namespace herd {
[[noreturn]] inline void check_failed(const char* file, int line, const char* condition, const char* message) {
  std::fprintf(stderr, "herd: broken invariant at %s:%d: %s: %s\n", file, line, condition, message);
  std::abort();
}
}  // namespace herd

#define HERD_CHECK(condition, message) \
  do {                                 \
    if (!(condition)) [[unlikely]]     \
      ::herd::check_failed(__FILE__, __LINE__, #condition, message); \
  } while (false)
