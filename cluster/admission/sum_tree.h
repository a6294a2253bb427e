#pragma once
// SumTree: an ordered set of keys with weights whose sums over a prefix are known in O(log n). Pure.
// A treap (Seidel, Aragon 1996); its heap order is a hash of a counter, so that the same calls give the same tree.
// Sums are made anew from the children at every change: nothing drifts, however long it runs.

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace herd::admission {

class SumTree {
 public:
  struct Key {
    std::int32_t priority = 0;
    double tag = 0;         // finite
    std::uint64_t tie = 0;  // makes keys unique
    auto operator<=>(const Key&) const = default;
  };
  using Sums = std::array<double, 4>;

  // The key must not be there.
  void insert(const Key& key, const Sums& values);
  // The key must be there.
  void erase(const Key& key);

  [[nodiscard]] bool empty() const { return root_ == kNone; }
  [[nodiscard]] std::size_t size() const { return nodes_.size() - free_.size(); }
  [[nodiscard]] const Key& first() const;                // of a tree that is not empty
  [[nodiscard]] Sums sum_through(const Key& key) const;  // over keys <= `key`
  [[nodiscard]] Sums sum() const;

 private:
  using Index = std::uint32_t;
  static constexpr Index kNone = ~Index{0};
  struct Node {
    Key key;
    Sums values{};
    Sums subtree{};
    std::uint64_t heap = 0;
    Index left = kNone;
    Index right = kNone;
  };

  void update(Index node);
  // Keys < `key` to the first tree, the others to the second.
  void split(Index node, const Key& key, Index& below, Index& rest);
  Index merge(Index below, Index above);

  std::vector<Node> nodes_;
  std::vector<Index> free_;  // indices into nodes_ that no key uses
  Index root_ = kNone;
  std::uint64_t made_ = 0;
};

}  // namespace herd::admission
