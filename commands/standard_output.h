#pragma once
// Standard output of a command: what is printed is kept until it is flushed, and a write that fails is an error, since
// the result is lost. Every command prints through here, and main() asks at the end. One thread.

#include <string_view>

#include "kernels/status.h"

namespace herd::commands {

// A closed descriptor 0, 1 or 2 would become that of the first file opened, and output would go there: keeps them taken,
// and still closed for whoever uses them.
void hold_standard_descriptors();

[[gnu::format(printf, 1, 2)]] void print(const char* format, ...);
void print_bytes(std::string_view text);

// Writes what was printed. From the first write that failed on: kMissing, "standard output: No space left on device".
[[nodiscard]] Status flush_output();

}  // namespace herd::commands
