// The socket that clients connect to: made from host and port, or inherited.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "endpoint/http/http_server.h"

namespace herd::http {

// Listens. Of a name's addresses the first IPv4 one is taken, else the first. kMissing: in use or not ours; kUsage: no
// such host, or listen_fd is no listening TCP socket.
Expected<boost::asio::ip::tcp::acceptor> open_listen_socket(boost::asio::io_context& context,
                                                            const HttpServerConfig& config);

// "127.0.0.1:8000", "[::1]:8000"
std::string address_text(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace herd::http
