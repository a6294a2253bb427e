#include "kernels/local_collective.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "kernels/check.h"
#include "kernels/device.h"
#include "kernels/local_group.h"

namespace herd {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::nanoseconds kSleepMax = std::chrono::milliseconds(500);
constexpr int kRankSpinPauses = 2000;  // 20 to 100 us, about what the slowest rank of a small step is late
constexpr std::size_t kAlignment = 64;

// a was reached or passed by b, both counted modulo 2^32.
bool reached(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(b - a) >= 0; }

// One rank. What the others may see of it is in the group; all else is its own, its count of operations included.
class LocalCollective final : public Collective {
 public:
  LocalCollective(std::shared_ptr<void> memory, int rank, const LocalGroupLayout& layout, const LocalCollectiveConfig& config,
                  FutexScope scope)
      : memory_(std::move(memory)),
        group_(*static_cast<LocalGroup*>(memory_.get())),
        layout_(layout),
        rank_(rank),
        deadline_ms_(config.deadline_ms),
        scope_(scope),
        spin_pauses_(usable_cpus() >= (config.cpu_sharers > 0 ? config.cpu_sharers : layout.size) ? kRankSpinPauses : 0) {}

  int rank() const override { return rank_; }
  int size() const override { return layout_.size; }

  void all_gather(CollectiveName name, const void* send, void* receive, std::size_t bytes) override {
    const CollectiveOperation operation{++operations_, bytes, CollectiveOperation::Kind::kAllGather, name};
    if (group_.aborted()) return;
    const auto* const mine = static_cast<const std::byte*>(send);
    auto* const all = static_cast<std::byte*>(receive);
    std::byte* const own = all + static_cast<std::size_t>(rank_) * bytes;
    if (own != mine) copy(own, mine, bytes);
    in_pieces(bytes, layout_.slot_bytes, [&](std::size_t done, std::size_t count) {
      const auto fill = [&](std::byte* slot) { copy(slot, mine + done, count); };
      const auto take = [&](std::size_t from, const std::byte* slot) { copy(all + from * bytes + done, slot, count); };
      return piece(operation, fill, take);
    });
  }

  void exchange(CollectiveName name, const void* send, void* receive, std::size_t slice_bytes) override {
    const CollectiveOperation operation{++operations_, slice_bytes, CollectiveOperation::Kind::kExchange, name};
    if (group_.aborted()) return;
    const auto* const mine = static_cast<const std::byte*>(send);
    auto* const all = static_cast<std::byte*>(receive);
    const auto size = static_cast<std::size_t>(layout_.size), self = static_cast<std::size_t>(rank_);
    const std::size_t part = layout_.slot_bytes / size;  // of a slot, for one rank
    copy(all + self * slice_bytes, mine + self * slice_bytes, slice_bytes);
    in_pieces(slice_bytes, part, [&](std::size_t done, std::size_t count) {
      const auto fill = [&](std::byte* slot) {
        for (std::size_t to = 0; to < size; to++)
          if (to != self) copy(slot + to * part, mine + to * slice_bytes + done, count);
      };
      const auto take = [&](std::size_t from, const std::byte* slot) {
        copy(all + from * slice_bytes + done, slot + self * part, count);
      };
      return piece(operation, fill, take);
    });
  }

  void send(CollectiveName name, int to, const void* data, std::size_t bytes) override {
    Peer& peer = peer_at(to);
    const CollectiveOperation operation{++peer.sends, bytes, CollectiveOperation::Kind::kSend, name};
    if (group_.aborted()) return;
    GroupChannel& channel = group_.channels[rank_][to];
    in_pieces(bytes, layout_.slot_bytes, [&](std::size_t done, std::size_t count) {
      const std::uint32_t at = peer.sent;
      if (!wait(operation, [&] { return reached(at, channel.taken.load() + 1); }, [to](int rank) { return rank == to; }))
        return false;
      copy(layout_.channel_slot(memory_.get(), at, rank_, to), static_cast<const std::byte*>(data) + done, count);
      channel.announced[at & 1] = operation;
      channel.sent.store(++peer.sent);
      group_.post(true, scope_);
      return true;
    });
  }

