import Foundation
import Runtime

/// The memory that limits the default number of workers.
enum HostMemory {
    /// How many workers with this model fit into the free memory, at least 1. A number from the user is not limited.
    static func workersThatFit(weightBytes: Int, _ limits: ControlGroup) -> Int {
        guard weightBytes > 0, let available = [availableBytes(), limits.freeBytes].compactMap({ $0 }).min() else {
            return Int.max
        }
        // Half-precision files double when widened, libraries keep weights in their own form, and activations need memory
        // too; some memory is left to others.
        let perWorker = Double(weightBytes) * 2.5 + Double(1 << 30)
        return max(1, Int(Double(available) * 0.7 / perWorker))
    }

    /// The kernel's estimate of memory available without swapping; nil if it gives none.
    static func availableBytes() -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
        return line?.split(separator: " ").compactMap { Int($0) }.first.map { $0 &* 1024 }
    }
}
