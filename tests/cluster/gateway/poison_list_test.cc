#include "cluster/gateway/poison_list.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/cluster/instants.h"

namespace herd::gateway {
namespace {

std::vector<TokenId> prompt(TokenId token) { return {1, token}; }

TEST(PoisonList, HoldsAPromptForTenMinutes) {
  PoisonList list;
  list.add(PoisonList::name_of(prompt(7)), at(1));
  EXPECT_TRUE(list.holds(prompt(7), at(600.9)));
  EXPECT_FALSE(list.holds(prompt(8), at(1))) << "another one";
  EXPECT_FALSE(list.holds(prompt(7), at(601)));
}

TEST(PoisonList, ForgetsTheOldestWhenThereAreTooMany) {
  PoisonList list;
  for (TokenId token = 0; token <= static_cast<TokenId>(PoisonList::kPromptsMax); ++token) list.add(PoisonList::name_of(prompt(token)), at(1));
  EXPECT_FALSE(list.holds(prompt(0), at(1)));
  EXPECT_TRUE(list.holds(prompt(1), at(1)));
}

TEST(PoisonList, NamesAPromptByAllOfIt) {
  EXPECT_NE(PoisonList::name_of(std::vector<TokenId>{1, 2}), PoisonList::name_of(std::vector<TokenId>{1, 2, 3}));
  EXPECT_NE(PoisonList::name_of(std::vector<TokenId>{1, 2}), PoisonList::name_of(std::vector<TokenId>{2, 1}));
}

}  // namespace
}  // namespace herd::gateway
