#include "cluster/link/link_session.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "cluster/handshake/link_words.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/link_codec.h"
#include "cluster/wire/spoken.h"
#include "kernels/check.h"

namespace herd::link {
namespace {

using wire::FrameKind;

// A timer that is so late was not served in time: this process slept, and the peer may have spoken meanwhile.
constexpr double kSleptSeconds = 0.5;
// One that is less late may still be served before the bytes that came before it.
constexpr double kLastLookSeconds = 0.05;
// The suspicion at which a peer is given up, see PhiDetector.
constexpr double kPhi = 8.0;

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", seconds);
  return text;
}

bool is_for_the_link(FrameKind kind) { return lane_of(kind) == Lane::kLink; }

}  // namespace

LinkSession::LinkSession(LinkRules rules, Instant now)
    : rules_(std::move(rules)),
      hello_due_(seconds_after(now, rules_.limits.hello_s)),
      heard_(now),
      detector_(rules_.limits.ping_s),
      silence_s_(silence_seconds()),
      moved_(now) {
  push_own(wire::encode(rules_.mine), now);
}

std::string LinkSession::who() const {
  const std::string at = " at " + rules_.address;
  if (peer_) return peer_text({peer_->role, peer_->node}) + at;
  return (certificate_ ? peer_text(*certificate_) : "somebody") + at;
}

void LinkSession::on_secured(const PeerName& certificate) { certificate_ = certificate; }

void LinkSession::end(Fate fate, const std::string& cause, StatusCode code) {
  if (fate_ == Fate::kClosed) return;
  if (why_.ok()) why_ = {code, who() + ": " + cause};
  fate_ = fate;
}

void LinkSession::end_as_hung(const std::string& cause) {
  peer_hangs_ = true;
  end(Fate::kClosed, cause);
}

void LinkSession::refuse(const std::string& cause, Instant now) {
  end(Fate::kFarewell, cause, StatusCode::kBadInput);
  queue_.clear();
  goodbye_ = bad_input(cause);
  farewell_due_ = seconds_after(now, rules_.limits.farewell_s);
}

void LinkSession::on_bytes(std::span<const std::byte> bytes, Instant now) {
  while (fate_ == Fate::kOpen) {
    const auto fragment = reader_.next(bytes);
    if (!fragment) return end(Fate::kClosed, fragment.error().message(), StatusCode::kBadInput);
    if (!*fragment) return;
    heard_ = now;
    last_look_.reset();
    if (Status status = on_fragment(**fragment, now); !status.ok())
      return end(Fate::kClosed, status.message(), status.code());
  }
}

Status LinkSession::on_fragment(const FragmentReader::Fragment& fragment, Instant now) {
  FrameAssembly& assembly = assemblies_[static_cast<std::size_t>(fragment.header.lane)];
  if (assembly.empty()) {
    const auto header = assembly.begin(fragment.payload);
    if (!header) return header.error();
    if (Status status = check_kind(header->kind, fragment.header.lane); !status.ok()) return status;
  }
  auto frame = assembly.add(fragment.payload);
  if (!frame) return frame.error();
  return *frame ? on_frame(std::move(**frame), now) : Status{};
}

Status LinkSession::check_kind(FrameKind kind, Lane lane) const {
  const std::string what = "frame of kind " + std::to_string(static_cast<unsigned>(kind));
  const Lane its = peer_ ? lane_of(kind, peer_->role) : lane_of(kind);
  if (lane != its) return bad_input(what + " in lane " + std::to_string(static_cast<unsigned>(lane)));
  if (kind == FrameKind::kGoodbye) return {};
  if (!peer_) return kind == FrameKind::kHello ? Status{} : bad_input(what + " before its hello");
  if (kind == FrameKind::kHello) return bad_input("a second hello");
  if (!may_send(kind, peer_->role, rules_.mine.role))
    return bad_input(what + ", which a " + handshake::role_name(peer_->role) + " has no right to send to a " +
                     handshake::role_name(rules_.mine.role));
  return {};
}

Status LinkSession::on_frame(wire::OpenedFrame opened, Instant now) {
  switch (opened.header.kind) {
    case FrameKind::kHello:
      return on_hello(opened.frame.words, now);
    case FrameKind::kGoodbye:
      return on_goodbye(opened.frame.words);
    case FrameKind::kPing:
      return on_ping(opened.frame.words, now);
    default:
      if (Status status = wire::as_heard(opened.frame, protocol_); !status.ok()) return status;
      unconsumed_ += opened.frame.words.size() * 8;
      events_.emplace_back(std::move(opened));
      return {};
  }
}

Status LinkSession::on_hello(std::span<const std::uint64_t> words, Instant now) {
  auto hello = wire::decode_hello(words);
  if (!hello) return hello.error();
  auto agreement = handshake::agree(rules_.mine, *hello);
  Status refused = agreement ? Status{} : agreement.error();
  if (refused.ok() && certificate_) refused = check_speaker(*certificate_, *hello);
  if (refused.ok()) refused = check_accepted(rules_.accepts, *hello);
  if (!refused.ok()) {
    refuse(refused.message(), now);
    return {};
  }
  peer_ = *hello;
  protocol_ = agreement->protocol;
  ping_due_ = seconds_after(now, rules_.limits.ping_s);
  events_.emplace_back(PeerOpened{std::move(*hello), *agreement});
  return {};
}

Status LinkSession::on_goodbye(std::span<const std::uint64_t> words) {
  const auto goodbye = wire::decode_goodbye(words);
  if (!goodbye) return goodbye.error();
  end(Fate::kClosed, (peer_ ? "it closed the connection: " : "it refused this process: ") + goodbye->why.message(),
      goodbye->why.code());
  return {};
}

