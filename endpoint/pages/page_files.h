#pragma once
// The pages, files of this folder, carried inside the program: /ui (what the cluster does), /ui/chat (talk to it), and what they load.
// They name no other host, and their headers hold a browser to that.

#include <string_view>
#include <vector>

#include "endpoint/http/http_message.h"

namespace herd::pages {

struct PageFile {
  std::string_view name;  // "status.html"
  std::string_view etag;  // in quotes
  std::string_view text;
};

// Of that path, as a request names it; null: none. /ui and /ui/ are the same page.
[[nodiscard]] const PageFile* find_page(std::string_view path);

// Whether a path is one of theirs, found or not.
[[nodiscard]] bool is_page_path(std::string_view path);

// The answer to a GET: 200, or 304 where the client has it. `headers`: what every answer carries.
[[nodiscard]] http::HttpResponse page_answer(const PageFile& page, const http::HttpRequestHead& head,
                                             std::vector<http::HttpHeader> headers);

// What goes with the data that a page polls: nobody keeps it, nobody takes it for anything else.
void add_data_headers(std::vector<http::HttpHeader>& headers);

}  // namespace herd::pages
