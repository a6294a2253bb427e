#include "tests/kernels/cuda/emulator/block_runner.h"

#include <immintrin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "tests/kernels/cuda/emulator/call.h"
#include "tests/kernels/cuda/emulator/emulated_mma.h"
#include "tests/kernels/cuda/emulator/fiber.h"
#include "tests/kernels/cuda/emulator/kernel_name.h"

namespace herd::emulator {

__thread RunningThread* running = nullptr;
__thread Coordinates threadIdx, blockIdx, blockDim, gridDim;

namespace {

constexpr unsigned kLanes = 32;
constexpr unsigned kDeviceFloatMode = 0x1f80U | 0x8000U | 0x0040U;  // exceptions masked, FTZ, DAZ, round to nearest

const char* name_of(Collective kind) {
  switch (kind) {
    case Collective::kNone: return "nothing";
    case Collective::kBlockBarrier: return "block_barrier";
    case Collective::kWarpBarrier: return "warp_barrier";
    case Collective::kShuffle: return "shuffle";
    case Collective::kShuffleXor: return "shuffle_xor";
    case Collective::kShuffleDown: return "shuffle_down";
    case Collective::kBallot: return "ballot";
    case Collective::kMma: return "mma_bf16";
  }
  return "?";
}

struct PendingCopy {
  void* to;
  const void* from;
  bool valid;
  std::uint64_t group;
};

struct Thread {
  RunningThread state;  // first: `running` points here
  Fiber fiber;
  Collective waits_in = Collective::kNone;
  bool ended = false;
  std::uint64_t groups = 0;  // closed by copy_commit
  std::vector<PendingCopy> copies;
};

// What the lanes of a warp bring to a collective. Two sides take turns: a lane may arrive at the next collective before
// the others have read what this one gave them, but not at the one after it.
struct Warp {
  Collective kind = Collective::kNone;
  int detail = 0;
  unsigned arrived = 0;
  unsigned side = 0;
  std::uint64_t values[2][kLanes];
  MmaOperands mma;
};

class BlockRunner {
 public:
  BlockRunner() : main_(this_thread_as_fiber()) {}

  void run(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& body);

  void arrive_at_block();
  unsigned arrive_at_warp(Collective kind, int detail);  // lanes that are still to come
  void wait_for_warp(Collective kind) { wait(kind); }
  void release_warp();
  Warp& warp() { return warps_[running->warp]; }
  Thread& current() { return *reinterpret_cast<Thread*>(running); }
  [[noreturn]] void fail(const std::string& what);

 private:
  void run_block(dim3 block, std::size_t shared_bytes);
  HERD_FIBER_END static void entry();
  void push_ready(unsigned first, unsigned count, unsigned without);
  Thread& next();  // takes it off the ready ones and makes it the running one
  void wait(Collective kind);
  [[noreturn]] HERD_FIBER_END void end();
  [[noreturn]] void stuck();
  std::uint64_t random();

