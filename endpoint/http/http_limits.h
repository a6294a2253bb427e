#pragma once
// HttpLimits: what a client may send and how slowly. One struct for the server and the parsers under it.

#include <chrono>
#include <cstddef>

namespace herd::http {

// Each has a default that fits a public edge; the number behind it is the status of the refusal.
struct HttpLimits {
  std::size_t request_line_bytes = 8 * 1024;      // 414
  std::size_t head_bytes = 32 * 1024;             // 431
  std::size_t header_bytes = 8 * 1024;            // one header line; 431
  std::size_t headers = 100;                      // 431
  std::size_t body_bytes = 2 * 1024 * 1024;       // 413; at most 32 MiB
  std::chrono::milliseconds head_time{10'000};    // from the first byte of a request to the end of its head; 408
  std::chrono::milliseconds body_time{30'000};    // for the whole body; 408
  std::size_t body_bytes_per_s_min = 1024;        // after body_grace; 408. 0: any rate
  std::chrono::milliseconds body_grace{5'000};    // of a body, in which the rate does not count yet
  std::chrono::milliseconds idle_time{60'000};    // of a keep-alive connection: closed
  std::chrono::milliseconds write_stall{30'000};  // nothing could be written for so long: cut
  // What was begun to be written, a whole answer or a stream's batch, must have gone after answer_grace and its size over this rate:
  // else cut. 0: any rate. Such a client holds an answer for as long as it likes, a byte each write_stall. 16 KiB/s is a mobile phone
  // of 2003 (EDGE).
  std::size_t answer_bytes_per_s_min = 16 * 1024;
  std::chrono::milliseconds answer_grace{60'000};
  std::size_t stream_frames_max = 1024;           // of one stream, behind a socket that is full (response_outbox.h)
  std::size_t stream_bytes_max = 256 * 1024;      // the same in bytes; a single frame may be larger
  std::size_t pipelined_bytes_max = 64 * 1024;    // unread requests behind the one being answered: not read further
  // More are answered one request, a probe (HttpHandler::answers_over_limit) or a 503, then closed. Of these an eighth of this number, 8 to
  // 128, are open at one time: the one that came first makes room.
  std::size_t connections = 12'000;
  std::size_t connections_per_ip = 512;           // the same; IPv6 by /64; loopback addresses do not count
};

}  // namespace herd::http