Status LinkSession::on_ping(std::span<const std::uint64_t> words, Instant now) {
  if (const auto ping = wire::decode_ping(words); !ping) return ping.error();
  if (pinged_) detector_.on_interval(seconds_between(*pinged_, now));
  silence_s_ = silence_seconds();
  pinged_ = now;
  return {};
}

void LinkSession::hear_anew(Instant now) {
  heard_ = now;
  pinged_.reset();
  last_look_.reset();
}

double LinkSession::silence_seconds() const {
  return std::clamp(detector_.silence_of(kPhi), rules_.limits.silence_min_s, rules_.limits.silence_max_s);
}

void LinkSession::push_own(const wire::Frame& frame, Instant now) {
  auto sealed = wire::seal(frame, {});
  HERD_CHECK(sealed.has_value(), "a codec makes no frame that is too long");
  push(lane_of(frame.kind), std::move(*sealed), now);
}

void LinkSession::push(Lane lane, std::vector<std::byte> sealed, Instant now) {
  if (!something_waits()) moved_ = now;
  queue_.push(lane, std::move(sealed));
}

Status LinkSession::send(FrameKind kind, std::vector<std::byte> sealed, Instant now) {
  if (!is_open() || goodbye_) return {StatusCode::kAborted, why_.ok() ? who() + ": not connected" : why_.message()};
  HERD_CHECK(!is_for_the_link(kind) && may_send(kind, rules_.mine.role, peer_->role), "a frame for that peer");
  const std::size_t queued = queued_bytes() + sealed.size();
  const std::size_t queued_max = rules_.limits.queued_bytes_max;
  if (kind == FrameKind::kSubmission && queued > queued_max / 2)
    return {StatusCode::kOverloaded, who() + ": " + std::to_string(queued_bytes()) + " bytes wait to be sent"};
  if (queued > queued_max) {
    end(Fate::kClosed, "it does not read: " + std::to_string(queued_bytes()) + " bytes wait to be sent");
    return why_;
  }
  push(lane_of(kind, rules_.mine.role), std::move(sealed), now);
  return {};
}

void LinkSession::on_consumed(std::size_t bytes, Instant now) {
  HERD_CHECK(bytes <= unconsumed_, "no more is consumed than was handed out");
  const bool stopped = !wants_bytes();
  unconsumed_ -= bytes;
  if (stopped && wants_bytes()) hear_anew(now);
}

void LinkSession::finish(const Status& why, Instant now) {
  if (fate_ != Fate::kOpen || goodbye_) return;
  goodbye_ = why.ok() ? Status(StatusCode::kAborted, "closed") : why;
  end(Fate::kFarewell, "closed by this process: " + goodbye_->message());
  farewell_due_ = seconds_after(now, rules_.limits.farewell_s);
}

std::vector<LinkEvent> LinkSession::take_events() { return std::exchange(events_, {}); }

std::span<const std::byte> LinkSession::output() {
  if (fate_ == Fate::kClosed) return {};
  if (written_ == record_.size()) {
    record_.clear();
    written_ = 0;
    if (queue_.empty() && fate_ == Fate::kFarewell && goodbye_)
      push_own(wire::encode(handshake::Goodbye{*std::exchange(goodbye_, std::nullopt)}), moved_);
    queue_.fill(record_);
  }
  return std::span(record_).subspan(written_);
}

void LinkSession::on_written(std::size_t bytes, Instant now) {
  written_ += bytes;
  HERD_CHECK(written_ <= record_.size(), "no more is written than there is");
  moved_ = now;
  if (fate_ == Fate::kFarewell && !something_waits() && !goodbye_) fate_ = Fate::kClosed;
}

void LinkSession::on_end(const std::string& cause) {
  end(Fate::kClosed, peer_ ? "the connection is lost: " + cause : "the connection ended before its hello: " + cause);
}

Instant LinkSession::deadline() const {
  if (fate_ == Fate::kClosed) return {INT64_MAX};
  if (fate_ == Fate::kFarewell) return farewell_due_;
  if (!peer_) return hello_due_;
  Instant due = ping_due_;
  if (wants_bytes()) due = std::min(due, last_look_.value_or(seconds_after(heard_, silence_s_)));
  if (something_waits()) due = std::min(due, seconds_after(moved_, rules_.limits.stall_s));
  return due;
}

void LinkSession::on_time(Instant now) {
  if (now < deadline()) return;
  if (fate_ == Fate::kFarewell) return end(Fate::kClosed, "it did not read this process's last words");
  if (fate_ != Fate::kOpen) return;
  const LinkLimits& limits = rules_.limits;
  if (!peer_) return end(Fate::kClosed, "no hello within " + seconds_text(limits.hello_s));
  if (now > seconds_after(deadline(), kSleptSeconds)) {
    hear_anew(now);
    moved_ = now;
  }
  if (wants_bytes() && now >= seconds_after(heard_, silence_s_)) {
    if (last_look_ && now >= *last_look_) return end_as_hung("silent for " + seconds_text(seconds_between(heard_, now)));
    if (!last_look_) last_look_ = seconds_after(now, kLastLookSeconds);
  }
  if (something_waits() && now >= seconds_after(moved_, limits.stall_s))
    return end_as_hung("it has not read for " + seconds_text(limits.stall_s) + ", " + std::to_string(queued_bytes()) +
                       " bytes wait to be sent");
  if (now < ping_due_) return;
  ping_due_ = seconds_after(now, limits.ping_s);
  if (queue_.empty(Lane::kLink)) push_own(wire::encode(handshake::Ping()), now);
}

}  // namespace herd::link
