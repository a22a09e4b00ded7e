import TensorCore

/// One call of a network: its durations, and the counts of a call after the first.
struct MeasuredNetwork {
    let timing: Timing
    /// The counts of all timed calls together.
    private let counts: ComputeCounts
    private let peakActivationBytes: Int

    init(_ context: ComputeContext, runs: Int, _ call: () throws -> Void) throws {
        try call()
        context.forgetPeak()
        let before = context.counts
        timing = try Timing(runs: runs, warmUp: false, call)
        counts = context.counts - before
        peakActivationBytes = context.peakActivationBytes
    }

    /// Multiplications and additions of one call.
    var operations: UInt64 { counts.operations / UInt64(timing.seconds.count) }

    func add(to report: inout SuiteReport) {
        report.timing = timing
        report.figures = [
            ("tflop", Double(operations) * 1e-12), ("gflop_per_second", Double(operations) / timing.best * 1e-9),
        ]
        report.counts = [
            ("operations", Int(operations)), ("peak_activation_bytes", peakActivationBytes),
            ("allocations", counts.allocations),
            ("reorders", counts.reorders), ("preparations", counts.preparations),
        ]
    }

    /// A call with the shapes of the one before asks the system for no memory, brings no weights into another order and
    /// prepares nothing.
    ///
    /// - Parameters:
    ///   - suite: the first word of the counts' names.
    ///   - operations: the operations of a call by formula.
    func checks(_ suite: String, operations formula: UInt64) -> [CountCheck] {
        [
            CountCheck(name: "\(suite).operations", counted: Int(operations), .exactly(Int(formula))),
            CountCheck(name: "\(suite).allocations", counted: counts.allocations, .exactly(0)),
            CountCheck(name: "\(suite).reorders", counted: counts.reorders, .exactly(0)),
            CountCheck(name: "\(suite).preparations", counted: counts.preparations, .exactly(0)),
        ]
    }
}
