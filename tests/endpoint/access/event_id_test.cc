#include "endpoint/access/event_id.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "endpoint/access/base64url.h"
#include "endpoint/access/hmac_sha256.h"
#include "endpoint/access/secret_file.h"
#include "endpoint/access/served_numerics.h"
#include "runtime/text/hex.h"

namespace herd::access {
namespace {

using Key = std::array<std::uint8_t, EventIdCodec::kKeyBytes>;

std::vector<std::uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

template <class T>
T counting(std::uint8_t from) {
  T bytes{};
  for (std::uint8_t& byte : bytes) byte = from++;
  return bytes;
}

const Key kKey = counting<Key>(0);

EventId some_id() {
  EventId id;
  id.created = 1795000000;
  id.answer = counting<decltype(id.answer)>(0x40);
  id.seed = 0x0123456789ABCDEF;
  id.body = counting<BodyHash>(0x80);
  id.numerics = counting<NumericsDigits>(0xC0);
  id.cached_tokens = 300;
  id.progress = {7, 0, 128};
  id.usage_sent = true;
  return id;
}

// With every field at its bounds now and then.
EventId random_id(std::mt19937_64& random) {
  EventId id;
  id.created = static_cast<std::int64_t>(random() >> (random() % 64));
  if (random() % 8 == 0) id.created = -id.created;
  for (std::uint8_t& byte : id.answer) byte = static_cast<std::uint8_t>(random());
  id.seed = random() >> (random() % 64);
  for (std::uint8_t& byte : id.body) byte = static_cast<std::uint8_t>(random());
  for (std::uint8_t& byte : id.numerics) byte = static_cast<std::uint8_t>(random());
  id.cached_tokens = static_cast<std::uint32_t>(random() >> (32 + random() % 32));
  id.progress.resize(random() % 8 == 0 ? random() % 4097 : random() % 4);
  for (std::uint32_t& events : id.progress) events = static_cast<std::uint32_t>(random() >> (32 + random() % 32));
  id.usage_sent = random() % 2 == 0;
  return id;
}

TEST(Base64url, WritesTheVectorsOfTheRfcWithoutPadding) {
  const std::pair<std::string, std::string> kCases[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xFB\xFF", "-_8"}};
  for (const auto& [bytes, text] : kCases) {
    EXPECT_EQ(base64url_encode(bytes_of(bytes)), text);
    EXPECT_EQ(base64url_decode(text), bytes_of(bytes));
  }
}

TEST(Base64url, TakesOneSpellingOfEachByteString) {
  for (const char* text :
       {"Z", "Zg=", "Zg==", "Zh", "Zm9", "Zm8=", "Zm9vY", "Zm+v", "Zm/v", "Zm9v\n", " Zm9v", "Zm 9v"})
    EXPECT_FALSE(base64url_decode(text)) << text;
  // Of all texts of two characters, one for each byte.
  std::set<std::string> seen;
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const auto bytes = base64url_decode(std::string{static_cast<char>(first), static_cast<char>(second)});
      EXPECT_TRUE(!bytes || seen.emplace(bytes->begin(), bytes->end()).second);
    }
  }
  EXPECT_EQ(seen.size(), 256U);
}

TEST(HmacSha256, GivesTheVectorsOfRfc4231) {
  struct Case {
    std::vector<std::uint8_t> key;
    std::string data;
    std::string mac;
  };
  const Case kCases[] = {{std::vector<std::uint8_t>(20, 0x0B), "Hi There",
                          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
                         {bytes_of("Jefe"), "what do ya want for nothing?",
                          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
                         {std::vector<std::uint8_t>(20, 0xAA), std::string(50, '\xDD'),
                          "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"}};
  for (const Case& c : kCases) {
    // However the message is cut into a beginning and parts.
    for (std::size_t cut = 0; cut <= c.data.size(); ++cut) {
      const HmacSha256 hmac(c.key, bytes_of(c.data.substr(0, cut)));
      const auto mac =
          hmac.of({bytes_of(c.data.substr(cut, 3)), bytes_of(c.data.size() > cut + 3 ? c.data.substr(cut + 3) : "")});
      EXPECT_EQ(std::vector<std::uint8_t>(mac.begin(), mac.end()), text::hex_bytes(c.mac));
    }
  }
}

// Made by Python's hmac and base64 from the layout in event_id.cc: ids given out by one version hold in the next.
TEST(EventIdCodec, KeepsItsFormat) {
  const EventIdCodec codec(kKey, "model demo");
  const std::string text =
      "AsCN9tcGQEFCQ0RFRkdISUpL782riWdFIwGAgYKDhIWGh4iJiouMjY6PwMHCw8TFxsfIycrLzM3Oz6wCAwcAgAEBwoYh0Nj6lRdjFuTIN3V7_w";
  EXPECT_EQ(codec.encode(some_id(), "alice"), text);
  EXPECT_EQ(codec.decode(text, "alice"), some_id());
}

TEST(EventIdCodec, GivesBackWhatWasEncodedInTheSameText) {
  const unsigned seed = 5;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const EventIdCodec codec(kKey, "scope");
  for (int i = 0; i < 3000; ++i) {
    const EventId id = random_id(random);
    const std::string text = codec.encode(id, "tenant");
    const auto decoded = codec.decode(text, "tenant");
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, id);
    EXPECT_EQ(codec.encode(*decoded, "tenant"), text);
  }
}

TEST(EventIdCodec, HoldsTheLargestIdInItsBound) {
  const EventIdCodec codec(kKey, "scope");
  EventId id = some_id();
  id.created = -1;
  id.cached_tokens = std::numeric_limits<std::uint32_t>::max();
  id.progress.assign(4096, std::numeric_limits<std::uint32_t>::max());
  const std::string text = codec.encode(id, "tenant");
  EXPECT_LE(text.size(), 32U << 10);
  EXPECT_EQ(codec.decode(text, "tenant"), id);
}

TEST(EventIdCodec, EncodesAndDecodesOnManyThreads) {
  const EventIdCodec codec(kKey, "scope");
  std::vector<std::thread> threads;
  std::array<int, 4> wrong{};
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&codec, &count = wrong[t], t] {
      EventId id = some_id();
      for (std::uint32_t i = 0; i < 3000; ++i) {
        id.progress = {i, static_cast<std::uint32_t>(t)};
        if (codec.decode(codec.encode(id, "tenant"), "tenant") != id) ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, (std::array<int, 4>{}));
}

TEST(EventIdCodec, RefusesEveryFlippedBit) {
  const EventIdCodec codec(kKey, "scope");
  const std::string text = codec.encode(some_id(), "tenant");
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      EXPECT_FALSE(codec.decode(damaged, "tenant")) << i << " " << bit;
    }
  }
  auto bytes = *base64url_decode(text);
  for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
    bytes[i / 8] ^= static_cast<std::uint8_t>(1 << (i % 8));
    EXPECT_FALSE(codec.decode(base64url_encode(bytes), "tenant")) << i;
    bytes[i / 8] ^= static_cast<std::uint8_t>(1 << (i % 8));
  }
  EXPECT_EQ(codec.decode(base64url_encode(bytes), "tenant"), some_id());
}

