#pragma once
// LinkSession: one end of a connection between two processes. Bytes in, frames and bytes out; it knows deadlines, but no clock,
// socket or thread.
//
//   connected ──Hello of the peer, accepted──> open ──finish()──> farewell ──all is written──> closed
//   connected ──Hello refused──> farewell (Goodbye says why) ──> closed
//   any ──bytes that break a rule, silence, a peer that does not read──> closed, hard
//
// Hello is the first frame of both directions; nothing else is read before it. Every end has one text that names the peer and
// the cause.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cluster/handshake/hello.h"
#include "cluster/link/fragment.h"
#include "cluster/link/frame_assembly.h"
#include "cluster/link/link_limits.h"
#include "cluster/link/peer_name.h"
#include "cluster/link/phi_detector.h"
#include "cluster/link/send_queue.h"
#include "cluster/wire/envelope.h"
#include "kernels/status.h"
#include "runtime/clock.h"

namespace herd::link {

struct LinkRules {
  handshake::Hello mine;
  std::vector<PeerName> accepts;  // who may be at the other end
  std::string address;            // of the peer, for people
  LinkLimits limits;
};

// What happened, in its order.
struct PeerOpened {
  handshake::Hello hello;
  handshake::Agreement agreement;
};
using LinkEvent = std::variant<PeerOpened, wire::OpenedFrame>;

class LinkSession {
 public:
  enum class Fate {
    kOpen,      // or connected
    kFarewell,  // write output(), then close
    kClosed,    // close; as why() says
  };

  LinkSession(LinkRules rules, Instant now);

  // The connection is encrypted, and the peer proved that this is its name. Before the first byte; not called in plaintext.
  void on_secured(const PeerName& certificate);

  void on_bytes(std::span<const std::byte> bytes, Instant now);
  void on_written(std::size_t bytes, Instant now);
  // The socket has ended, with or without an error.
  void on_end(const std::string& cause);
  void on_time(Instant now);

  // A frame of that kind, sealed (cluster/wire/envelope.h). kOverloaded: a submission that finds the queue half full. kAborted: not
  // open, or not any more. What the peer's role has no use for is our bug.
  [[nodiscard]] Status send(wire::FrameKind kind, std::vector<std::byte> sealed, Instant now);
  // Frames of so many payload bytes are done with.
  void on_consumed(std::size_t bytes, Instant now);
  // No more of send(); what waits still goes out, Goodbye last.
  void finish(const Status& why, Instant now);

  [[nodiscard]] std::vector<LinkEvent> take_events();
  // What is to be written next; empty: nothing. The same bytes until on_written().
  [[nodiscard]] std::span<const std::byte> output();
  [[nodiscard]] bool wants_bytes() const { return unconsumed_ <= rules_.limits.unconsumed_bytes_max; }
  [[nodiscard]] Instant deadline() const;  // of the next on_time()
  [[nodiscard]] Fate fate() const { return fate_; }
  // What the connection has come to: "node "a" at 10.0.0.7:4000: silent for 1.6 s". Ok while it is open.
  [[nodiscard]] const Status& why() const { return why_; }
  // It was closed as the peer does nothing, though nobody has ended the connection: it hangs, or the way there is cut.
  [[nodiscard]] bool peer_hangs() const { return peer_hangs_; }
  [[nodiscard]] bool is_open() const { return peer_.has_value() && fate_ == Fate::kOpen; }
  [[nodiscard]] std::size_t queued_bytes() const { return queue_.bytes() + record_.size() - written_; }

 private:
  void end(Fate fate, const std::string& cause, StatusCode code = StatusCode::kAborted);
  void end_as_hung(const std::string& cause);
  // As end(), after the peer was told why.
  void refuse(const std::string& cause, Instant now);
  Status on_fragment(const FragmentReader::Fragment& fragment, Instant now);
  Status check_kind(wire::FrameKind kind, Lane lane) const;
  Status on_frame(wire::OpenedFrame opened, Instant now);
  Status on_hello(std::span<const std::uint64_t> words, Instant now);
  Status on_goodbye(std::span<const std::uint64_t> words);
  Status on_ping(std::span<const std::uint64_t> words, Instant now);
  // What was not heard up to here is nobody's silence.
  void hear_anew(Instant now);
  [[nodiscard]] double silence_seconds() const;
  // Of the link's own, about no replica.
  void push_own(const wire::Frame& frame, Instant now);
  void push(Lane lane, std::vector<std::byte> sealed, Instant now);
  [[nodiscard]] bool something_waits() const { return written_ < record_.size() || !queue_.empty(); }
  [[nodiscard]] std::string who() const;

  LinkRules rules_;
  std::optional<PeerName> certificate_;
  std::optional<handshake::Hello> peer_;  // once accepted
  std::uint32_t protocol_ = 0;            // then: as both ends agreed
  Fate fate_ = Fate::kOpen;
  Status why_;

  FragmentReader reader_;
  std::array<FrameAssembly, kLanes> assemblies_;
  std::vector<LinkEvent> events_;
  std::size_t unconsumed_ = 0;

  SendQueue queue_;
  std::vector<std::byte> record_;  // taken from the queue
  std::size_t written_ = 0;        // of it
  std::optional<Status> goodbye_;  // goes out when nothing else waits

  Instant hello_due_;
  Instant farewell_due_;
  Instant ping_due_;
  Instant heard_;   // the last fragment
  PhiDetector detector_;
  double silence_s_;                  // in which it is to be heard again, as the detector says
  std::optional<Instant> pinged_;     // the last ping that says how regular they are
  std::optional<Instant> last_look_;  // the peer is suspected: what may lie in the socket is read until then
  bool peer_hangs_ = false;
  Instant moved_;   // the socket took something, or nothing waited
};

}  // namespace herd::link