  FiberStacks stacks_;
  Fiber main_;
  std::deque<Thread> threads_;  // of the largest block so far
  std::vector<Warp> warps_;
  std::vector<unsigned> ready_;  // the next one to run is the last
  unsigned count_ = 0;           // threads of the block
  unsigned ended_ = 0;
  unsigned at_block_barrier_ = 0;
  Schedule schedule_ = Schedule::kAscending;
  std::uint64_t random_ = 1;
  const void* kernel_ = nullptr;
  const std::function<void()>* body_ = nullptr;
};

thread_local std::unique_ptr<BlockRunner> runner_of_thread;
__thread BlockRunner* runner = nullptr;  // the same, reached without asking whether it has been constructed

std::uint64_t BlockRunner::random() {  // xorshift64* (Vigna 2014)
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return random_ * 0x2545f4914f6cdd1dULL;
}

// Threads [first, first + count) but `without`, so that they leave in the order of the schedule.
void BlockRunner::push_ready(unsigned first, unsigned count, unsigned without) {
  for (unsigned i = 0; i < count; i++) {
    const unsigned thread = schedule_ == Schedule::kDescending ? first + i : first + count - 1 - i;
    if (thread != without) ready_.push_back(thread);
  }
}

Thread& BlockRunner::next() {
  if (schedule_ == Schedule::kShuffled) std::swap(ready_[random() % ready_.size()], ready_.back());
  Thread& thread = threads_[ready_.back()];
  ready_.pop_back();
  running = &thread.state;
  threadIdx = thread.state.index;
  return thread;
}

void BlockRunner::wait(Collective kind) {
  Thread& self = current();
  self.waits_in = kind;
  if (ready_.empty()) stuck();
  Thread& other = next();
  switch_fiber(self.fiber, other.fiber);
  self.waits_in = Collective::kNone;
}

void BlockRunner::entry() {
  fiber_entered();
  (*runner->body_)();
  runner->end();
}

void BlockRunner::end() {
  Thread& self = current();
  self.ended = true;
  ended_++;
  if (!ready_.empty()) {
    Thread& other = next();
    leave_fiber(self.fiber, other.fiber);
  }
  if (ended_ != count_) stuck();
  running = nullptr;
  leave_fiber(self.fiber, main_);
}

void BlockRunner::fail(const std::string& what) {
  const Coordinates block = blockIdx, thread = threadIdx;
  std::fprintf(stderr, "CUDA emulator: kernel %s, block (%u, %u, %u), thread (%u, %u, %u): %s\n",
               kernel_name(kernel_).c_str(), block.x, block.y, block.z, thread.x, thread.y, thread.z, what.c_str());
  std::abort();
}

void BlockRunner::stuck() {
  std::string what = "a collective that not all threads reach:";
  unsigned listed = 0;
  for (unsigned begin = 0; begin < count_; listed++) {
    const auto same = [&](unsigned i) {
      return threads_[i].ended == threads_[begin].ended && threads_[i].waits_in == threads_[begin].waits_in;
    };
    unsigned end = begin + 1;
    while (end < count_ && same(end)) end++;
    if (listed < 8) {
      what += " threads " + std::to_string(begin) + " to " + std::to_string(end - 1);
      what += threads_[begin].ended ? " have returned;"
                                    : std::string(" wait in ") + name_of(threads_[begin].waits_in) + ";";
    }
    begin = end;
  }
  fail(what);
}

void BlockRunner::arrive_at_block() {
  if (++at_block_barrier_ < count_) {
    wait(Collective::kBlockBarrier);
    return;
  }
  at_block_barrier_ = 0;
  const auto self = static_cast<unsigned>(running->warp * kLanes + running->lane);
  push_ready(0, count_, self);
}

unsigned BlockRunner::arrive_at_warp(Collective kind, int detail) {
  const unsigned first = running->warp * kLanes;
  if (count_ - first < kLanes) fail(std::string(name_of(kind)) + " in a warp that is not full");
  Warp& warp = this->warp();
  if (warp.arrived == 0) {
    warp.kind = kind;
    warp.detail = detail;
  } else if (warp.kind != kind || warp.detail != detail) {
    fail("divergence: this lane is at " + std::string(name_of(kind)) + " (" + std::to_string(detail) +
         "), other lanes of its warp at " + name_of(warp.kind) + " (" + std::to_string(warp.detail) + ")");
  }
  warp.arrived++;
  return kLanes - warp.arrived;
}

void BlockRunner::release_warp() {
  Warp& warp = this->warp();
  warp.arrived = 0;
  warp.side ^= 1;
  const unsigned first = running->warp * kLanes;
  push_ready(first, kLanes, first + running->lane);
}

void BlockRunner::run_block(dim3 block, std::size_t shared_bytes) {
  void* shared = nullptr;
  if (shared_bytes != 0 && ::posix_memalign(&shared, 16, shared_bytes) != 0) std::abort();
  if (shared_bytes != 0) std::memset(shared, 0xff, shared_bytes);
  for (unsigned i = 0; i < count_; i++) {
    Thread& thread = threads_[i];
    thread.state.index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
    thread.state.lane = i % kLanes;
    thread.state.warp = i / kLanes;
    thread.state.dynamic_shared = static_cast<unsigned char*>(shared);
    thread.waits_in = Collective::kNone;
    thread.ended = false;
    thread.groups = 0;
    thread.copies.clear();
    start_fiber(thread.fiber, &BlockRunner::entry);
  }
  for (Warp& warp : warps_) warp.arrived = 0;
  ended_ = 0;
  at_block_barrier_ = 0;
  ready_.clear();
  push_ready(0, count_, count_);
  Thread& first = next();
  switch_fiber(main_, first.fiber);
  std::free(shared);
}

void BlockRunner::run(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes,
                      const std::function<void()>& body) {
  kernel_ = kernel;
  body_ = &body;
  count_ = block.x * block.y * block.z;
  while (threads_.size() < count_) threads_.emplace_back().fiber = stacks_.make();
  warps_.resize((count_ + kLanes - 1) / kLanes);
  const Order order = current_order();
  schedule_ = order.schedule;
  random_ = order.seed * 0x9e3779b97f4a7c15ULL | 1;
  blockDim = {block.x, block.y, block.z};
  gridDim = {grid.x, grid.y, grid.z};
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  std::vector<std::uint32_t> shuffled;
  if (schedule_ == Schedule::kShuffled) {
    shuffled.resize(blocks);
    for (std::uint64_t i = 0; i < blocks; i++) shuffled[i] = static_cast<std::uint32_t>(i);
    for (std::uint64_t i = blocks; i > 1; i--) std::swap(shuffled[i - 1], shuffled[random() % i]);
  }
  for (std::uint64_t i = 0; i < blocks; i++) {
    const std::uint64_t at = schedule_ == Schedule::kShuffled     ? shuffled[i]
                             : schedule_ == Schedule::kDescending ? blocks - 1 - i
                                                                  : i;
    blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / grid.x / grid.y)};
    run_block(block, shared_bytes);
  }
}

}  // namespace

