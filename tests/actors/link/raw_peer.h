#pragma once
// A stranger at the other end of a TCP connection: says any bytes, in plaintext or through TLS with any certificate, and keeps what it
// sent so that it can be said again.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "actors/link/tls_files.h"
#include "kernels/check.h"

namespace herd::link {

class RawPeer {
 public:
  explicit RawPeer(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    HERD_CHECK(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "somebody listens");
    constexpr timeval kLongest{30, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &kLongest, sizeof kLongest);
  }
  ~RawPeer() { close(fd_); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  // As the listener names it.
  [[nodiscard]] std::string address() const {
    sockaddr_in own{};
    socklen_t size = sizeof own;
    HERD_CHECK(getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &size) == 0, "a socket has an address");
    return "127.0.0.1:" + std::to_string(ntohs(own.sin_port));
  }
  void say_plain(std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      const auto sent = ::send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return;
      at += static_cast<std::size_t>(sent);
    }
    sent_.insert(sent_.end(), bytes.begin(), bytes.end());
  }

  // Shakes hands as a client, with that certificate or none. false: one side refused; the listener may still refuse later.
  bool secure(const TlsFiles* files, int version = TLS1_3_VERSION) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(context_.get(), version);
    SSL_CTX_set_max_proto_version(context_.get(), version);
    if (files != nullptr) {
      HERD_CHECK(SSL_CTX_use_certificate_chain_file(context_.get(), files->certificate.c_str()) == 1, "a certificate");
      HERD_CHECK(SSL_CTX_use_PrivateKey_file(context_.get(), files->key.c_str(), SSL_FILETYPE_PEM) == 1, "its key");
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_.get());
    for (;;) {
      const int done = SSL_do_handshake(ssl_.get());
      const bool waits = done != 1 && SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ;
      flush();
      if (!waits) return done == 1;
      if (!take()) return false;
    }
  }
  void say(std::span<const std::byte> bytes) {
    if (SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0) flush();
  }
  // The other side finds the end behind all that was said.
  void hang_up() { shutdown(fd_, SHUT_WR); }
  // All that was ever sent, as it went over the wire.
  [[nodiscard]] const std::vector<std::byte>& sent() const { return sent_; }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  void flush() {
    std::array<std::byte, 16 * 1024> bytes;
    for (int size; (size = BIO_read(SSL_get_wbio(ssl_.get()), bytes.data(), bytes.size())) > 0;)
      say_plain(std::span(bytes).first(static_cast<std::size_t>(size)));
  }
  bool take() {
    std::array<std::byte, 16 * 1024> bytes;
    const auto size = recv(fd_, bytes.data(), bytes.size(), 0);
    if (size <= 0) return false;
    if (ssl_) BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(size));
    return true;
  }

  int fd_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
  std::vector<std::byte> sent_;
};

}  // namespace herd::link
