// The socket that clients connect to: made from host and port, or inherited.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "endpoint/http/http_server.h"

namespace herd::http {

// Listens. Of a name's addresses the first IPv4 one is taken, else the first. kMissing: in use or not ours; kUsage: no
// such host, or listen_fd is no listening TCP socket. Close-on-exec: a child of this process would keep the port.
// Close-on-exec and non-blocking, as what it accepts.
Expected<boost::asio::ip::tcp::acceptor> open_listen_socket(boost::asio::io_context& context,
                                                            const HttpServerConfig& config);
// The next connection that waits to be taken, as a descriptor that is non-blocking and close-on-exec from its first moment
// (Asio sets neither at once, so that a child started meanwhile would hold a client's connection). -1: `error` says why;
// would_block when none waits.
int accept_waiting(boost::asio::ip::tcp::acceptor& acceptor, boost::asio::ip::tcp::endpoint& peer,
                   boost::system::error_code& error);

// "127.0.0.1:8000", "[::1]:8000"
std::string address_text(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace herd::http
