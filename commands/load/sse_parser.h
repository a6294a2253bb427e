#pragma once
// Server-sent events, read incrementally (WHATWG HTML, "Server-sent events", 9.2.6): bytes in pieces of any size in,
// whole events out. Pure. Does not know what the data means.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"

namespace herd::load {

struct SseEvent {
  std::string type;  // empty: "message"
  std::string data;  // the data lines, joined by \n
  std::string id;    // the last id seen so far
  bool operator==(const SseEvent&) const = default;
};

// Value with the state of one stream. Lines end in \n, \r\n or \r; a byte order mark at the start is skipped.
class SseParser {
 public:
  // event_bytes_max: of one line and of one event's data; a stream that exceeds it is refused.
  explicit SseParser(std::size_t event_bytes_max = std::size_t{1} << 20) : event_bytes_max_(event_bytes_max) {}

  // Appends the events that these bytes complete. kBadInput past the bound; the parser then takes no more.
  Status feed(std::string_view bytes, std::vector<SseEvent>& events);

  [[nodiscard]] std::size_t comments() const { return comments_; }  // lines that began with ':'
  // Bytes of an event that no blank line has ended: the stream was cut.
  [[nodiscard]] bool inside_event() const { return !line_.empty() || has_data_; }

 private:
  void on_line(std::string_view line, std::vector<SseEvent>& events);
  void on_field(std::string_view name, std::string_view value);

  std::size_t event_bytes_max_;
  std::string line_;  // the part of a line that came so far
  std::string data_;
  std::string type_;
  std::string id_;
  std::size_t comments_ = 0;
  bool has_data_ = false;
  bool skip_newline_ = false;  // the last byte was \r: a \n behind it ends nothing
  bool first_line_ = true;
  bool broken_ = false;
};

}  // namespace herd::load
