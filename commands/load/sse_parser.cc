#include "commands/load/sse_parser.h"

#include <algorithm>

namespace herd::load {

Status SseParser::feed(std::string_view bytes, std::vector<SseEvent>& events) {
  const Status too_long =
      bad_input("an event of the stream is longer than " + std::to_string(event_bytes_max_) + " bytes");
  if (broken_) return too_long;
  while (!bytes.empty()) {
    if (skip_newline_) {
      skip_newline_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const std::size_t end = bytes.find_first_of("\r\n");
    const std::string_view piece = bytes.substr(0, end);
    if (line_.size() + piece.size() + data_.size() > event_bytes_max_) {
      broken_ = true;
      return too_long;
    }
    if (end == std::string_view::npos) {
      line_.append(piece);
      break;
    }
    skip_newline_ = bytes[end] == '\r';
    if (line_.empty()) {
      on_line(piece, events);
    } else {
      line_.append(piece);
      on_line(line_, events);
      line_.clear();
    }
    bytes.remove_prefix(end + 1);
  }
  return {};
}

void SseParser::on_line(std::string_view line, std::vector<SseEvent>& events) {
  if (first_line_) {
    first_line_ = false;
    if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  }
  if (line.empty()) {  // the end of an event; one without data is none
    if (has_data_) events.push_back({type_, std::move(data_), id_});
    data_.clear();
    type_.clear();
    has_data_ = false;
    return;
  }
  if (line.front() == ':') {
    ++comments_;
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return on_field(line, {});
  std::string_view value = line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  on_field(line.substr(0, colon), value);
}

void SseParser::on_field(std::string_view name, std::string_view value) {
  if (name == "data") {
    if (has_data_) data_.push_back('\n');
    data_.append(value);
    has_data_ = true;
  } else if (name == "event") {
    type_ = value;
  } else if (name == "id") {
    if (value.find('\0') == std::string_view::npos) id_ = value;
  }  // "retry" is for clients that reconnect; other names are ignored, as the standard says
}

}  // namespace herd::load
