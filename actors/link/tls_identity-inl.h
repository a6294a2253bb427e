// TlsIdentity: a process's certificate and whom it trusts, read from files and read again when they change. Connections keep the
// context they began with, so that a new certificate is one for new connections.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "actors/link/tls_files.h"
#include "cluster/link/peer_name.h"
#include "kernels/status.h"

typedef struct ssl_st SSL;

namespace herd::link {

class TlsIdentity {
 public:
  using Context = boost::asio::ssl::context;

  // TLS 1.3, no tickets, both sides with certificates. kMissing: a file cannot be read or is not PEM, or the key is another one's;
  // kBadInput: a certificate without a herd URI, or one that has expired or is not valid yet.
  static Expected<std::unique_ptr<TlsIdentity>> load(const TlsFiles& files);

  // Any thread. Reads the files again; on an error all stays as it was. kBadInput too: the name is another one than before.
  Status reload();
  // Whether one of them is not the file that was read last. Any thread.
  [[nodiscard]] bool files_changed() const;
  [[nodiscard]] std::shared_ptr<Context> context() const;
  [[nodiscard]] const PeerName& name() const { return name_; }
  [[nodiscard]] std::int64_t expires_unix_seconds() const;

 private:
  struct Loaded {
    std::shared_ptr<Context> context;
    PeerName name;
    std::int64_t expires = 0;
    std::string stamp;  // of the files: inodes, sizes, times of change
  };
  explicit TlsIdentity(TlsFiles files) : files_(std::move(files)) {}
  static Expected<Loaded> read(const TlsFiles& files);
  static std::string stamp_of(const TlsFiles& files);

  const TlsFiles files_;
  PeerName name_;
  mutable std::mutex mutex_;
  Loaded loaded_;
};

// Of the certificate that the peer of a finished handshake has shown.
[[nodiscard]] Expected<PeerName> peer_name_of(SSL* connection);
// Why a handshake failed, as far as it was the peer's certificate; empty otherwise.
[[nodiscard]] std::string refused_certificate(SSL* connection);

}  // namespace herd::link
