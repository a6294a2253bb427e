#pragma once
// What tests and benchmarks of connections stand on: certificates in a folder that goes again, and owners that write down what they
// hear.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "actors/link/certificate_maker.h"
#include "actors/link/link_host.h"
#include "kernels/check.h"

namespace herd::link {

// Generous: nothing waits for as long as this unless it is broken.
inline constexpr std::chrono::seconds kLong{30};

inline void write_text(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::trunc) << text; }

class CertificateFolder {
 public:
  CertificateFolder() {
    char name[] = "/tmp/herd_link_XXXXXX";
    HERD_CHECK(mkdtemp(name) != nullptr, "a folder for certificates");
    path_ = name;
    authority_ = make_authority("test", {}).value();
    write_text(path_ + "/ca.pem", authority_.certificate);
  }
  ~CertificateFolder() { std::filesystem::remove_all(path_); }
  CertificateFolder(const CertificateFolder&) = delete;
  CertificateFolder& operator=(const CertificateFolder&) = delete;

  // Signed by this folder's authority, into files named `file`.
  TlsFiles make(const std::string& file, const PeerName& peer, Validity validity = {}) const {
    return put(file, make_certificate(authority_, peer, validity).value());
  }
  TlsFiles put(const std::string& file, const CertificatePair& pair) const {
    const TlsFiles files{path_ + "/" + file + ".pem", path_ + "/" + file + ".key", path_ + "/ca.pem"};
    write_text(files.certificate, pair.certificate);
    write_text(files.key, pair.key);
    return files;
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const CertificatePair& authority() const { return authority_; }

 private:
  std::string path_;
  CertificatePair authority_;
};

// Everything that one side hears, in order. Any thread.
class Record {
 public:
  // Whom to give a host as its OpenLink.
  OpenLink opener() {
    return [this](std::shared_ptr<Link> link, const PeerOpened& opened) {
      const std::lock_guard lock(mutex_);
      link_ = std::move(link);
      peers_.push_back(opened.hello);
      changed_.notify_all();
      return std::make_shared<Owner>(*this, link_);
    };
  }
  std::function<void(const Status&)> trouble() {
    return [this](const Status& status) { note(troubles_, status.message()); };
  }

  template <class Done>
  bool wait(Done done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLong, done);
  }
  bool opened(std::size_t times = 1) {
    return wait([&] { return peers_.size() >= times; });
  }
  bool closed(std::size_t times = 1) {
    return wait([&] { return ends_.size() >= times; });
  }
  bool frames(std::size_t count) {
    return wait([&] { return frames_.size() >= count; });
  }
  // A line of trouble or of an end that holds the text.
  bool told(const std::string& text) {
    const auto holds = [&](const std::string& line) { return line.find(text) != std::string::npos; };
    return wait([&] { return std::ranges::any_of(troubles_, holds) || std::ranges::any_of(ends_, holds); });
  }
  [[nodiscard]] std::size_t hung() {
    const std::lock_guard lock(mutex_);
    return hung_;
  }
  std::string lines() {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const auto* list : {&troubles_, &ends_})
      for (const std::string& line : *list) all += line + "\n";
    return all;
  }
  std::shared_ptr<Link> link() {
    const std::lock_guard lock(mutex_);
    return link_;
  }
  wire::OpenedFrame frame(std::size_t index) {
    const std::lock_guard lock(mutex_);
    return frames_.at(index);
  }
  bool consume = true;  // before anything comes

 private:
  class Owner final : public LinkOwner {
   public:
    Owner(Record& record, std::shared_ptr<Link> link) : record_(record), link_(std::move(link)) {}
    void on_frame(wire::OpenedFrame frame) override {
      if (record_.consume) link_->consumed(frame.frame.words.size() * 8);
      record_.note(record_.frames_, std::move(frame));
    }
    void on_hung() override {
      const std::lock_guard lock(record_.mutex_);
      ++record_.hung_;
    }
    void on_closed(const Status& why) override {
      record_.note(record_.ends_, why.message());
      link_.reset();
    }

   private:
    Record& record_;
    std::shared_ptr<Link> link_;
  };

  template <class T>
  void note(std::vector<T>& list, T value) {
    const std::lock_guard lock(mutex_);
    list.push_back(std::move(value));
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Link> link_;
  std::vector<handshake::Hello> peers_;
  std::vector<wire::OpenedFrame> frames_;
  std::vector<std::string> ends_;
  std::size_t hung_ = 0;
  std::vector<std::string> troubles_;
};

inline LinkHostConfig host_config(handshake::Role role, const std::string& name, std::optional<TlsFiles> tls, Record& record) {
  LinkHostConfig config;
  config.mine.cluster = "test";
  config.mine.role = role;
  config.mine.node = name;
  config.mine.incarnation = 7;
  if (role == handshake::Role::kRank) config.mine.model = "m";
  config.tls = std::move(tls);
  config.on_trouble = record.trouble();
  return config;
}

inline const std::vector<PeerName> kGateways{{handshake::Role::kGateway, ""}};
inline const std::vector<PeerName> kRanks{{handshake::Role::kRank, ""}};

}  // namespace herd::link
