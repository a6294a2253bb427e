// The seats of ranks in their groups: aborted at any moment, never after they are gone.

#include "actors/ranks/group_seats.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

namespace herd::actors {
namespace {

Status internal(const char* message) { return {StatusCode::kInternal, message}; }

// What became of a member of a group.
struct Fate {
  std::atomic<int> aborts{0};
  std::atomic<bool> gone{false};
  std::atomic<bool> aborted_when_gone{false};
  std::string reason;
};

class ToyMember final : public Collective {
 public:
  explicit ToyMember(Fate& fate) : fate_(fate) {}
  ~ToyMember() override { fate_.gone = true; }
  int rank() const override { return 0; }
  int size() const override { return 2; }
  void all_gather(CollectiveName, const void*, void*, std::size_t) override {}
  void abort(const char* reason) override {
    if (fate_.gone) fate_.aborted_when_gone = true;
    if (++fate_.aborts == 1) fate_.reason = reason;
  }
  Status status() const override { return {}; }

 private:
  Fate& fate_;
};

TEST(GroupSeats, AnAbortReachesEveryMember) {
  const auto seats = std::make_shared<GroupSeats>(2);
  Fate fates[2];
  const auto a = seats->take(0, std::make_unique<ToyMember>(fates[0]));
  const auto b = seats->take(1, std::make_unique<ToyMember>(fates[1]));
  EXPECT_TRUE(seats->aborted().ok());
  EXPECT_EQ(seats->abort(internal("rank 1 died")), internal("rank 1 died"));
  EXPECT_EQ(fates[0].reason, "rank 1 died");
  EXPECT_EQ(fates[1].reason, "rank 1 died");
  EXPECT_EQ(seats->aborted(), internal("rank 1 died"));
}

TEST(GroupSeats, AMemberThatComesAfterTheAbortIsAbortedAtOnceForTheFirstReason) {
  const auto seats = std::make_shared<GroupSeats>(2);
  (void)seats->abort(missing("no memory"));
  EXPECT_EQ(seats->abort(internal("too late")), missing("no memory"));
  Fate fate;
  const auto member = seats->take(1, std::make_unique<ToyMember>(fate));
  EXPECT_EQ(fate.reason, "no memory");
}

TEST(GroupSeats, AMemberThatIsGoneIsNotReached) {
  auto seats = std::make_shared<GroupSeats>(1);
  Fate fate;
  auto member = seats->take(0, std::make_unique<ToyMember>(fate));
  member.reset();
  EXPECT_TRUE(fate.gone);
  (void)seats->abort(internal("nobody there"));
  EXPECT_EQ(fate.aborts, 0);
  Fate next;
  member = seats->take(0, std::make_unique<ToyMember>(next));  // the seat is free again
  seats.reset();
  member.reset();  // a member keeps its seat's owner
  EXPECT_TRUE(next.gone);
}

TEST(GroupSeats, MembersMayLeaveWhileTheyAreAborted) {
  for (int round = 0; round < 200; ++round) {
    const auto seats = std::make_shared<GroupSeats>(1);
    Fate fate;
    auto member = seats->take(0, std::make_unique<ToyMember>(fate));
    std::thread leaving([&] { member.reset(); });
    (void)seats->abort(internal("now"));
    leaving.join();
    ASSERT_FALSE(fate.aborted_when_gone);
    ASSERT_TRUE(fate.gone);
  }
}

}  // namespace
}  // namespace herd::actors
