#pragma once
// Two sessions and the bytes between them, in a test's hands.

#include <algorithm>
#include <string>
#include <vector>

#include "cluster/link/link_session.h"

namespace herd::link {

inline Instant at_seconds(double seconds) { return {static_cast<std::int64_t>(seconds * 1e9)}; }

inline handshake::Hello hello_of(handshake::Role role, std::string node) {
  handshake::Hello hello;
  hello.cluster = "test";
  hello.role = role;
  hello.node = std::move(node);
  hello.incarnation = 7;
  if (role == handshake::Role::kRank) hello.model.assign(1, 'm');
  return hello;
}

inline LinkRules rules_of(handshake::Role role, std::string node, std::vector<PeerName> accepts) {
  return {hello_of(role, std::move(node)), std::move(accepts), "10.0.0.7:4000", {}};
}

// All that it has to write.
inline std::vector<std::byte> drain(LinkSession& session, Instant now) {
  std::vector<std::byte> bytes;
  for (auto output = session.output(); !output.empty(); output = session.output()) {
    bytes.insert(bytes.end(), output.begin(), output.end());
    session.on_written(output.size(), now);
  }
  return bytes;
}

// A gateway and a leader; open() lets them meet.
struct LinkPair {
  LinkSession gateway{rules_of(handshake::Role::kGateway, "g", {{handshake::Role::kRank, ""}}), {}};
  LinkSession leader{rules_of(handshake::Role::kRank, "a", {{handshake::Role::kGateway, ""}}), {}};

  void open(Instant now = {}) {
    leader.on_bytes(drain(gateway, now), now);
    gateway.on_bytes(drain(leader, now), now);
    (void)gateway.take_events();
    (void)leader.take_events();
  }
};

// A frame of that kind with so many words; what is in them is no message.
inline wire::Frame frame_of(wire::FrameKind kind, std::size_t words, std::uint64_t fill = 1) {
  return {kind, wire::Words(words, fill)};
}

// One fragment as a stranger may make it.
inline std::vector<std::byte> fragment_of(std::span<const std::byte> payload, Lane lane, std::uint64_t sequence) {
  std::vector<std::byte> bytes(kFragmentHeaderBytes);
  write_fragment_header(std::span<std::byte, kFragmentHeaderBytes>(bytes.data(), kFragmentHeaderBytes),
                        {lane, static_cast<std::uint32_t>(payload.size()), sequence});
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}
inline std::vector<std::byte> fragment_of(const wire::Frame& frame, Lane lane, std::uint64_t sequence) {
  return fragment_of(wire::seal(frame, Epoch(0)).value(), lane, sequence);
}
inline std::vector<std::byte> text_bytes(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

inline std::vector<wire::OpenedFrame> frames_of(LinkSession& session) {
  std::vector<wire::OpenedFrame> frames;
  for (LinkEvent& event : session.take_events())
    if (auto* frame = std::get_if<wire::OpenedFrame>(&event)) frames.push_back(std::move(*frame));
  return frames;
}

}  // namespace herd::link
