#pragma once
// Status and Expected<T>: how an expected refusal travels. A broken invariant of our own is HERD_CHECK
// (check.h), something that died elsewhere is an event; neither is a Status. Codes exist only where some
// code reacts differently (exit code, HTTP status, retry); everything else is the message.

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace herd {

enum class StatusCode {
  kOk = 0,
  kUsage,            // wrong flag or value on the command line: exit 2
  kBadInput,         // a file, prompt, message that breaks its format: exit 3, HTTP 400
  kMissing,          // a file, device or memory that is not there: exit 4
  kOverloaded,       // a bounded queue is full: HTTP 503
  kAborted,          // a peer, collective or step was given up
  kInternal,         // our bug: exit 1, HTTP 500
};

// Value. Empty message only when ok.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  [[nodiscard]] bool ok() const { return code_ == StatusCode::kOk; }
  [[nodiscard]] StatusCode code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  bool operator==(const Status&) const = default;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status bad_input(std::string message) { return {StatusCode::kBadInput, std::move(message)}; }
inline Status usage_error(std::string message) { return {StatusCode::kUsage, std::move(message)}; }
inline Status missing(std::string message) { return {StatusCode::kMissing, std::move(message)}; }

// std::expected's interface, so that C++23 replaces it in one line.
template <class T>
using Expected = tl::expected<T, Status>;

inline tl::unexpected<Status> fail(Status status) { return tl::unexpected<Status>(std::move(status)); }

}  // namespace herd
