#pragma once
// WorkMeter: how fast work is done, and how much of it a request will be. Pure.
//
// Rate: tokens over busy time, both fading with a time constant of 10 s of busy time. Busy is the time with something
// running, so an idle hour is not slowness. Tokens count as made evenly since the ones before them, so that a long
// prefill, which is reported when it ends, is neither a standstill nor a burst.
// Forecast: a request is charged the share of its prompt that earlier ones had to compute (the prefix cache gives the
// rest) and the output that earlier ones made per sequence, at most what it allows.

#include <cstdint>
#include <optional>

#include "runtime/clock.h"

namespace herd::admission {

class WorkMeter {
 public:
  WorkMeter();

  // From now on something runs, or nothing does.
  void set_busy(bool busy, Instant now);
  // Done by now; negative: counted too many before.
  void on_tokens(double tokens, Instant now);
  // > 0; nullopt until there were tokens and a second of work.
  [[nodiscard]] std::optional<double> tokens_per_s() const;

  // What a finished request turned out to be: of `given` prompt tokens `computed` were.
  void on_request(std::uint64_t given, std::uint64_t computed, std::uint32_t sequences, std::uint64_t output);
  // Expected tokens to compute.
  [[nodiscard]] double forecast_prompt(std::uint64_t prompt) const;
  [[nodiscard]] double forecast_output(std::uint32_t sequences, std::uint64_t output_max) const;

 private:
  void advance(Instant now);

  double tokens_ = 0;     // faded, as is
  double busy_s_ = 0;     // this
  double pending_s_ = 0;  // busy time since the last tokens, up to at_
  Instant at_;
  bool busy_ = false;
  double computed_share_ = 1;   // [0, 1]
  double output_per_sequence_;  // tokens
};

}  // namespace herd::admission