  void receive(CollectiveName name, int from, void* data, std::size_t bytes) override {
    Peer& peer = peer_at(from);
    const CollectiveOperation operation{++peer.receives, bytes, CollectiveOperation::Kind::kReceive, name};
    if (group_.aborted()) return;
    GroupChannel& channel = group_.channels[from][rank_];
    in_pieces(bytes, layout_.slot_bytes, [&](std::size_t done, std::size_t count) {
      const std::uint32_t at = peer.taken;
      if (!wait(operation, [&] { return reached(at + 1, channel.sent.load()); }, [from](int rank) { return rank == from; }))
        return false;
      CollectiveOperation counterpart = operation;
      counterpart.kind = CollectiveOperation::Kind::kSend;
      if (const CollectiveOperation theirs = channel.announced[at & 1]; theirs != counterpart)
        return disagree(operation, from, theirs);
      copy(static_cast<std::byte*>(data) + done, layout_.channel_slot(memory_.get(), at, from, rank_), count);
      channel.taken.store(++peer.taken);
      group_.post(true, scope_);
      return true;
    });
  }

  void abort(const char* reason) override { group_.abort(reason, scope_); }

  Status status() const override {
    if (!group_.aborted()) return {};
    std::string reason = group_.reason();
    return {StatusCode::kAborted, reason.empty() ? "the group was given up" : std::move(reason)};
  }

 private:
  struct Peer {
    std::uint64_t sends = 0, receives = 0;  // operations
    std::uint32_t sent = 0, taken = 0;      // pieces
  };

  static void copy(void* to, const void* from, std::size_t bytes) {
    if (bytes != 0) std::memcpy(to, from, bytes);
  }

  Peer& peer_at(int rank) {
    HERD_CHECK(rank >= 0 && rank < layout_.size && rank != rank_, "another rank of the group");
    return peers_[rank];
  }

  // piece(bytes done before, bytes) until all is done or one gives up; at least once.
  template <class Piece>
  static void in_pieces(std::size_t bytes, std::size_t piece_bytes, const Piece& piece) {
    std::size_t done = 0;
    do {
      const std::size_t count = std::min(bytes - done, piece_bytes);
      if (!piece(done, count)) return;
      done += count;
    } while (done < bytes);
  }

  // Fills this rank's slot, meets the others, takes from theirs. False when the group is given up.
  template <class Fill, class Take>
  bool piece(const CollectiveOperation& operation, const Fill& fill, const Take& take) {
    if (layout_.size == 1) return true;
    const std::uint32_t at = pieces_++;
    fill(layout_.slot(memory_.get(), at, rank_));
    GroupRank& own = group_.ranks[rank_];
    own.announced[at & 1] = operation;
    own.pieces.store(pieces_);
    const auto came = [this](int rank) { return reached(pieces_, group_.ranks[rank].pieces.load()); };
    const auto all_came = [&] {
      for (int rank = 0; rank < layout_.size; rank++)
        if (!came(rank)) return false;
      return true;
    };
    group_.post(all_came(), scope_);  // who comes last wakes the others
    if (!wait(operation, all_came, [&](int rank) { return !came(rank); })) return false;
    for (int from = 0; from < layout_.size; from++) {
      if (const CollectiveOperation theirs = group_.ranks[from].announced[at & 1]; theirs != operation)
        return disagree(operation, from, theirs);
    }
    for (int from = 0; from < layout_.size; from++)
      if (from != rank_) take(static_cast<std::size_t>(from), layout_.slot(memory_.get(), at, from));
    return true;
  }

