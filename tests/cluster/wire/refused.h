#pragma once
// What a message refuses: validate and decode agree on it.

#include <gtest/gtest.h>

#include "tests/cluster/wire/random_values.h"

namespace herd::wire {

// A valid value that `spoil` changes: whether validate and decode, which agree, refuse it then.
template <auto Draw, auto Decode>
bool refused(auto spoil) {
  Random random(7);
  auto value = Draw(random);
  EXPECT_TRUE(validate(value).ok()) << validate(value).message();
  EXPECT_TRUE(Decode(encode(value).words).has_value());
  spoil(value);
  EXPECT_EQ(validate(value).ok(), Decode(encode(value).words).has_value());
  return !validate(value).ok();
}

// The message of a value with its fields at their limits fits into the longest frame of its kind.
void travels(const auto& value, auto decode) {
  EXPECT_TRUE(validate(value).ok()) << validate(value).message();
  EXPECT_TRUE(seal(encode(value), Epoch(1)).has_value());
  EXPECT_TRUE(decode(encode(value).words).has_value());
}

}  // namespace herd::wire
