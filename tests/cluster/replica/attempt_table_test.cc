#include "cluster/replica/attempt_table.h"

#include <gtest/gtest.h>

namespace herd::replica {
namespace {

step::AttemptKey key(std::uint64_t gateway, std::uint64_t sequence, std::uint32_t attempt = 0) {
  return {GatewayId(gateway), SequenceId(sequence), attempt};
}

TEST(AttemptTable, GivesEqualNumbersOfTwoGatewaysIdsOfTheirOwn) {
  AttemptTable table;
  const SequenceId first = table.add(key(1, 1));
  const SequenceId second = table.add(key(2, 1));
  EXPECT_NE(first, second);
  EXPECT_EQ(table.key_of(first), key(1, 1));
  EXPECT_EQ(table.key_of(second), key(2, 1));
}

TEST(AttemptTable, AnIdNeverComesTwice) {
  AttemptTable table;
  const SequenceId first = table.add(key(1, 1));
  table.remove(first);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_NE(table.add(key(1, 1)), first);
}

TEST(AttemptTable, FindsTheOpenAttemptAndOnlyThat) {
  AttemptTable table;
  const SequenceId own = table.add(key(1, 5, 2));
  EXPECT_EQ(table.open_attempt(GatewayId(1), SequenceId(5)), key(1, 5, 2));
  EXPECT_EQ(table.open_attempt(GatewayId(1), SequenceId(4)), std::nullopt);
  EXPECT_EQ(table.open_attempt(GatewayId(0), SequenceId(5)), std::nullopt);
  EXPECT_EQ(table.find(key(1, 5, 2)), own);
  EXPECT_EQ(table.find(key(1, 5, 1)), std::nullopt);
  EXPECT_EQ(table.find(key(1, 5, 3)), std::nullopt);
}

TEST(AttemptTable, ListsWhatAGatewayHas) {
  AttemptTable table;
  (void)table.add(key(1, 9));
  const SequenceId late = table.add(key(2, 7));
  const SequenceId early = table.add(key(2, 3));
  (void)table.add(key(3, 1));
  EXPECT_EQ(table.of_gateway(GatewayId(2)), (std::vector<SequenceId>{early, late}));
}

}  // namespace
}  // namespace herd::replica
