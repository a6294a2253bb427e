#include "commands/load/load_random.h"

#include <cmath>

#include "kernels/check.h"

namespace herd::load {
namespace {

constexpr double kLn2 = 0.693147180559945309417232121458;

}  // namespace

// x = m · 2^e, m in [√½, √2): log m = 2 atanh s, s = (m-1)/(m+1), |s| < 0.172; s^22/23 < 1e-18.
double portable_log(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // [½, 1); exact
  if (m < 0.70710678118654752440) {
    m *= 2.0;
    --exponent;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double square = s * s;
  double sum = 0.0;
  for (int k = 21; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
  return exponent * kLn2 + 2.0 * s * sum;
}

// x = k ln 2 + r, |r| <= 0.347: Taylor to r^16/16! < 3e-21.
double portable_exp(double x) {
  if (x < -700.0) return 0.0;  // an inter-arrival this small is none
  const double k = std::floor(x / kLn2 + 0.5);
  const double r = x - k * kLn2;
  double sum = 1.0;
  for (int n = 16; n >= 1; --n) sum = 1.0 + sum * r / n;
  return std::ldexp(sum, static_cast<int>(k));
}

std::uint32_t LoadRandom::word() {
  if (drawn_ % 4 == 0) {
    const std::uint64_t block = drawn_ / 4;
    block_ = philox4x32(PhiloxBlock{{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), index_,
                                     static_cast<std::uint32_t>(use_)}},
                        static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32));
  }
  return block_.word[drawn_++ % 4];
}

double LoadRandom::uniform() {
  const std::uint64_t high = word();
  const std::uint64_t bits = (high << 21) ^ (word() >> 11);  // 53 bits
  return (static_cast<double>(bits) + 0.5) * 0x1p-53;
}

std::uint64_t LoadRandom::below(std::uint64_t end) {
  HERD_CHECK(end >= 1, "a draw from nothing");
  const std::uint64_t unfair = (0 - end) % end;  // 2^64 mod end: the draws that would favour small numbers
  for (;;) {
    const std::uint64_t high = word();
    const std::uint64_t draw = (high << 32) | word();
    if (draw >= unfair) return draw % end;
  }
}

std::uint64_t LoadRandom::between(std::uint64_t first, std::uint64_t last) { return first + below(last - first + 1); }

// Marsaglia's polar method (1964); the second value of the pair is not kept.
double LoadRandom::normal() {
  for (;;) {
    const double x = 2.0 * uniform() - 1.0;
    const double y = 2.0 * uniform() - 1.0;
    const double square = x * x + y * y;
    if (square < 1.0 && square > 0.0) return x * std::sqrt(-2.0 * portable_log(square) / square);
  }
}

// Marsaglia and Tsang 2000, "A simple method for generating gamma variables"; below 1: gamma(shape + 1) · u^(1/shape).
double LoadRandom::gamma(double shape) {
  HERD_CHECK(shape > 0.0, "a gamma distribution needs a positive shape");
  if (shape == 1.0) return -portable_log(uniform());
  if (shape < 1.0) {
    const double larger = gamma(shape + 1.0);
    return larger * portable_exp(portable_log(uniform()) / shape);
  }
  const double d = shape - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = normal();
    const double root = 1.0 + c * x;
    if (root <= 0.0) continue;
    const double v = root * root * root;
    if (portable_log(uniform()) < 0.5 * x * x + d - d * v + d * portable_log(v)) return d * v;
  }
}

}  // namespace herd::load