TEST(EventIdCodec, RefusesEveryPartAndEveryExtension) {
  const EventIdCodec codec(kKey, "scope");
  const std::string text = codec.encode(some_id(), "tenant");
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(codec.decode(text.substr(0, size), "tenant"));
    EXPECT_FALSE(codec.decode(text.substr(text.size() - size), "tenant"));
  }
  for (const char* more : {"A", "AA", "AAA", "AAAA", "=", " ", "\n"}) EXPECT_FALSE(codec.decode(text + more, "tenant"));
  EXPECT_FALSE(codec.decode(text + std::string("\0", 1), "tenant"));
  EXPECT_FALSE(codec.decode(text + text, "tenant"));
  EXPECT_FALSE(codec.decode(std::string(1 << 20, 'A'), "tenant"));
}

TEST(EventIdCodec, RefusesIdsOfAnotherTenantScopeOrKey) {
  const EventIdCodec codec(kKey, "scope");
  const std::string text = codec.encode(some_id(), "tenant");
  for (const char* tenant : {"", "Tenant", "tenan", "tenant2", "scope"}) EXPECT_FALSE(codec.decode(text, tenant));
  for (const char* scope : {"", "Scope", "scop", "scope2", "tenant"})
    EXPECT_FALSE(EventIdCodec(kKey, scope).decode(text, "tenant")) << scope;
  for (std::size_t bit = 0; bit < kKey.size() * 8; ++bit) {
    Key other = kKey;
    other[bit / 8] ^= static_cast<std::uint8_t>(1 << (bit % 8));
    EXPECT_FALSE(EventIdCodec(other, "scope").decode(text, "tenant")) << bit;
  }
  EXPECT_TRUE(EventIdCodec(kKey, "scope").decode(text, "tenant"));
}

