#pragma once
// Staging: what host and device write for each other at each step, where their memories are two. Buffers at fixed
// addresses, so that recorded steps (step_recorder.h) find them; two sides take turns, so that the host prepares a step
// while the device works on the one before.

#include <cstddef>
#include <memory>

#include "kernels/status.h"

namespace herd {

class Device;

// What the host writes for each step: host memory and its twin at a fixed address of the device.
class StagedBuffer {
 public:
  virtual ~StagedBuffer() = default;
  // Where to write the next contents; all of it is to be written anew. Waits until the device has taken what was
  // written there before (two sides take turns, so that is the upload before the last).
  [[nodiscard]] virtual void* host() = 0;
  [[nodiscard]] virtual void* device() const = 0;
  // Enqueues: the first `bytes` written since host() are at device() for all operations enqueued from here on.
  virtual void upload(std::size_t bytes) = 0;
};

// What the device writes for the host at each step: memory at a fixed address of the device, and where the host finds
// a copy.
class ReadbackBuffer {
 public:
  virtual ~ReadbackBuffer() = default;
  [[nodiscard]] virtual void* device() const = 0;
  // Enqueues a copy of the first `bytes`; the host finds it at the pointer returned once a mark set later is reached,
  // until the second read_back after this one.
  virtual const void* read_back(std::size_t bytes) = 0;
};

class Staging {
 public:
  virtual ~Staging() = default;
  // kMissing when there is not that much memory, on either side: the message says how much was asked for what.
  [[nodiscard]] virtual Expected<std::unique_ptr<StagedBuffer>> allocate_staged(std::size_t bytes, const char* what) = 0;
  [[nodiscard]] virtual Expected<std::unique_ptr<ReadbackBuffer>> allocate_readback(std::size_t bytes,
                                                                                    const char* what) = 0;
};

// The device's staged buffer; where host and device share memory, one whose two sides are the same memory (the host
// then writes when nothing reads it any more).
[[nodiscard]] Expected<std::unique_ptr<StagedBuffer>> allocate_staged(Device& device, std::size_t bytes,
                                                                      const char* what);

}  // namespace herd
