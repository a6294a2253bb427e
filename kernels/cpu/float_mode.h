#pragma once
// KernelFloatMode: the float mode of kernel threads (rule 2) on this thread while it lives.

#include <cfenv>

#include "kernels/device.h"

namespace herd {

class KernelFloatMode {
 public:
  KernelFloatMode() {
    std::feholdexcept(&before_);
    set_kernel_float_mode();
  }
  ~KernelFloatMode() { std::fesetenv(&before_); }
  KernelFloatMode(const KernelFloatMode&) = delete;
  KernelFloatMode& operator=(const KernelFloatMode&) = delete;

 private:
  std::fenv_t before_{};
};

}  // namespace herd
