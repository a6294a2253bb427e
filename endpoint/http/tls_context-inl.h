// The server's side of TLS: certificate, key, versions, ALPN.
#pragma once

#include <boost/asio/ssl/context.hpp>

#include <string>

#include "kernels/status.h"

namespace herd::http {

// Of two PEM files. TLS 1.2 or later, OpenSSL's default ciphers, no renegotiation, ALPN "http/1.1". kMissing: a file cannot be read, is
// not PEM, or the key is not the certificate's.
Expected<boost::asio::ssl::context> make_tls_context(const std::string& certificate, const std::string& key);

}  // namespace herd::http
