#pragma once
// LocalGroup: what the ranks of a local group share, and nothing else of theirs. All bytes go through slots of the group:
// no rank reads another rank's own memory. There is no pointer, lock or string in it, and nobody acts on a value of
// another rank beyond comparing it, so that it may lie in memory that processes map; a rank that ends at any instruction
// leaves nothing behind that another waits for once the group is aborted.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/collective.h"
#include "kernels/futex.h"

namespace herd {

inline constexpr int kGroupRanksMax = 8;

// One rank's part; written by it alone. Pieces alternate between two slots.
struct alignas(64) GroupRank {
  std::atomic<std::uint32_t> pieces{0};  // of operations that it has come to, modulo 2^32
  CollectiveOperation announced[2];      // whose pieces lie in the two slots
};

// From one rank to another.
struct alignas(64) GroupChannel {
  std::atomic<std::uint32_t> sent{0};   // pieces, modulo 2^32; the sender's
  std::atomic<std::uint32_t> taken{0};  // the receiver's
  CollectiveOperation announced[2];     // the sender's
};

class LocalGroup {
 public:
  // Bit 0 of events(): the group was aborted. Above it: how often a rank posted.
  static constexpr std::uint32_t kAborted = 1;

  [[nodiscard]] std::uint32_t events() const { return events_.load(); }
  [[nodiscard]] bool aborted() const { return (events() & kAborted) != 0; }
  // After a change that others may wait for. `wake`: those that sleep, too.
  void post(bool wake, FutexScope scope);
  // Until events() differ from `seen`, at most `timeout_ns`; may return early.
  void sleep(std::uint32_t seen, std::int64_t timeout_ns, FutexScope scope);

  // One store and a wake-up, after the reason was put down; the first reason stays.
  void abort(const char* reason, FutexScope scope);
  // Empty while nobody has given one.
  [[nodiscard]] std::string reason() const;

  GroupRank ranks[kGroupRanksMax];
  GroupChannel channels[kGroupRanksMax][kGroupRanksMax];  // [from][to]

 private:
  static constexpr std::uint32_t kReasonsMax = 16;  // who comes later has nothing to add
  static constexpr std::size_t kReasonBytes = 512;

  alignas(64) std::atomic<std::uint32_t> events_{0};
  std::atomic<std::uint32_t> sleepers_{0};  // one that died asleep only costs wake-ups
  alignas(64) std::atomic<std::uint32_t> reasons_{0};  // that were begun
  std::atomic<std::uint32_t> reason_{0};               // 1 + the one that counts
  char text_[kReasonsMax][kReasonBytes];               // with their zeros
};

static_assert(std::atomic<std::uint32_t>::is_always_lock_free && std::is_trivially_destructible_v<LocalGroup>);

// Where the parts of a group lie in its memory: the LocalGroup, two slots a rank, two slots a channel.
struct LocalGroupLayout {
  int size = 1;
  std::size_t slot_bytes = 0;  // a multiple of 64

  [[nodiscard]] std::size_t bytes() const { return slots_at(2 * size_() * (1 + size_())); }
  [[nodiscard]] std::byte* slot(void* memory, std::uint32_t piece, int rank) const {
    return static_cast<std::byte*>(memory) + slots_at((piece & 1) * size_() + static_cast<std::size_t>(rank));
  }
  [[nodiscard]] std::byte* channel_slot(void* memory, std::uint32_t piece, int from, int to) const {
    const std::size_t channel = static_cast<std::size_t>(from) * size_() + static_cast<std::size_t>(to);
    return static_cast<std::byte*>(memory) + slots_at(2 * size_() + 2 * channel + (piece & 1));
  }

 private:
  [[nodiscard]] std::size_t size_() const { return size > 1 ? static_cast<std::size_t>(size) : 0; }  // alone: no slots
  [[nodiscard]] std::size_t slots_at(std::size_t slot) const { return sizeof(LocalGroup) + slot * slot_bytes; }
};

}  // namespace herd
