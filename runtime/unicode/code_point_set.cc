#include "runtime/unicode/code_point_set.h"

#include <algorithm>
#include <utility>

namespace herd::unicode {

CodePointSet::CodePointSet(std::vector<CodePointRange> ranges) : ranges_(std::move(ranges)) { normalize(); }

void CodePointSet::add(char32_t first, char32_t last) {
  ranges_.push_back({first, last});
  if (ranges_.size() > 1 && ranges_[ranges_.size() - 2].last + 1 >= first) normalize();
}

void CodePointSet::unite(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  normalize();
}

CodePointSet CodePointSet::complement() const {
  CodePointSet result;
  char32_t next = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > next) result.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kCodePointMax) result.ranges_.push_back({next, kCodePointMax});
  return result;
}

CodePointSet CodePointSet::intersect(const CodePointSet& other) const {
  CodePointSet result;
  auto left = ranges_.begin();
  auto right = other.ranges_.begin();
  while (left != ranges_.end() && right != other.ranges_.end()) {
    const char32_t first = std::max(left->first, right->first);
    const char32_t last = std::min(left->last, right->last);
    if (first <= last) result.ranges_.push_back({first, last});
    ++(left->last < right->last ? left : right);
  }
  return result;
}

bool CodePointSet::contains(char32_t point) const {
  const auto after = std::partition_point(ranges_.begin(), ranges_.end(),
                                          [point](const CodePointRange& range) { return range.first <= point; });
  return after != ranges_.begin() && std::prev(after)->last >= point;
}

std::size_t CodePointSet::size() const {
  std::size_t size = 0;
  for (const CodePointRange& range : ranges_) size += range.last - range.first + 1;
  return size;
}

void CodePointSet::normalize() {
  std::sort(ranges_.begin(), ranges_.end(),
            [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
  std::size_t kept = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > range.last) continue;
    if (kept > 0 && range.first <= ranges_[kept - 1].last + 1) {
      ranges_[kept - 1].last = std::max(ranges_[kept - 1].last, range.last);
    } else {
      ranges_[kept++] = range;
    }
  }
  ranges_.resize(kept);
}

}  // namespace herd::unicode
