// scheduler_tests [gtest flags] [--operations N] [--seed S]

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/runtime/scheduler_fuzz_options.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    char* end = nullptr;
    const unsigned long long value = i + 1 < argc ? std::strtoull(argv[i + 1], &end, 10) : 0;
    if (end == nullptr || *end != '\0' || (flag != "--operations" && flag != "--seed")) {
      std::fprintf(stderr, "usage: scheduler_tests [--operations N] [--seed S]\n");
      return 2;
    }
    (flag == "--seed" ? herd::fuzz_options().seed : herd::fuzz_options().operations) = value;
  }
  return RUN_ALL_TESTS();
}
