import Foundation

/// The training steps of the inference steps, highest first.
enum TimestepTable {
    /// Leading spacing: multiples of the whole-number ratio, plus the offset.
    static func leading(trainSteps: Int, steps: Int, offset: Int) -> [Double] {
        let ratio = trainSteps / steps
        return (0..<steps).reversed().map { Double($0 * ratio + offset) }
    }

    /// Trailing spacing: from the last training step down.
    ///
    /// NumPy's `arange` counts by the rounded difference of its first two values. This does the same, to get the same
    /// timesteps. NumPy's length can come out one too long, which would add a step at timestep -1; here it is always `steps`.
    static func trailing(trainSteps: Int, steps: Int) -> [Double] {
        let start = Double(trainSteps)
        let difference = (start - start / Double(steps)) - start
        return (0..<steps).map { (start + Double($0) * difference).rounded(.toNearestOrEven) - 1 }
    }

    /// Linspace spacing: from the last training step to the first, not rounded.
    static func linspace(trainSteps: Int, steps: Int) -> [Double] {
        let end = Double(trainSteps - 1)
        if steps == 1 { return [0] }
        let step = end / Double(steps - 1)
        return (0..<steps).reversed().map { $0 == steps - 1 ? end : Double($0) * step }
    }
}