void run_kernel(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes,
                const std::function<void()>& body) {
  if (runner == nullptr) {
    runner_of_thread = std::make_unique<BlockRunner>();
    runner = runner_of_thread.get();
  }
  const unsigned before = _mm_getcsr();
  _mm_setcsr(kDeviceFloatMode);
  runner->run(kernel, grid, block, shared_bytes, body);
  _mm_setcsr(before);
}

// ---- what a thread may do ----

void fault(const char* what) { runner->fail(what); }

void block_barrier() { runner->arrive_at_block(); }

void warp_barrier() {
  if (runner->arrive_at_warp(Collective::kWarpBarrier, 0) != 0) return runner->wait_for_warp(Collective::kWarpBarrier);
  runner->release_warp();
}

std::uint64_t exchange(Collective kind, int detail, std::uint64_t value, unsigned source) {
  BlockRunner& block = *runner;
  Warp& warp = block.warp();
  const unsigned side = warp.side;
  warp.values[side][running->lane] = value;
  if (block.arrive_at_warp(kind, detail) != 0)
    block.wait_for_warp(kind);
  else
    block.release_warp();
  return source < kLanes ? warp.values[side][source] : value;
}

std::uint32_t ballot(bool predicate) {
  BlockRunner& block = *runner;
  Warp& warp = block.warp();
  const unsigned side = warp.side;
  warp.values[side][running->lane] = predicate ? 1 : 0;
  if (block.arrive_at_warp(Collective::kBallot, 0) != 0)
    block.wait_for_warp(Collective::kBallot);
  else
    block.release_warp();
  std::uint32_t bits = 0;
  for (unsigned lane = 0; lane < kLanes; lane++) bits |= static_cast<std::uint32_t>(warp.values[side][lane]) << lane;
  return bits;
}

void mma_bf16(float* c, const std::uint32_t* a, const std::uint32_t* b) {
  BlockRunner& block = *runner;
  Warp& warp = block.warp();
  const unsigned lane = running->lane;
  const unsigned left = block.arrive_at_warp(Collective::kMma, 0);
  warp.mma.c[lane] = c;
  warp.mma.a[lane] = a;
  warp.mma.b[lane] = b;
  if (left != 0) return block.wait_for_warp(Collective::kMma);
  multiply(warp.mma);
  block.release_warp();
}

void copy16_async(void* shared, const void* from, bool valid) {
  if (reinterpret_cast<std::uintptr_t>(shared) % 16 != 0 || reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
    fault("copy16_async: an address not aligned to 16");
  std::memset(shared, 0xff, 16);
  Thread& self = runner->current();
  self.copies.push_back({shared, from, valid, self.groups});
}

void copy_commit() { runner->current().groups++; }

void copy_wait(int pending) {
  Thread& self = runner->current();
  const auto last = static_cast<std::uint64_t>(pending);
  if (self.groups <= last) return;
  const std::uint64_t done = self.groups - last;  // groups [0, done) are complete
  std::size_t count = 0;
  for (; count < self.copies.size() && self.copies[count].group < done; count++) {
    const PendingCopy& copy = self.copies[count];
    if (copy.valid)
      std::memcpy(copy.to, copy.from, 16);
    else
      std::memset(copy.to, 0, 16);
  }
  self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace herd::emulator
