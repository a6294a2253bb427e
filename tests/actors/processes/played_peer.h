#pragma once
// A node, gateway or leader that a test plays over a real connection, with a coordinator or whoever else it dials.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "actors/link/link_host.h"
#include "tests/actors/link/link_ground.h"

namespace herd::processes {

class PlayedPeer {
 public:
  PlayedPeer(handshake::Role role, const std::string& name, std::uint16_t port, std::optional<link::TlsFiles> tls = {},
             const std::string& text_digest = "", std::uint64_t incarnation = 7, const std::string& config_digest = "") {
    link::LinkHostConfig config = link::host_config(role, name, std::move(tls), record);
    config.mine.text_digest = text_digest;
    config.mine.incarnation = incarnation;
    config.mine.config_digest = config_digest;
    host_ = std::move(link::LinkHost::start(std::move(config)).value());
    dial_ = host_->dial("127.0.0.1", port, {{handshake::Role::kCoordinator, ""}}, record.opener());
  }
  ~PlayedPeer() { host_->stop(); }  // before what it writes down
  PlayedPeer(const PlayedPeer&) = delete;
  PlayedPeer& operator=(const PlayedPeer&) = delete;

  void send(const wire::Frame& frame, routing::ReplicaGeneration about = {}) {
    HERD_CHECK(record.opened(), "the connection opens");
    HERD_CHECK(record.link()->send(frame, {}, about).ok(), "what is sent goes out");
  }
  // The next frame of that kind; those before it are passed over.
  wire::OpenedFrame next(wire::FrameKind kind) {
    for (;;) {
      HERD_CHECK(record.frames(seen_ + 1), "the frame comes");
      wire::OpenedFrame frame = record.frame(seen_++);
      if (frame.frame.kind == kind) return frame;
    }
  }

  link::Record record;

 private:
  std::size_t seen_ = 0;
  std::unique_ptr<link::LinkHost> host_;
  std::unique_ptr<link::Dial> dial_;  // goes first
};

}  // namespace herd::processes
