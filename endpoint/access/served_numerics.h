#pragma once
// ServedNumerics: the numerics id that this server makes streams under. It takes all weights to compute, so a server serves before it
// is known; until then events have no id and no stream is gone on with. A gateway of a cluster has none of its own: there each replica
// says its own. Set once, read by any thread without a lock.

#include <atomic>
#include <optional>
#include <string>

#include "endpoint/access/event_id.h"

namespace herd::access {

class ServedNumerics {
 public:
  ServedNumerics() = default;
  // Known from the start.
  explicit ServedNumerics(std::string id) { set(std::move(id)); }
  ~ServedNumerics() { delete found_.load(); }
  ServedNumerics(const ServedNumerics&) = delete;
  ServedNumerics& operator=(const ServedNumerics&) = delete;

  // One of the three, once.
  void set(std::string id);
  void set_unknowable(std::string why);
  void leave_to_replicas();

  // One of them was called.
  [[nodiscard]] bool decided() const { return found_.load(std::memory_order_acquire) != nullptr; }
  // Each replica has numerics of its own, which its route names.
  [[nodiscard]] bool left_to_replicas() const;
  // Null: not known, or left to replicas.
  [[nodiscard]] const NumericsDigits* digits() const;
  // Why a stream made under `stream` cannot go on here, with both numerics; nullopt: it can. Once it is decided, and not left to
  // replicas.
  [[nodiscard]] std::optional<std::string> refuses(const NumericsDigits& stream) const;

 private:
  struct Found {
    std::string id;
    std::optional<NumericsDigits> digits;
    std::string failure;  // why there are none
    bool of_replicas = false;
  };
  void decide(Found found);
  std::atomic<const Found*> found_{nullptr};  // owned
};

}  // namespace herd::access
