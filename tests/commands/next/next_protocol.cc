#include "tests/commands/next/next_protocol.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "cluster/handshake/hello.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/spoken.h"

namespace herd {
namespace {

// Processes write to one file: each line is one write.
void log_line(const char* what, std::uint32_t protocol) {
  static const int kFile = [] {
    const char* path = std::getenv("HERD_TEST_PROTOCOL_LOG");
    return path != nullptr ? ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  }();
  if (kFile < 0) return;
  const std::string line = what + std::string(" ") + std::to_string(protocol) + "\n";
  [[maybe_unused]] const auto written = ::write(kFile, line.data(), line.size());
}

}  // namespace

handshake::ProtocolRange handshake::own_protocols() { return {.min = next::kOlderProtocol, .max = next::kNextProtocol}; }

std::optional<wire::Frame> wire::as_spoken(const Frame& frame, std::uint32_t protocol) {
  if (frame.kind != FrameKind::kSubmission) return std::nullopt;
  log_line("wrote", protocol);
  if (protocol < next::kNextProtocol) return std::nullopt;
  auto submission = decode_submission(frame.words);
  if (!submission) return std::nullopt;
  submission->max_tokens += submission->prompt_tokens;
  return encode(*submission);
}

Status wire::as_heard(Frame& frame, std::uint32_t protocol) {
  if (frame.kind != FrameKind::kSubmission) return {};
  log_line("read", protocol);
  if (protocol < next::kNextProtocol) return {};
  auto submission = decode_submission(frame.words);
  if (!submission) return submission.error();
  if (submission->max_tokens < submission->prompt_tokens) return bad_input("submission: its answer ends before its prompt does");
  submission->max_tokens -= submission->prompt_tokens;
  frame = encode(*submission);
  return {};
}

}  // namespace herd
