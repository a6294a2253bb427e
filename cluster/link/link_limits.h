#pragma once
// What a connection may cost and how long it may be silent. Times in seconds.

#include <cstddef>

namespace herd::link {

struct LinkLimits {
  double hello_s = 3.0;      // from the first moment of a connection to its Hello, TLS included
  double ping_s = 0.5;       // a ping every so often
  // Without a fragment for so long the peer is gone; in between for as long as is suspicious after the pings it sent so far.
  double silence_min_s = 1.5;
  double silence_max_s = 3.0;
  double stall_s = 2.0;      // in which the socket takes nothing: the peer does not read
  double farewell_s = 1.0;   // for what is still to be written when a side closes on purpose
  // Frames that wait to be sent. Submissions have half of it, and are refused beyond; anything else beyond it ends the connection.
  std::size_t queued_bytes_max = std::size_t{64} << 20;
  // Frames that were handed out and not yet consumed: beyond it nothing is read.
  std::size_t unconsumed_bytes_max = std::size_t{64} << 20;
};

}  // namespace herd::link
