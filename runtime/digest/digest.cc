#include "runtime/digest/digest.h"

#include <bit>
#include <cstdio>
#include <cstring>

#include "kernels/splitmix64.h"

namespace herd::digest {
namespace {

__extension__ using Uint128 = unsigned __int128;

static_assert(std::endian::native == std::endian::little, "words are read as they lie in memory");

constexpr std::uint64_t kFactor = kSplitMix64Step;  // odd, its bits without a pattern
constexpr std::size_t kBlockBytes = 32;                // a word for each lane

template <class Word>
std::uint64_t word_at(const std::byte* at) {
  Word word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// 1 … 7 bytes, zeros behind them. Parts that overlap hold the same bits there.
std::uint64_t part_of_word(const std::byte* at, std::size_t bytes) {
  if (bytes >= 4) return word_at<std::uint32_t>(at) | word_at<std::uint32_t>(at + bytes - 4) << 8 * (bytes - 4);
  const std::size_t middle = bytes / 2;
  const std::size_t last = bytes - 1;
  return word_at<std::uint8_t>(at) | word_at<std::uint8_t>(at + middle) << 8 * middle | word_at<std::uint8_t>(at + last) << 8 * last;
}

}  // namespace

Digest128& Digest128::operator+=(const Digest128& other) {
  low += other.low;
  high += other.high + (low < other.low ? 1U : 0U);
  return *this;
}

std::string hex(const Digest128& digest) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(digest.high),
                static_cast<unsigned long long>(digest.low));
  return text;
}

void Digester::take(Lane& lane, std::uint64_t word) {
  const Uint128 product = static_cast<Uint128>(lane.s0 + word) * kFactor;
  lane.s0 = lane.s1 + static_cast<std::uint64_t>(product >> 64);
  lane.s1 = static_cast<std::uint64_t>(product);
}

Digester::Digester(std::string_view name, std::uint64_t part) {
  for (std::size_t i = 0; i < kLanes; ++i) {
    Lane& lane = lanes_[i];
    lane = {kFactor * (i + 1), kFactor ^ i};
    take(lane, part);
    take(lane, name.size());
    for (const char letter : name) take(lane, static_cast<unsigned char>(letter));
    take(lane, 0);  // spreads the last letter over both halves
    take(lane, 0);
  }
}

void Digester::add_row(std::span<const std::byte> bytes) {
  Lane lanes[kLanes] = {lanes_[0], lanes_[1], lanes_[2], lanes_[3]};  // in registers
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t words[kLanes];
  for (; left >= kBlockBytes; at += kBlockBytes, left -= kBlockBytes) {
    std::memcpy(words, at, kBlockBytes);
    for (std::size_t i = 0; i < kLanes; ++i) take(lanes[i], words[i]);
  }
  if (left > 0) {
    for (Lane& lane : lanes) {
      const std::size_t part = left < 8 ? left : 8;
      take(lane, part == 8 ? word_at<std::uint64_t>(at) : part > 0 ? part_of_word(at, part) : 0);
      at += part;
      left -= part;
    }
  }
  for (std::size_t i = 0; i < kLanes; ++i) lanes_[i] = lanes[i];
  bytes_ += bytes.size();
}

void Digester::add(std::string_view text) {
  add(std::uint64_t{text.size()});
  add_row(std::as_bytes(std::span(text.data(), text.size())));
}

void Digester::add(std::uint64_t number) { add_row(std::as_bytes(std::span(&number, 1))); }

void Digester::add(double number) { add(std::bit_cast<std::uint64_t>(number)); }

Digest128 Digester::finish() const {
  Lane sum{kFactor, bytes_};
  for (std::size_t i = 0; i < kLanes; ++i) {
    const std::uint64_t s0 = splitmix64_finish(lanes_[i].s0 + i);
    take(sum, s0);
    take(sum, splitmix64_finish(lanes_[i].s1 ^ s0));
  }
  const std::uint64_t high = splitmix64_finish(sum.s0 + splitmix64_finish(sum.s1));
  return {high, splitmix64_finish(sum.s1 ^ high)};
}

}  // namespace herd::digest
