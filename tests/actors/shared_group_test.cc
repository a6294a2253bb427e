// What ranks in processes of their own meet in: memory that cannot be taken away under them, which any of them gives up for all.

#include "actors/ranks/shared_group.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <string>

#include "actors/ranks/progress_page.h"
#include "kernels/local_collective.h"

namespace herd::actors {
namespace {

const LocalCollectiveConfig kPatient{.deadline_ms = 30'000};

// Rank 1 in a process of its own, which maps the group anew from its descriptor; the exit code is what `work` returns.
template <class Work>
pid_t rank_1(int fd, Work work) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  const auto group = SharedGroup::map(fd, 2, kPatient);
  ::_exit(group ? work(*(*group)->join(1)) : 99);
}
int exit_code(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int gather(Collective& member, int value) {
  int all[2] = {0, 0};
  member.all_gather(CollectiveName::kTest, &value, all, sizeof value);
  return member.status().ok() ? all[0] + all[1] : -1;
}

TEST(SharedGroup, ProcessesMeetInIt) {
  const auto group = SharedGroup::create(2, kPatient).value();
  const pid_t child = rank_1(group->descriptor(), [](Collective& member) { return gather(member, 30); });
  EXPECT_EQ(gather(*group->join(0), 12), 42);
  EXPECT_EQ(exit_code(child), 42);
}

TEST(SharedGroup, AnyProcessThatMapsItMakesTheOthersReturn) {
  const auto group = SharedGroup::create(2, kPatient).value();
  // Rank 1 waits for rank 0, which never comes; this process is in no group at all.
  const pid_t child = rank_1(group->descriptor(), [](Collective& member) {
    (void)gather(member, 1);
    return member.status().message() == "replica 7 was lost" ? 7 : 1;
  });
  SharedGroup::map(group->descriptor(), 2, kPatient).value()->abort("replica 7 was lost");
  EXPECT_EQ(exit_code(child), 7);
  group->abort("too late");
  EXPECT_EQ(group->join(0)->status(), (Status{StatusCode::kAborted, "replica 7 was lost"}));
}

TEST(SharedGroup, AKilledPeerLeavesNothingThatAnAbortDoesNotEnd) {
  const auto group = SharedGroup::create(2, kPatient).value();
  const pid_t child = rank_1(group->descriptor(), [](Collective& member) {
    (void)gather(member, 1);
    ::raise(SIGKILL);
    return 0;
  });
  const auto member = group->join(0);
  EXPECT_EQ(gather(*member, 1), 2);
  EXPECT_EQ(exit_code(child), 1000 + SIGKILL);
  group->abort("rank 1 was killed");
  EXPECT_EQ(gather(*member, 1), -1);
}

TEST(SharedGroup, TakesNoMemoryOfAnotherSizeOrThatCanShrink) {
  const auto group = SharedGroup::create(2, kPatient).value();
  EXPECT_EQ(SharedGroup::map(group->descriptor(), 4, kPatient).error().code(), StatusCode::kBadInput);
  EXPECT_NE(::ftruncate(group->descriptor(), 0), 0) << "nobody takes its pages away";

  const int open = ::memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(::ftruncate(open, static_cast<off_t>(local_group_bytes(2, kPatient))), 0);
  const auto refused = SharedGroup::map(open, 2, kPatient);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("not sealed"), std::string::npos);
  ::close(open);

  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  EXPECT_EQ(SharedGroup::map(pipe[0], 2, kPatient).error().code(), StatusCode::kBadInput);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(ProgressPage, OneProcessReadsWhatAnotherWrites) {
  const auto page = ProgressPage::create().value();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto mapped = ProgressPage::map(page->descriptor());
    if (!mapped) ::_exit(1);
    const auto word = (*mapped)->word(3);
    word->begin_step(258, 17);
    word->begin(Operation::kMatmul);
    ::_exit(0);
  }
  ASSERT_EQ(exit_code(child), 0);
  EXPECT_EQ(page->word(3)->read(), (Progress{258, 17, 1, Operation::kMatmul}));
  EXPECT_EQ(page->word(2)->read(), Progress{});
}

TEST(ProgressPage, AttemptsAreKnownAfterTheirLeadersDeath) {
  const auto page = ProgressPage::create().value();
  const step::AttemptKey key{GatewayId(0xfeedULL << 48), SequenceId(7), 3};
  const pid_t leader = ::fork();
  if (leader == 0) {
    const auto mapped = ProgressPage::map(page->descriptor());
    if (!mapped) ::_exit(1);
    (*mapped)->name_attempt(SequenceId(5), key);
    (*mapped)->mark(1)->leave(5);
    ::_exit(0);
  }
  ASSERT_EQ(exit_code(leader), 0);
  EXPECT_EQ(page->attempt_of(SequenceId(page->mark(1)->sequence())), key);
  EXPECT_EQ(page->mark(0)->sequence(), 0U);
  EXPECT_EQ(page->attempt_of(SequenceId(0)), std::nullopt);
  EXPECT_EQ(page->attempt_of(SequenceId(6)), std::nullopt);
  page->name_attempt(SequenceId(5 + ProgressPage::kAttemptsKept), key);
  EXPECT_EQ(page->attempt_of(SequenceId(5)), std::nullopt) << "a later one has its place";
}

TEST(ProgressPage, TakesNothingElse) {
  const auto group = SharedGroup::create(2, kPatient).value();
  EXPECT_EQ(ProgressPage::map(group->descriptor()).error().code(), StatusCode::kBadInput);
}

}  // namespace
}  // namespace herd::actors
