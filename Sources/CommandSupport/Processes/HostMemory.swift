import Foundation
import Runtime

/// What the default number of workers looks at besides cores.
enum HostMemory {
    /// How many workers with this model fit into the memory that is free now, at least 1. Only a default hangs on it: whoever
    /// names a number gets it.
    static func workersThatFit(weightBytes: Int, _ limits: ControlGroup) -> Int {
        guard weightBytes > 0, let available = [availableBytes(), limits.freeBytes].compactMap({ $0 }).min() else {
            return Int.max
        }
        // Half-precision files double when they are widened, libraries keep weights in a form of their own, and activations
        // come on top; some memory is left to others.
        let perWorker = Double(weightBytes) * 2.5 + Double(1 << 30)
        return max(1, Int(Double(available) * 0.7 / perWorker))
    }

    /// What the kernel believes can be had without swapping; nil where it does not say.
    static func availableBytes() -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
        return line?.split(separator: " ").compactMap { Int($0) }.first.map { $0 &* 1024 }
    }
}
