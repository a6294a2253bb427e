// cuda_bench: what the GPU's kernels reach, beside what this GPU reads and multiplies at most and beside cuBLASLt,
// measured in the same run. Through Device and Ops of the CUDA backend, as a step uses them.
//
//   cuda_bench [--gpu N] [--quick] [--tiny] [--seconds S] [--json FILE] [matmul|attention|rows|sampling|step]...
//
// Shapes of Llama 3.2 1B, 3.1 8B and one of eight ranks of 70B, bf16. Every figure is the median time of an operation
// inside a recorded step (no launches from the host), over random data that does not fit into the L2. A step's weights
// come from a pool of 4 GiB, in turn. "of bound": the least time the bytes (each input read once, each output written
// once) or the multiply-adds could take, over the time taken. --tiny: small shapes without bounds, to see that all of
// it runs, also on the emulated library. --json has the rows of all parts that ended, "complete" when none is missing.
// Exit codes: 0; 1 a bar is missed, or the device failed; 2 usage; 4 no GPU.

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "tests/bench/cuda_bench_shapes.h"

namespace herd::bench {
namespace {

int run(const Options& options) {
  auto harness = Harness::make(options);
  if (!harness) stop(harness.error());
  const auto wanted = [&](const char* part) {
    return options.parts.empty() || std::count(options.parts.begin(), options.parts.end(), part) > 0;
  };
  std::vector<Shape> shapes{k8B};
  if (!options.quick) shapes = {k1B, k8B, k70B};
  if (options.tiny) shapes = {kTiny};
  const auto part = [&](const char* name, const std::function<void()>& body) {
    if (!wanted(name)) return;
    body();
    stop_unless((*harness)->write_json(false));  // what there is stays, should this run be ended
  };
  for (const Shape& shape : shapes) part("matmul", [&] { bench_matmul(**harness, shape); });
  part("matmul", [&] { bench_leaves(**harness); });
  part("attention", [&] { bench_attention(**harness); });
  for (const Shape& shape : shapes)
    for (const int rows : {options.tiny ? 3 : 32, options.tiny ? 40 : 4096})
      part("rows", [&] { bench_rows(**harness, shape, rows); });
  part("sampling", [&] { bench_sampling(**harness); });
  part("step", [&] { bench_steps(**harness); });
  (*harness)->remeasure();
  (*harness)->print();
  stop_unless((*harness)->write_json(true));
  return (*harness)->bars_met() ? 0 : 1;
}

[[noreturn]] void usage() {
  std::fprintf(stderr, "usage: cuda_bench [--gpu N] [--quick] [--tiny] [--seconds S] [--json FILE] "
                       "[matmul|attention|rows|sampling|step]...\n");
  std::exit(2);
}

}  // namespace
}  // namespace herd::bench

int main(int argc, char** argv) {
  herd::bench::Options options;
  for (int i = 1; i < argc; i++) {
    const std::string arg = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : nullptr;
    const std::array<const char*, 5> parts{"matmul", "attention", "rows", "sampling", "step"};
    if (arg == "--tiny") {
      options.tiny = true;
    } else if (arg == "--quick") {
      options.quick = true;
    } else if (std::find(parts.begin(), parts.end(), arg) != parts.end()) {
      options.parts.push_back(arg);
    } else if (value == nullptr || (arg != "--gpu" && arg != "--seconds" && arg != "--json")) {
      herd::bench::usage();
    } else {
      if (arg == "--gpu") options.gpu = std::atoi(value);
      if (arg == "--seconds") options.seconds = std::atof(value);
      if (arg == "--json") options.json = value;
      i++;
    }
  }
  return herd::bench::run(options);
}
