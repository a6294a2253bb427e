#include "runtime/step/block_bytes.h"

#include <algorithm>
#include <string>
#include <utility>

namespace herd::step {
namespace {

std::string name_of(const BlockPart& part) {
  return "block " + std::to_string(part.index) + " of transfer " + std::to_string(part.transfer.value) + ", rank " +
         std::to_string(part.rank);
}

}  // namespace

std::vector<BlockPart> cut_block(const BlockBytes& block) {
  std::vector<BlockPart> parts;
  for (std::size_t begin = 0; begin < block.bytes.size(); begin += kBlockPartBytesMax) {
    const std::size_t end = std::min<std::size_t>(block.bytes.size(), begin + kBlockPartBytesMax);
    parts.push_back({block.transfer, block.index, block.rank, block.crc32c, block.bytes.size(), begin,
                     {block.bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                      block.bytes.begin() + static_cast<std::ptrdiff_t>(end)}});
  }
  return parts;
}

Expected<std::optional<BlockBytes>> BlockJoiner::add(BlockPart part) {
  auto begun = std::ranges::find_if(begun_, [&part](const Begun& other) {
    const BlockBytes& block = other.block;
    return block.transfer == part.transfer && block.index == part.index && block.rank == part.rank;
  });
  if (begun == begun_.end()) {
    if (part.bytes_total > bytes_max_ - bytes_begun_)
      return fail({StatusCode::kOverloaded, name_of(part) + ": " + std::to_string(part.bytes_total) +
                                                " bytes more than may be on their way"});
    begun_.push_back({{part.transfer, part.index, part.rank, part.crc32c, {}}, part.bytes_total});
    bytes_begun_ += part.bytes_total;
    begun = begun_.end() - 1;
  }
  std::vector<std::byte>& bytes = begun->block.bytes;
  const bool fits = part.bytes_total == begun->bytes_total && part.crc32c == begun->block.crc32c &&
                    part.offset == bytes.size() && !part.bytes.empty() &&
                    part.bytes.size() <= begun->bytes_total - part.offset;
  if (fits) bytes.insert(bytes.end(), part.bytes.begin(), part.bytes.end());
  if (fits && bytes.size() < begun->bytes_total) return std::nullopt;
  BlockBytes block = std::move(begun->block);
  bytes_begun_ -= begun->bytes_total;
  begun_.erase(begun);
  if (!fits) return fail(bad_input(name_of(part) + ": the part at byte " + std::to_string(part.offset) + " is not the next one"));
  return block;
}

void BlockJoiner::forget(TransferId transfer) {
  std::erase_if(begun_, [this, transfer](const Begun& begun) {
    if (begun.block.transfer != transfer) return false;
    bytes_begun_ -= begun.bytes_total;
    return true;
  });
}

void GivenBlocks::give(BlockBytes block) {
  (void)take(block.transfer, block.index);
  if (block.bytes.size() > bytes_max_ - bytes_) return;
  bytes_ += block.bytes.size();
  const Name name{block.transfer, block.index};
  blocks_.emplace(name, std::move(block));
}

std::optional<BlockBytes> GivenBlocks::take(TransferId transfer, std::uint32_t index) {
  auto given = blocks_.extract(Name{transfer, index});
  if (given.empty()) return std::nullopt;
  bytes_ -= given.mapped().bytes.size();
  return std::move(given.mapped());
}

void GivenBlocks::forget(TransferId transfer) {
  const auto first = blocks_.lower_bound(Name{transfer, 0});
  auto end = first;
  for (; end != blocks_.end() && end->first.first == transfer; ++end) bytes_ -= end->second.bytes.size();
  blocks_.erase(first, end);
}

void GivenBlocks::clear() {
  blocks_.clear();
  bytes_ = 0;
}

}  // namespace herd::step
