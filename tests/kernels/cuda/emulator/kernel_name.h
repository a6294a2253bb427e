#pragma once
// The name of a kernel from its address, for messages: "herd::cuda::(anonymous namespace)::rms_norm_kernel".

#include <string>

namespace herd::emulator {

[[nodiscard]] std::string kernel_name(const void* kernel);  // its address in hex when the file has no symbols

}  // namespace herd::emulator
