#pragma once
// LinkHost: the connections of a process to the others of its cluster, on one thread of their own. Mutual TLS 1.3; plaintext
// only where no network is: between loopback addresses, or over one end of a socket pair. What is said on a connection is
// cluster/link's; Boost.Asio and OpenSSL stay behind this header.
//
// An owner hears of its connection through calls from the host's thread, each of which must be short: an actor posts them to its
// mailbox. It answers through Link, from any thread.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/link/tls_files.h"
#include "cluster/handshake/hello.h"
#include "cluster/link/link_limits.h"
#include "cluster/link/link_session.h"
#include "cluster/link/peer_name.h"
#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::link {

// An open connection, for its owner. Any thread; harmless after its end.
class Link {
 public:
  virtual ~Link() = default;
  // kBadInput: the frame is longer than its kind may be. kOverloaded: a submission that would have to wait long. kAborted: the
  // connection has ended.
  [[nodiscard]] virtual Status send(const wire::Frame& frame, Epoch cluster_epoch, routing::ReplicaGeneration replica) = 0;
  // A frame of so many payload bytes is done with: who consumes nothing is given no more after a while.
  virtual void consumed(std::size_t bytes) = 0;
  // Sends what waits, says goodbye and closes; on_closed() follows.
  virtual void finish(const Status& why) = 0;
  [[nodiscard]] virtual std::size_t queued_bytes() const = 0;
};

// On the host's thread. Nothing after on_closed(), which comes once.
class LinkOwner {
 public:
  virtual ~LinkOwner() = default;
  virtual void on_frame(wire::OpenedFrame frame) = 0;
  // The peer neither speaks nor reads, though nobody has ended the connection: it hangs, or the way there is cut. on_closed() is next.
  virtual void on_hung() {}
  virtual void on_closed(const Status& why) = 0;
};

// A connection has opened: who owns it from here on. None: it is closed again.
using OpenLink = std::function<std::shared_ptr<LinkOwner>(std::shared_ptr<Link>, const PeerOpened&)>;

struct LinkHostConfig {
  handshake::Hello mine;
  std::optional<TlsFiles> tls;  // none: loopback only
  LinkLimits limits;
  std::size_t half_open_max = 64;   // connections of others that have not said hello yet
  std::size_t accepted_max = 4096;
  double retry_min_s = 0.05;        // before a connection is tried again; doubles up to the maximum, with jitter
  double retry_max_s = 2.0;
  double look_at_files_s = 5.0;     // whether the TLS files have changed
  std::uint64_t seed = 0;           // of the jitter: random bits
  // A connection that did not come to open, or certificates that cannot be read again: one line that names peer and cause.
  // The host's thread.
  std::function<void(const Status&)> on_trouble;
};

// Counters rise only.
struct LinkHostStats {
  std::uint64_t accepted = 0;
  std::uint64_t turned_away = 0;  // too many at a time
  std::uint64_t opened = 0;
  std::uint64_t refused = 0;      // ended before they opened
  std::uint64_t lost = 0;         // ended after it
  std::uint64_t half_open = 0;    // now
};

// Connects, and again whenever a connection has ended, until it is destroyed. The connection of the moment then ends too.
class Dial {
 public:
  virtual ~Dial() = default;
};

class LinkHost {
 public:
  // What TlsIdentity::load refuses; kUsage: the Hello is not that of the certificate.
  static Expected<std::unique_ptr<LinkHost>> start(LinkHostConfig config);
  virtual ~LinkHost() = default;  // stop()

  // Takes connections of `accepts` on a numeric address. The port (for 0: the one that was free). kMissing: in use; kUsage: not an
  // address, or not a loopback one without TLS.
  virtual Expected<std::uint16_t> listen(const std::string& address, std::uint16_t port, std::vector<PeerName> accepts,
                                         OpenLink open) = 0;
  // `host`: an address or a name, looked up anew each time.
  [[nodiscard]] virtual std::unique_ptr<Dial> dial(const std::string& host, std::uint16_t port, std::vector<PeerName> accepts,
                                                   OpenLink open) = 0;
  // One end of a socket pair, which it owns from here on; plaintext. kUsage: it is another kind of descriptor.
  virtual Status adopt(int fd, std::vector<PeerName> accepts, OpenLink open) = 0;

  // Reads the TLS files again, for connections from now on; those that are open stay. On an error all stays as it was.
  virtual Status reload() = 0;
  // Hello::config_digest of connections from now on.
  virtual void set_config_digest(const std::string& digest) = 0;
  [[nodiscard]] virtual std::int64_t certificate_expires_unix_seconds() const = 0;  // 0: no TLS
  [[nodiscard]] virtual LinkHostStats stats() const = 0;
  // Closes every connection, hard; owners hear on_closed(). Repeatable. Not from the host's thread.
  virtual void stop() = 0;
};

}  // namespace herd::link
