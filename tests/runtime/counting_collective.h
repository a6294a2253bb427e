#pragma once
// A Collective that counts what is asked of another, by name.

#include <cstddef>
#include <map>
#include <memory>
#include <utility>

#include "kernels/collective.h"

namespace herd::testing {

class CountingCollective final : public Collective {
 public:
  using Counts = std::map<CollectiveName, int>;

  // `counts` outlives this; one rank's thread writes it.
  CountingCollective(std::unique_ptr<Collective> inner, Counts& counts) : inner_(std::move(inner)), counts_(counts) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  void all_gather(CollectiveName name, const void* send, void* receive, std::size_t bytes) override {
    ++counts_[name];
    inner_->all_gather(name, send, receive, bytes);
  }
  void exchange(CollectiveName name, const void* send, void* receive, std::size_t slice_bytes) override {
    ++counts_[name];
    inner_->exchange(name, send, receive, slice_bytes);
  }
  void send(CollectiveName name, int to, const void* data, std::size_t bytes) override {
    ++counts_[name];
    inner_->send(name, to, data, bytes);
  }
  void receive(CollectiveName name, int from, void* data, std::size_t bytes) override {
    ++counts_[name];
    inner_->receive(name, from, data, bytes);
  }
  void abort(const char* reason) override { inner_->abort(reason); }
  Status status() const override { return inner_->status(); }

 private:
  const std::unique_ptr<Collective> inner_;
  Counts& counts_;
};

}  // namespace herd::testing