// The same key and the same model name, other weights: the id is ours, and says under which numerics it was made.
TEST(EventIdCodec, SaysUnderWhichNumericsAStreamWasMade) {
  const std::string digits = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf";
  const std::string served = "cpu-1/bfloat16/bfloat16/00112233445566778899aabbccddeeff";
  const EventIdCodec codec(kKey, "scope");
  const auto decoded = codec.decode(codec.encode(some_id(), "tenant"), "tenant");
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->numerics, numerics_digits("cpu-1/bfloat16/bfloat16/" + digits));
  EXPECT_FALSE(ServedNumerics("cpu-1/bfloat16/bfloat16/" + digits).refuses(decoded->numerics));
  const auto why = ServedNumerics(served).refuses(decoded->numerics);
  ASSERT_TRUE(why);
  EXPECT_NE(why->find(digits), std::string::npos) << *why;
  EXPECT_NE(why->find(served), std::string::npos) << *why;
  EXPECT_EQ(numerics_digits(""), NumericsDigits{});
}

// The ids of one small model before and after the class of the CPUs changed (shard::numerics_id): an event id of the commit before
// is refused, with the digits it was made under and the whole id of today's.
TEST(ServedNumerics, RefuseAStreamOfTheClassBeforeByName) {
  const std::string before = "cpu-1/bfloat16/bfloat16/c595da9a3de00c1d138953bdf45d1f46";
  const std::string today = "cpu-2/bfloat16/bfloat16/cd82341991f72fa8ec4a5fdb08470b59";
  EventId id = some_id();
  id.numerics = numerics_digits(before);
  const EventIdCodec codec(kKey, "scope");
  const auto decoded = codec.decode(codec.encode(id, "tenant"), "tenant");
  ASSERT_TRUE(decoded);
  const auto why = ServedNumerics(today).refuses(decoded->numerics);
  ASSERT_TRUE(why);
  EXPECT_EQ(*why, "this stream was made under numerics " + before.substr(before.size() - 32) + ", this server computes under " + today +
                      ": other weights or arithmetic would go on with other text; ask anew, without Last-Event-ID");
  EXPECT_FALSE(ServedNumerics(before).refuses(decoded->numerics));
}

TEST(ServedNumerics, AreKnownWhenTheyAreToldAndNotBefore) {
  ServedNumerics numerics;
  EXPECT_FALSE(numerics.decided());
  EXPECT_EQ(numerics.digits(), nullptr);
  numerics.set("cpu-1/bfloat16/bfloat16/c0c1c2c3c4c5c6c7c8c9cacbcccdcecf");
  EXPECT_TRUE(numerics.decided());
  ASSERT_NE(numerics.digits(), nullptr);
  EXPECT_EQ(*numerics.digits(), some_id().numerics);
}

TEST(ServedNumerics, ThatCannotBeHadRefuseEveryStreamAndSayWhy) {
  ServedNumerics numerics;
  numerics.set_unknowable("model.gguf is gone");
  EXPECT_TRUE(numerics.decided());
  EXPECT_EQ(numerics.digits(), nullptr);
  const auto why = numerics.refuses(some_id().numerics);
  ASSERT_TRUE(why);
  EXPECT_NE(why->find("model.gguf is gone"), std::string::npos) << *why;
}

// What ends one of the three cannot begin the next.
TEST(EventIdCodec, KeepsScopeAndTenantApart) {
  const std::string text = EventIdCodec(kKey, "ab").encode(some_id(), "cd");
  EXPECT_FALSE(EventIdCodec(kKey, "abc").decode(text, "d"));
  EXPECT_FALSE(EventIdCodec(kKey, "a").decode(text, "bcd"));
  EXPECT_FALSE(EventIdCodec(kKey, "abcd").decode(text, ""));
  EXPECT_FALSE(EventIdCodec(kKey, "").decode(text, "abcd"));
}

