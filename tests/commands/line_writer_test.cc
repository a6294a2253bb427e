#include "commands/line_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace herd::commands {
namespace {

struct Pipe {
  int ends[2];
  Pipe() { EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0); }
  ~Pipe() {
    for (const int fd : ends) ::close(fd);
  }
  // Everything that is there, without waiting.
  std::string read_all() {
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    std::string text;
    char buffer[65536];
    for (ssize_t size; (size = ::read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(size));
    return text;
  }
};

TEST(LineWriter, WritesEveryLineBeforeItEnds) {
  Pipe pipe;
  std::string expected;
  {
    LineWriter writer(pipe.ends[1]);
    for (int i = 0; i < 1000; ++i) {
      writer.write("line " + std::to_string(i));
      expected += "line " + std::to_string(i) + "\n";
    }
  }
  EXPECT_EQ(pipe.read_all(), expected);
}

// A pipe that is full and that nobody reads: neither who writes nor who ends waits for it.
TEST(LineWriter, NobodyWaitsForAReaderThatHasStopped) {
  Pipe pipe;
  ::fcntl(pipe.ends[1], F_SETPIPE_SZ, 4096);
  {
    LineWriter writer(pipe.ends[1], 100);
    for (int i = 0; i < 1000; ++i) writer.write(std::string(100, 'x'));
    EXPECT_GT(writer.dropped(), 0U);
  }
  const std::string text = pipe.read_all();
  EXPECT_FALSE(text.empty());
  EXPECT_LE(text.size(), 4096U);
}

TEST(LineWriter, SaysHowManyLinesWereLost) {
  Pipe pipe;
  ::fcntl(pipe.ends[1], F_SETPIPE_SZ, 4096);
  std::string text;
  {
    LineWriter writer(pipe.ends[1], 10);
    for (int i = 0; i < 1000; ++i) writer.write(std::string(100, 'x'));
    while (writer.dropped() == 0) writer.write(std::string(100, 'x'));
    for (int i = 0; i < 200 && text.find("lines were lost") == std::string::npos; ++i) {
      text += pipe.read_all();
      ::usleep(10'000);
    }
  }
  EXPECT_NE(text.find(" lines were lost: nobody read them)\n"), std::string::npos);
}

}  // namespace
}  // namespace herd::commands
