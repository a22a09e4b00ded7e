public import ArgumentParser
import Runtime

/// The number of views or patches that a worker computes in one call of the network. The picture does not depend on it.
public struct GroupOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The most views or patches that a worker computes at once, 1 to \(WorkerOptions.largestGroup); fewer where memory "
                + "is short or calls are long. The picture does not depend on it.",
            valueName: "count"))
    var group = WorkerOptions.usualGroup

    /// The number. Throws if it is out of range.
    public func checked() throws(CommandFailure) -> Int {
        guard (1...WorkerOptions.largestGroup).contains(group) else {
            throw CommandFailure(.usage, "--group must be from 1 to \(WorkerOptions.largestGroup), not \(group).")
        }
        return group
    }
}
