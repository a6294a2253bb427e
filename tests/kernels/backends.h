#pragma once
// The backends of this CPU, for tests that hold them against reference/. Not a test.

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cpu/cpu_info.h"
#include "kernels/device.h"

namespace herd::testing {

inline Ops& reference() {
  static const std::unique_ptr<Device> device = *make_cpu_device({CpuIsa::kReference, 1});
  return device->ops();
}

// The fast backends of this CPU, each with 1 and with 3 threads (a split must not show).
inline const std::vector<std::unique_ptr<Device>>& backends() {
  static const std::vector<std::unique_ptr<Device>> devices = [] {
    std::vector<std::unique_ptr<Device>> list;
    const CpuFeatures features = cpu_features();
    const auto add = [&](CpuIsa isa, const char* name, const std::string& missing) {
      for (const int threads : {1, 3}) {
        auto device = make_cpu_device({isa, threads});
        if (device) {
          list.push_back(std::move(*device));
        } else if (threads == 1) {
          EXPECT_FALSE(missing.empty()) << name << ": " << device.error().message();  // the CPU has it, and it is wrong
          std::printf("SKIPPED: %s (CPU lacks %s)\n", name, missing.c_str());
        }
      }
    };
    add(CpuIsa::kAvx2, "avx2", features.missing_for_avx2);
    add(CpuIsa::kAvx512, "avx512", features.missing_for_avx512);
    add(CpuIsa::kAvx512Vnni, "avx512-vnni", features.missing_for_avx512_vnni);
    add(CpuIsa::kAvx512Bf16, "avx512-bf16", features.missing_for_avx512_bf16);
    return list;
  }();
  return devices;
}

// body(ops) for each backend, with its name in the message of a failure.
inline void on_every_backend(const std::function<void(Ops&)>& body) {
  for (const auto& device : backends()) {
    SCOPED_TRACE(device->description());
    body(device->ops());
    if (::testing::Test::HasFailure()) return;  // one backend's worth of output is enough
  }
}

}  // namespace herd::testing
