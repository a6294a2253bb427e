#pragma once
// Fragments: a connection's bytes are a row of them, each with a 16-byte header that is checked before anything else is looked
// at. A frame (cluster/wire/envelope.h) travels in one or more fragments of its lane; all but its last one are full.
//
//   0 payload bytes u32 | 4 lane u8 | 5 zero u8 | 6 magic u16 | 8 sequence u64 | 16 payload          (little-endian)
//
// The sequence counts the fragments of one direction from 1 on: one that is missing, repeated or out of order ends the
// connection. A full fragment is one TLS record.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cluster/link/lanes.h"
#include "kernels/status.h"

namespace herd::link {

inline constexpr std::size_t kFragmentHeaderBytes = 16;
inline constexpr std::size_t kRecordBytesMax = 16 * 1024;
inline constexpr std::size_t kPayloadBytesMax = kRecordBytesMax - kFragmentHeaderBytes;
inline constexpr std::uint16_t kFragmentMagic = 0x4C48;  // "HL"

struct FragmentHeader {
  Lane lane = Lane::kLink;
  std::uint32_t bytes = 0;  // of payload: a multiple of 8, at least 8
  std::uint64_t sequence = 0;
};

void write_fragment_header(std::span<std::byte, kFragmentHeaderBytes> to, const FragmentHeader& header);
[[nodiscard]] Expected<FragmentHeader> parse_fragment_header(std::span<const std::byte, kFragmentHeaderBytes> bytes);

// Takes fragments out of bytes that come in any pieces. Holds at most one. After an error it is of no use.
class FragmentReader {
 public:
  struct Fragment {
    FragmentHeader header;
    std::span<const std::byte> payload;  // until the next call
  };
  // The next fragment; `bytes` shrinks by what was taken. None: there is not all of it yet, and nothing is left in `bytes`.
  [[nodiscard]] Expected<std::optional<Fragment>> next(std::span<const std::byte>& bytes);

 private:
  // Moves bytes until `size` are held; false: there were too few.
  bool hold(std::span<const std::byte>& bytes, std::size_t size);

  std::vector<std::byte> held_;  // the beginning of a fragment that came in pieces
  bool handed_out_ = false;      // what is held is the fragment of the call before
  std::uint64_t sequence_ = 0;   // of the last fragment
};

}  // namespace herd::link
