// The pages as they are carried inside the program: their paths, their headers, and that they name nobody else.
#include "endpoint/pages/page_files.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>

#include "endpoint/pages/page_texts.h"

namespace herd::pages {
namespace {

http::HttpRequestHead head_with(std::vector<http::HttpHeader> headers) {
  http::HttpRequestHead head;
  head.method = "GET";
  head.headers = std::move(headers);
  return head;
}

std::string value_of(const http::HttpResponse& response, std::string_view name) {
  for (const http::HttpHeader& header : response.headers)
    if (http::same_name(header.name, name)) return header.value;
  return {};
}

TEST(PageFiles, AreFoundByTheirPathsAndNothingElseIs) {
  const struct {
    const char* path;
    const char* name;
  } rows[] = {{"/ui", "status.html"},       {"/ui/", "status.html"},     {"/ui/chat", "chat.html"},
              {"/ui/pages.css", "pages.css"}, {"/ui/status.js", "status.js"}, {"/ui/stream.js", "stream.js"}};
  for (const auto& row : rows) {
    const PageFile* page = find_page(row.path);
    ASSERT_NE(page, nullptr) << row.path;
    EXPECT_EQ(page->name, row.name);
    EXPECT_FALSE(page->text.empty());
  }
  for (const char* path : {"", "/", "/ui/status.html", "/ui/chat.html", "/ui/chat/", "/ui//", "/uiX", "/ui/../ui", "/ui/page_texts.cc",
                           "/status.html", "pages.css", "/ui/%70ages.css"})
    EXPECT_EQ(find_page(path), nullptr) << path;
  EXPECT_TRUE(is_page_path("/ui") && is_page_path("/ui/") && is_page_path("/ui/nothing"));
  EXPECT_FALSE(is_page_path("/uix") || is_page_path("/v1/models") || is_page_path(""));
}

TEST(PageFiles, HoldABrowserToThisServer) {
  for (const PageFile& page : page_texts()) {
    const http::HttpResponse answer = page_answer(page, head_with({}), {{"x-request-id", "7"}});
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, page.text);
    EXPECT_EQ(value_of(answer, "x-request-id"), "7");
    EXPECT_EQ(value_of(answer, "content-security-policy"),
              "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
              "form-action 'none'; frame-ancestors 'none'");
    EXPECT_EQ(value_of(answer, "x-content-type-options"), "nosniff");
    EXPECT_EQ(value_of(answer, "referrer-policy"), "no-referrer");
    EXPECT_EQ(value_of(answer, "cache-control"), "no-cache");
    const bool script = page.name.ends_with(".js"), style = page.name.ends_with(".css");
    EXPECT_EQ(answer.content_type, script  ? "text/javascript; charset=utf-8"
                                   : style ? "text/css; charset=utf-8"
                                           : "text/html; charset=utf-8");
  }
}

TEST(PageFiles, AClientThatHasItIsToldSo) {
  const PageFile& page = *find_page("/ui");
  const std::string tag(page.etag);
  std::set<std::string_view> tags;
  for (const PageFile& each : page_texts()) tags.insert(each.etag);
  EXPECT_EQ(tags.size(), page_texts().size());
  for (const std::string& known : {tag, "W/" + tag, "\"other\", " + tag, std::string("*")}) {
    const http::HttpResponse answer = page_answer(page, head_with({{"If-None-Match", known}}), {});
    EXPECT_EQ(answer.status, 304) << known;
    EXPECT_EQ(answer.body, "");
    EXPECT_EQ(value_of(answer, "etag"), tag);
    EXPECT_NE(value_of(answer, "content-security-policy"), "");
  }
  for (const char* known : {"", "\"other\"", "other"})
    EXPECT_EQ(page_answer(page, head_with({{"If-None-Match", known}}), {}).status, 200) << known;
}

// The only URL that is none of this server's is the name of SVG's vocabulary, which nobody asks for.
TEST(PageFiles, NameNoOtherHost) {
  const std::regex url(R"((https?:|wss?:)?//[A-Za-z0-9])"), inline_code(R"(\son[a-z]+=|style=|<style|<script>|javascript:)");
  const std::regex markup(R"(innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function)");
  const std::string svg = "http://www.w3.org/2000/svg";
  for (const PageFile& page : page_texts()) {
    std::string text(page.text);
    for (std::size_t at = 0; (at = text.find(svg)) != std::string::npos;) text.erase(at, svg.size());
    std::smatch found;
    EXPECT_FALSE(std::regex_search(text, found, url)) << page.name << ": " << found.str();
    EXPECT_FALSE(std::regex_search(text, found, inline_code)) << page.name << ": " << found.str() << ": the policy forbids it";
    EXPECT_FALSE(std::regex_search(text, found, markup)) << page.name << ": " << found.str() << ": text never becomes markup";
  }
}

// A file that is missing from CMake's list would be a 404 in the browser.
TEST(PageFiles, WhatTheyLoadIsThere) {
  const std::regex path(R"re(["'](/ui[^"'?#]*)["'])re");
  int seen = 0;
  for (const PageFile& page : page_texts()) {
    const std::string text(page.text);
    for (auto it = std::sregex_iterator(text.begin(), text.end(), path); it != std::sregex_iterator(); ++it, ++seen)
      EXPECT_TRUE(find_page((*it)[1].str()) != nullptr || (*it)[1] == "/ui/status.json") << page.name << ": " << (*it)[1];
  }
  EXPECT_GE(seen, 10);
}

}  // namespace
}  // namespace herd::pages