  // Until done(). False when the group is given up, which this does itself after the deadline, naming the ranks that are
  // `late`.
  template <class Done, class Late>
  bool wait(const CollectiveOperation& operation, const Done& done, const Late& late) {
    int pauses = spin_pauses_;
    std::chrono::nanoseconds waited{0};
    for (;;) {
      const std::uint32_t seen = group_.events();
      if ((seen & LocalGroup::kAborted) != 0) return false;
      if (done()) return true;
      while (pauses > 0 && group_.events() == seen) {
        spin_pause();
        pauses--;
      }
      if (pauses > 0) continue;
      const std::chrono::nanoseconds left = std::chrono::milliseconds(deadline_ms_) - waited;
      if (left.count() <= 0) {
        give_up_on(operation, late);
        return false;
      }
      // In short sleeps, so that a process that was paused for long has not waited for longer than one.
      const std::chrono::nanoseconds sleep = std::min(left, kSleepMax);
      const auto begin = steady_clock::now();
      group_.sleep(seen, sleep.count(), scope_);
      waited += std::min<std::chrono::nanoseconds>(steady_clock::now() - begin, sleep);
    }
  }

  template <class Late>
  void give_up_on(const CollectiveOperation& operation, const Late& late) {
    std::string who;
    for (int rank = 0; rank < layout_.size; rank++)
      if (late(rank)) who += (who.empty() ? "" : ", ") + std::to_string(rank);
    abort((describe(operation) + " on rank " + std::to_string(rank_) + ": rank " + who + " did not come within " +
           std::to_string(deadline_ms_) + " ms").c_str());
  }

  bool disagree(const CollectiveOperation& mine, int rank, const CollectiveOperation& theirs) {
    const bool first = rank_ < rank;
    abort(("ranks do not do the same: rank " + std::to_string(std::min(rank_, rank)) + " is in " +
           describe(first ? mine : theirs) + ", rank " + std::to_string(std::max(rank_, rank)) + " in " +
           describe(first ? theirs : mine)).c_str());
    return false;
  }

  const std::shared_ptr<void> memory_;
  LocalGroup& group_;
  const LocalGroupLayout layout_;
  const int rank_;
  const std::int64_t deadline_ms_;
  const FutexScope scope_;
  const int spin_pauses_;
  std::uint64_t operations_ = 0;  // all_gather and exchange
  std::uint32_t pieces_ = 0;      // of them, modulo 2^32
  Peer peers_[kGroupRanksMax];
};

LocalGroupLayout layout_of(int size, const LocalCollectiveConfig& config) {
  HERD_CHECK(size >= 1 && size <= kGroupRanksMax, "a group has a rank, and not too many");
  HERD_CHECK(config.slot_bytes >= kAlignment && config.slot_bytes % kAlignment == 0, "slots are cache lines");
  return {size, config.slot_bytes};
}

}  // namespace

std::size_t local_group_bytes(int size, const LocalCollectiveConfig& config) { return layout_of(size, config).bytes(); }

void prepare_local_group(void* memory) { new (memory) LocalGroup; }

std::unique_ptr<Collective> join_local_group(std::shared_ptr<void> memory, int rank, int size,
                                             const LocalCollectiveConfig& config) {
  HERD_CHECK(rank >= 0 && rank < size, "a rank of the group");
  return std::make_unique<LocalCollective>(std::move(memory), rank, layout_of(size, config), config,
                                           FutexScope::kProcesses);
}

std::vector<std::unique_ptr<Collective>> make_local_group(int size, const LocalCollectiveConfig& config) {
  const LocalGroupLayout layout = layout_of(size, config);
  const std::align_val_t alignment{kAlignment};
  const std::shared_ptr<void> memory(::operator new(layout.bytes(), alignment),
                                     [alignment](void* block) { ::operator delete(block, alignment); });
  prepare_local_group(memory.get());
  std::vector<std::unique_ptr<Collective>> ranks;
  for (int rank = 0; rank < size; rank++)
    ranks.push_back(
        std::make_unique<LocalCollective>(memory, rank, layout, config, FutexScope::kProcess));
  return ranks;
}

}  // namespace herd
