#include "endpoint/pages/page_files.h"

#include <algorithm>
#include <string>
#include <utility>

#include "endpoint/pages/page_texts.h"

namespace herd::pages {
namespace {

constexpr std::string_view kRoot = "/ui";

// Nothing but this server's own files and answers; no frame around them, no form or base that leads away.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

const char* content_type_of(std::string_view name) {
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  return "text/html; charset=utf-8";
}

std::string_view name_of(std::string_view path) {
  if (path == kRoot || path == "/ui/") return "status.html";
  if (path == "/ui/chat") return "chat.html";
  const std::string_view name = path.starts_with("/ui/") ? path.substr(4) : std::string_view();
  return name.ends_with(".html") ? std::string_view() : name;
}

// RFC 9110, 13.1.2: weakly, any of the list.
bool has_it(const http::HttpRequestHead& head, std::string_view etag) {
  const std::string* known = head.header("if-none-match");
  if (known == nullptr) return false;
  return std::ranges::any_of(http::list_elements(*known), [etag](std::string_view tag) {
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    return tag == etag || tag == "*";
  });
}

}  // namespace

const PageFile* find_page(std::string_view path) {
  const std::string_view name = name_of(path);
  const auto texts = page_texts();
  const auto found = std::ranges::find(texts, name, &PageFile::name);
  return found != texts.end() ? &*found : nullptr;
}

bool is_page_path(std::string_view path) { return path == kRoot || path.starts_with("/ui/"); }

http::HttpResponse page_answer(const PageFile& page, const http::HttpRequestHead& head, std::vector<http::HttpHeader> headers) {
  headers.push_back({"Content-Security-Policy", kPolicy});
  headers.push_back({"X-Content-Type-Options", "nosniff"});
  headers.push_back({"Referrer-Policy", "no-referrer"});
  headers.push_back({"Cross-Origin-Opener-Policy", "same-origin"});
  headers.push_back({"Cross-Origin-Resource-Policy", "same-origin"});
  // Kept, but never used without asking: another version of herd has other files under the same names.
  headers.push_back({"Cache-Control", "no-cache"});
  headers.push_back({"ETag", std::string(page.etag)});
  if (has_it(head, page.etag)) return {304, "", std::move(headers), ""};
  return {200, content_type_of(page.name), std::move(headers), std::string(page.text)};
}

void add_data_headers(std::vector<http::HttpHeader>& headers) {
  headers.push_back({"Cache-Control", "no-store"});
  headers.push_back({"X-Content-Type-Options", "nosniff"});
}

}  // namespace herd::pages
