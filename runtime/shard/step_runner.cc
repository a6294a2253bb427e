#include "runtime/shard/step_runner.h"

#include "runtime/shard/device_steps.h"
#include "runtime/shard/host_steps.h"

namespace herd::shard {

Expected<std::unique_ptr<StepRunner>> make_step_runner(const RankParts& parts) {
  return parts.device.step_recorder() == nullptr ? HostSteps::make(parts) : DeviceSteps::make(parts);
}

}  // namespace herd::shard
