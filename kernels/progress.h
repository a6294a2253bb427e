#pragma once
// Progress: where a rank is in its work, in one word that anybody may read: another thread, or another process that maps its
// memory. The rank's own thread writes it before every operation; whoever watches sees whether it changes, and measures with a
// clock of its own how long it did not. After a death the word says what was fatal.

#include <atomic>
#include <cstdint>

namespace herd {

// What a rank is doing.
enum class Operation : std::uint8_t {
  kIdle = 0,     // nothing: waits for a plan
  kLoading,      // reads and packs weights
  kPreparing,    // allocates, records, measures
  kEmbed,
  kNorm,
  kMatmul,
  kAdd,          // partial sums of ranks, residual
  kRope,
  kWriteKv,
  kAttention,
  kActivation,
  kGatherRows,
  kSample,
  kHost,         // the rank's thread, between two operations
  kCollective,   // waits for the other ranks, or moves bytes between them
  kDevice,       // a step that a device computes while the host looks on
  kCount
};

// "matmul", "collective", …
[[nodiscard]] const char* operation_name(Operation operation);

// A reading. Numbers are kept modulo their width: which of two readings came first is known while they are near.
struct Progress {
  std::uint16_t epoch = 0;   // of the group, its low 16 bits
  std::uint32_t step = 0;    // its low 24 bits
  std::uint16_t number = 0;  // of the operation within the step
  Operation operation = Operation::kIdle;
  bool operator==(const Progress&) const = default;
};

// One writer, any readers. Eight bytes without pointer or lock: it may lie in memory that processes share.
class ProgressWord {
 public:
  // The rank's thread: a step (or a preparation, step 0) of that epoch begins; operations are numbered from here.
  void begin_step(std::uint64_t epoch, std::uint64_t step) {
    base_ = (epoch & 0xffff) << 48 | (step & 0xffffff) << 24;
    number_ = 0;
  }
  // The rank's thread: an operation begins. kIdle: the step is done.
  void begin(Operation operation) {
    word_.store(base_ | (++number_ & 0xffff) << 8 | static_cast<std::uint64_t>(operation), std::memory_order_relaxed);
  }
  // Any thread.
  [[nodiscard]] Progress read() const {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    return {static_cast<std::uint16_t>(word >> 48), static_cast<std::uint32_t>(word >> 24 & 0xffffff),
            static_cast<std::uint16_t>(word >> 8 & 0xffff), static_cast<Operation>(word & 0xff)};
  }

 private:
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
  std::atomic<std::uint64_t> word_{0};
  std::uint64_t base_ = 0;    // the writer's own
  std::uint64_t number_ = 0;  // likewise
};

}  // namespace herd
