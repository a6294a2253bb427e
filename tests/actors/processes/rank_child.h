#pragma once
// `herd rank` started by a test that plays its node: the descriptors it works with, and all that it says.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "actors/children/descriptor_channel.h"
#include "actors/ranks/progress_page.h"
#include "cluster/placement/rank_spec.h"
#include "cluster/wire/rank_codec.h"
#include "tests/actors/link/link_ground.h"

namespace herd::actors {

inline constexpr char kTestCluster[] = "test";
inline constexpr char kTestNode[] = "a";

// The process of one rank. Ended with this.
class RankChild {
 public:
  RankChild(link::LinkHost& host, const ProgressPage& page, const placement::RankSpec& spec)
      : RankChild(host, page, spec, spec.rank) {}
  // Started as `rank` whatever the spec says.
  RankChild(link::LinkHost& host, const ProgressPage& page, const placement::RankSpec& spec, std::uint32_t rank) {
    auto link = children::link_socket_pair().value();
    auto descriptors = children::descriptor_socket_pair().value();
    channel_ = std::move(descriptors.first);
    start(spec.replica, rank, link.second.get(), descriptors.second.get(), page.descriptor());
    EXPECT_TRUE(host.adopt(link.first.release(), {{handshake::Role::kRank, kTestNode}}, record.opener()).ok());
    EXPECT_TRUE(record.opened()) << "the rank said no hello";
    say(wire::encode(spec));
  }
  ~RankChild() {
    if (pid_ != 0) kill();
    EXPECT_TRUE(record.closed()) << "the host's thread writes into it until then";
  }
  RankChild(const RankChild&) = delete;
  RankChild& operator=(const RankChild&) = delete;

  void say(const wire::Frame& frame, routing::ReplicaGeneration about = {}) {
    const Status sent = record.link()->send(frame, Epoch(), about);
    EXPECT_TRUE(sent.ok()) << sent.message();
  }
  void hand(const std::string& name, int fd) { EXPECT_TRUE(children::send_descriptor(channel_.get(), name, fd).ok()); }
  // The first frame of that kind from `heard` frames on, which then lie behind.
  wire::OpenedFrame hear(wire::FrameKind kind) {
    for (;;) {
      if (!record.frames(heard_ + 1)) {
        ADD_FAILURE() << "no frame of kind " << static_cast<int>(kind) << "; " << record.lines();
        return {};
      }
      wire::OpenedFrame frame = record.frame(heard_++);
      if (frame.header.kind == kind) return frame;
    }
  }

  void kill() {
    ::kill(pid_, SIGKILL);
    (void)exit_code();
  }
  void signal(int number) const { ::kill(pid_, number); }
  // Waits for its end; a signal counts 1000 more.
  int exit_code() {
    int status = 0;
    EXPECT_EQ(::waitpid(std::exchange(pid_, 0), &status, 0) > 0, true);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  link::Record record;

 private:
  void start(ReplicaId replica, std::uint32_t rank, int link, int descriptors, int page) {
    const std::vector<std::string> words{HERD_PROGRAM, "rank", "--cluster", kTestCluster, "--node", kTestNode, "--served-model-name", "a-name",
                                         "--replica", std::to_string(replica.value), "--rank", std::to_string(rank),
                                         "--link-fd", "3", "--descriptors-fd", "4", "--progress-fd", "5"};
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    // Above those they are to become, first.
    const int ends[] = {::fcntl(link, F_DUPFD, 20), ::fcntl(descriptors, F_DUPFD, 20), ::fcntl(page, F_DUPFD, 20)};
    for (int i = 0; i < 3; ++i) ::dup2(ends[i], 3 + i);
    for (const int end : ends) ::close(end);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }

  pid_t pid_ = 0;
  children::OwnedFd channel_;
  std::size_t heard_ = 0;
};

}  // namespace herd::actors
