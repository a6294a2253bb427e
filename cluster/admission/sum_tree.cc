#include "cluster/admission/sum_tree.h"

#include "kernels/check.h"
#include "kernels/splitmix64.h"

namespace herd::admission {
namespace {

// A counter becomes what looks drawn.
std::uint64_t scrambled(std::uint64_t value) { return splitmix64_finish(value + kSplitMix64Step); }

void add(SumTree::Sums& sums, const SumTree::Sums& values) {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += values[i];
}

}  // namespace

void SumTree::update(Index node) {
  Node& at = nodes_[node];
  at.subtree = at.values;
  if (at.left != kNone) add(at.subtree, nodes_[at.left].subtree);
  if (at.right != kNone) add(at.subtree, nodes_[at.right].subtree);
}

void SumTree::split(Index node, const Key& key, Index& below, Index& rest) {
  if (node == kNone) {
    below = rest = kNone;
    return;
  }
  Index middle = kNone;
  if (nodes_[node].key < key) {
    split(nodes_[node].right, key, middle, rest);
    nodes_[node].right = middle;
    below = node;
  } else {
    split(nodes_[node].left, key, below, middle);
    nodes_[node].left = middle;
    rest = node;
  }
  update(node);
}

SumTree::Index SumTree::merge(Index below, Index above) {
  if (below == kNone) return above;
  if (above == kNone) return below;
  const bool below_on_top = nodes_[below].heap > nodes_[above].heap;
  const Index top = below_on_top ? below : above;
  if (below_on_top) {
    const Index right = merge(nodes_[below].right, above);
    nodes_[below].right = right;
  } else {
    const Index left = merge(below, nodes_[above].left);
    nodes_[above].left = left;
  }
  update(top);
  return top;
}

void SumTree::insert(const Key& key, const Sums& values) {
  Index node = kNone;
  if (free_.empty()) {
    node = static_cast<Index>(nodes_.size());
    nodes_.emplace_back();
  } else {
    node = free_.back();
    free_.pop_back();
  }
  nodes_[node] = {.key = key, .values = values, .subtree = values, .heap = scrambled(++made_)};
  Index below = kNone;
  Index rest = kNone;
  split(root_, key, below, rest);
  root_ = merge(merge(below, node), rest);
}

void SumTree::erase(const Key& key) {
  // The path to the key, so that the sums above it can be made anew.
  std::vector<Index> path;
  Index node = root_;
  while (node != kNone && nodes_[node].key != key) {
    path.push_back(node);
    node = key < nodes_[node].key ? nodes_[node].left : nodes_[node].right;
  }
  HERD_CHECK(node != kNone, "only what was inserted is erased");
  const Index joined = merge(nodes_[node].left, nodes_[node].right);
  if (path.empty()) {
    root_ = joined;
  } else {
    Node& parent = nodes_[path.back()];
    (parent.left == node ? parent.left : parent.right) = joined;
  }
  for (auto above = path.rbegin(); above != path.rend(); ++above) update(*above);
  free_.push_back(node);
}

const SumTree::Key& SumTree::first() const {
  HERD_CHECK(root_ != kNone, "an empty tree has no first key");
  Index node = root_;
  while (nodes_[node].left != kNone) node = nodes_[node].left;
  return nodes_[node].key;
}

SumTree::Sums SumTree::sum_through(const Key& key) const {
  Sums sums{};
  for (Index node = root_; node != kNone;) {
    const Node& at = nodes_[node];
    if (key < at.key) {
      node = at.left;
      continue;
    }
    add(sums, at.values);
    if (at.left != kNone) add(sums, nodes_[at.left].subtree);
    node = at.right;
  }
  return sums;
}

SumTree::Sums SumTree::sum() const { return root_ == kNone ? Sums{} : nodes_[root_].subtree; }

}  // namespace herd::admission
