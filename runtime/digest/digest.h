#pragma once
// Digest128: a name for bytes. Two processes whose digests are equal hold equal bytes; equal on every machine. Not
// cryptographic: it finds damage, a mistake or another version, and nobody who makes weights on purpose to collide.
//
// Four lanes of 128 bits (s0, s1) take turns on words x of 64 bits: v = s0 + x; (high, low) = v * K, a full 128-bit
// product; s0 = s1 + high; s1 = low. That is multiplication with carry: but for carries that are dropped a lane is a polynomial
// of its words modulo 2^128 - K. K is odd, so low gives v back, and with v all else: for a given x the step is a bijection of
// the lane. So a word that differs leaves a lane that differs, and equal words after it keep it so; only a later word that
// differs too can bring the lane back, at exactly one of its 2^64 values, which nothing but K and the lane decide. Bijections
// of each lane that are no polynomials (else lanes could make up for each other), then the same step, fold the lanes into 128
// bits. Bytes that differ in one word of a lane never collide there; by accident others do with about 2^-64 where two words
// differ and 2^-128 where many do. One multiplication a word, four that do not wait for each other: near the rate at which one
// core reads memory.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace herd::digest {

struct Digest128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  auto operator<=>(const Digest128&) const = default;
  // Modulo 2^128: a set of digests has one sum, whatever order it is added in.
  Digest128& operator+=(const Digest128& other);
};

// 32 hexadecimal digits.
[[nodiscard]] std::string hex(const Digest128& digest);

// Of pieces added one after the other. Value.
class Digester {
 public:
  // `name` and `part` say what the bytes are: equal bytes of different names have different digests.
  explicit Digester(std::string_view name, std::uint64_t part = 0);

  // A piece is padded with zeros to 32 bytes. Its own length is not counted, only how long all pieces are together: for
  // pieces whose lengths are known otherwise (rows of a tensor).
  void add_row(std::span<const std::byte> bytes);
  // Each with its length: two lists that differ have different digests.
  void add(std::string_view text);
  void add(std::uint64_t number);
  void add(double number);

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }  // of add_row, padding left out
  [[nodiscard]] Digest128 finish() const;

 private:
  struct Lane {
    std::uint64_t s0 = 0;
    std::uint64_t s1 = 0;
  };
  static constexpr std::size_t kLanes = 4;
  static void take(Lane& lane, std::uint64_t word);

  Lane lanes_[kLanes];
  std::uint64_t bytes_ = 0;
};

}  // namespace herd::digest
