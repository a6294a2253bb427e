#pragma once
// Puts the fragments of one lane together to frames. Memory grows with the bytes that came, never with what was announced.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::link {

class FrameAssembly {
 public:
  // No frame has begun: the next fragment begins one.
  [[nodiscard]] bool empty() const { return !header_.has_value(); }

  // Reads the header of the frame that this fragment begins. Magic, kind, version and length are good afterwards; whether the
  // kind is welcome is the caller's question. Only when empty().
  [[nodiscard]] Expected<wire::FrameHeader> begin(std::span<const std::byte> payload);
  // The next fragment, the one that was begun with included. The frame once it is complete and verified.
  [[nodiscard]] Expected<std::optional<wire::OpenedFrame>> add(std::span<const std::byte> payload);

 private:
  std::optional<wire::FrameHeader> header_;
  wire::Words words_;
  std::uint32_t checksum_ = 0;  // as far as words_ go: a long frame's is not a long wait at its end
};

}  // namespace herd::link
