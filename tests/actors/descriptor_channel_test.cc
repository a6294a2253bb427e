// Descriptors between processes: each comes under its name, whoever asks first; nothing is kept without bound.

#include "actors/children/descriptor_channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

namespace herd::children {
namespace {

constexpr std::chrono::seconds kLong{30};

// A pipe's reading end; what was written into it tells which one it is.
OwnedFd pipe_with(const std::string& text) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ::close(ends[1]);
  return OwnedFd(ends[0]);
}
std::string text_of(const OwnedFd& fd) {
  char text[64];
  const ssize_t bytes = ::read(fd.get(), text, sizeof text);
  return {text, static_cast<std::size_t>(std::max<ssize_t>(bytes, 0))};
}

struct Channel {
  Channel() {
    auto ends = descriptor_socket_pair().value();
    sender = std::move(ends.first);
    receiver = std::move(ends.second);
  }
  OwnedFd sender, receiver;
};

TEST(DescriptorInbox, GivesEachDescriptorUnderItsName) {
  Channel channel;
  DescriptorInbox inbox(std::move(channel.receiver));
  ASSERT_TRUE(send_descriptor(channel.sender.get(), "a", pipe_with("first").get()).ok());
  ASSERT_TRUE(send_descriptor(channel.sender.get(), "b/1", pipe_with("second").get()).ok());
  const auto b = inbox.take("b/1", kLong);
  const auto a = inbox.take("a", kLong);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(text_of(*a), "first");
  EXPECT_EQ(text_of(*b), "second");
  EXPECT_NE(::fcntl(a->get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_FALSE(inbox.take("a", std::chrono::milliseconds(1)).has_value()) << "taken once";
}

// Its owner may be about to end, and whoever waits is given up before.
TEST(DescriptorInbox, AStoppedOneKeepsNobodyWaiting) {
  Channel channel;
  DescriptorInbox inbox(std::move(channel.receiver));
  std::thread waiting([&] { EXPECT_FALSE(inbox.take("never", std::chrono::hours(1)).has_value()); });
  inbox.stop();
  waiting.join();
  inbox.stop();
  EXPECT_FALSE(inbox.take("never", std::chrono::hours(1)).has_value());
}

// What is called when one has come may take it, even while the inbox is told to stop.
TEST(DescriptorInbox, StopsOnlyBetweenTwoThatCome) {
  Channel channel;
  std::atomic<bool> came = false, told = false, taken = false;
  DescriptorInbox* inside = nullptr;
  std::mutex mutex;
  std::unique_lock lock(mutex);
  DescriptorInbox inbox(std::move(channel.receiver), [&](const std::string& name) {
    const std::scoped_lock ready(mutex);
    came = true;
    while (!told) std::this_thread::yield();
    taken = inside->take(name, std::chrono::milliseconds(0)).has_value();
  });
  inside = &inbox;
  lock.unlock();
  ASSERT_TRUE(send_descriptor(channel.sender.get(), "a", pipe_with("x").get()).ok());
  while (!came) std::this_thread::yield();
  told = true;
  inbox.stop();
  EXPECT_TRUE(taken);
}

TEST(DescriptorInbox, WaitsForWhatHasNotComeYet) {
  Channel channel;
  DescriptorInbox inbox(std::move(channel.receiver));
  std::thread sender([&] { EXPECT_TRUE(send_descriptor(channel.sender.get(), "late", pipe_with("x").get()).ok()); });
  EXPECT_TRUE(inbox.take("late", kLong).has_value());
  sender.join();
}

TEST(DescriptorInbox, SaysThatTheSenderIsGoneAndKeepsWhatCameBefore) {
  Channel channel;
  DescriptorInbox inbox(std::move(channel.receiver));
  ASSERT_TRUE(send_descriptor(channel.sender.get(), "a", pipe_with("x").get()).ok());
  channel.sender.reset();
  const auto gone = inbox.take("b", kLong);
  ASSERT_FALSE(gone.has_value());
  EXPECT_EQ(gone.error().code(), StatusCode::kAborted);
  EXPECT_NE(gone.error().message().find("gone"), std::string::npos);
  EXPECT_TRUE(inbox.take("a", kLong).has_value());
}

TEST(DescriptorInbox, TellsOfEachThatCanBeTaken) {
  Channel channel;
  std::atomic<int> came{0};
  std::string name;
  {
    DescriptorInbox* there = nullptr;
    std::atomic<bool> made{false};
    DescriptorInbox inbox(std::move(channel.receiver), [&](const std::string& of) {
      while (!made) std::this_thread::yield();
      name = of;
      EXPECT_TRUE(there->take(of, std::chrono::milliseconds(0)).has_value());
      ++came;
    });
    there = &inbox;
    made = true;
    ASSERT_TRUE(send_descriptor(channel.sender.get(), "g/leader", pipe_with("x").get()).ok());
    while (came == 0) std::this_thread::yield();
  }
  EXPECT_EQ(name, "g/leader");
}

TEST(DescriptorInbox, PassesOverMessagesWithoutADescriptorAndNamesThatAreTooLong) {
  Channel channel;
  DescriptorInbox inbox(std::move(channel.receiver));
  ASSERT_EQ(::send(channel.sender.get(), "none", 4, 0), 4);
  const std::string long_name(kDescriptorNameBytesMax + 1, 'n');
  ASSERT_EQ(::send(channel.sender.get(), long_name.data(), long_name.size(), 0), static_cast<ssize_t>(long_name.size()));
  ASSERT_TRUE(send_descriptor(channel.sender.get(), "a", pipe_with("x").get()).ok());
  EXPECT_TRUE(inbox.take("a", kLong).has_value());
  EXPECT_FALSE(inbox.take("none", std::chrono::milliseconds(1)).has_value());
}

TEST(DescriptorInbox, ClosesTheOldestWhenNobodyTakesThem) {
  Channel channel;
  DescriptorInbox inbox(std::move(channel.receiver));
  const auto name = [](std::size_t i) { return "fd " + std::to_string(i); };
  for (std::size_t i = 0; i <= kDescriptorsWaitingMax; ++i) {
    Status sent;
    do {
      sent = send_descriptor(channel.sender.get(), name(i), pipe_with("x").get());
    } while (sent.code() == StatusCode::kOverloaded);
    ASSERT_TRUE(sent.ok());
  }
  EXPECT_TRUE(inbox.take(name(kDescriptorsWaitingMax), kLong).has_value());
  EXPECT_TRUE(inbox.take(name(1), kLong).has_value());
  EXPECT_FALSE(inbox.take(name(0), std::chrono::milliseconds(1)).has_value());
}

TEST(SendDescriptor, SaysThatTheOtherEndIsGoneOrDoesNotRead) {
  Channel channel;
  const OwnedFd fd = pipe_with("x");
  Status status;
  for (int i = 0; i < 100'000 && status.ok(); ++i) status = send_descriptor(channel.sender.get(), "a", fd.get());
  EXPECT_EQ(status.code(), StatusCode::kOverloaded);
  channel.receiver.reset();
  EXPECT_EQ(send_descriptor(channel.sender.get(), "a", fd.get()).code(), StatusCode::kAborted);
}

}  // namespace
}  // namespace herd::children
