#include "endpoint/access/served_numerics.h"

#include <utility>

#include "kernels/check.h"
#include "runtime/text/hex.h"

namespace herd::access {

void ServedNumerics::set(std::string id) {
  const NumericsDigits digits = numerics_digits(id);
  decide({.id = std::move(id), .digits = digits, .failure = {}});
}

void ServedNumerics::set_unknowable(std::string why) {
  decide({.id = {}, .digits = std::nullopt, .failure = std::move(why)});
}

void ServedNumerics::leave_to_replicas() { decide({.id = {}, .digits = std::nullopt, .failure = {}, .of_replicas = true}); }

bool ServedNumerics::left_to_replicas() const {
  const Found* found = found_.load(std::memory_order_acquire);
  return found != nullptr && found->of_replicas;
}

void ServedNumerics::decide(Found found) {
  const Found* before = nullptr;
  const auto* now = new Found(std::move(found));
  HERD_CHECK(found_.compare_exchange_strong(before, now, std::memory_order_acq_rel), "numerics are told once");
}

const NumericsDigits* ServedNumerics::digits() const {
  const Found* found = found_.load(std::memory_order_acquire);
  return found != nullptr && found->digits ? &*found->digits : nullptr;
}

std::optional<std::string> ServedNumerics::refuses(const NumericsDigits& stream) const {
  const Found* found = found_.load(std::memory_order_acquire);
  HERD_CHECK(found != nullptr, "a stream waits until the numerics are decided");
  HERD_CHECK(!found->of_replicas, "the replicas' numerics are in the cluster's view");
  if (!found->digits)
    return "this server cannot tell whether it makes the bytes of this stream (its weights could not be read again: " +
           found->failure + "); ask anew, without Last-Event-ID";
  if (stream == *found->digits) return std::nullopt;
  return "this stream was made under numerics " + text::hex(stream) + ", this server computes under " + found->id +
         ": other weights or arithmetic would go on with other text; ask anew, without Last-Event-ID";
}

}  // namespace herd::access