// Fields that whoever has the key could have signed, but that encode() never writes.
TEST(EventIdCodec, RefusesSignedFieldsInAnotherSpelling) {
  const std::string scope = "scope";
  const std::string tenant = "tenant";
  std::vector<std::uint8_t> beginning = {5, 0, 0, 0, 0, 0, 0, 0};
  beginning.insert(beginning.end(), scope.begin(), scope.end());
  const HmacSha256 hmac(kKey, beginning);
  const EventIdCodec codec(kKey, scope);
  const auto decodes = [&](const std::vector<std::uint8_t>& fields) {
    const std::vector<std::uint8_t> tenant_size = {6, 0, 0, 0, 0, 0, 0, 0};
    const auto mac = hmac.of({tenant_size, bytes_of(tenant), fields});
    std::vector<std::uint8_t> all = fields;
    all.insert(all.end(), mac.begin(), mac.begin() + 16);
    return codec.decode(base64url_encode(all), tenant).has_value();
  };
  const auto fields = [](std::vector<std::uint8_t> created, std::vector<std::uint8_t> rest, std::uint8_t version = 2) {
    std::vector<std::uint8_t> all = {version};
    all.insert(all.end(), created.begin(), created.end());
    all.resize(all.size() + 12 + 8 + 16 + 16);
    all.insert(all.end(), rest.begin(), rest.end());
    return all;
  };
  const std::vector<std::uint8_t> kNine(9, 0xFF);
  const auto with = [](std::vector<std::uint8_t> head, std::uint8_t last) {
    head.push_back(last);
    return head;
  };
  ASSERT_TRUE(decodes(fields({0}, {0, 1, 5, 0})));
  ASSERT_TRUE(decodes(fields(with(kNine, 0x01), {0, 0, 1})));
  EXPECT_FALSE(decodes(fields({0}, {0, 1, 5, 0}, 0))) << "version 0";
  EXPECT_FALSE(decodes(fields({0}, {0, 1, 5, 0}, 1))) << "version 1";
  EXPECT_FALSE(decodes(fields({0}, {0, 1, 5, 0}, 3))) << "version 3";
  EXPECT_FALSE(decodes(fields({0x80, 0}, {0, 1, 5, 0}))) << "a long zero";
  EXPECT_FALSE(decodes(fields({0x85, 0x80, 0}, {0, 1, 5, 0}))) << "a long five";
  EXPECT_FALSE(decodes(fields(with(kNine, 0x03), {0, 0, 1}))) << "65 bits";
  EXPECT_FALSE(decodes(fields(with(with(kNine, 0x81), 0), {0, 0, 1}))) << "eleven bytes";
  EXPECT_FALSE(decodes(fields({0}, {0xFF, 0xFF, 0xFF, 0xFF, 0x1F, 0, 0}))) << "cached tokens of 33 bits";
  EXPECT_FALSE(decodes(fields({0}, {0, 2, 5, 0}))) << "fewer choices than said";
  EXPECT_FALSE(decodes(fields({0}, {0, 1, 5, 0, 0}))) << "a byte too many";
  EXPECT_FALSE(decodes(fields({0}, {0, 1, 5, 2}))) << "usage neither sent nor not";
  EXPECT_FALSE(decodes(fields({0}, {0, 0x81, 0x20}))) << "4097 choices";
  EXPECT_FALSE(decodes({}));
  EXPECT_FALSE(decodes({2}));
}

TEST(EventId, HashesBodiesWithSha256) {
  const auto expected = *text::hex_bytes("ba7816bf8f01cfea414140de5dae2223");  // FIPS 180-2, "abc"
  const BodyHash hash = hash_body("abc");
  EXPECT_EQ(std::vector<std::uint8_t>(hash.begin(), hash.end()), expected);
  EXPECT_NE(hash_body(""), hash_body(std::string_view("\0", 1)));
}

}  // namespace
}  // namespace herd::access
