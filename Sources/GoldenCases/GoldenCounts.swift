/// How many cases of a run came out how.
public struct GoldenCounts: Sendable, Equatable {
    public private(set) var passed = 0
    /// How many of the passed cases were compared with records of bf16.
    public private(set) var passedByRecord = 0
    public private(set) var failed = 0
    public private(set) var unsupported = 0
    /// Cases without a record of bf16.
    public private(set) var unrecorded = 0

    public init() {}

    /// Whether the run proves anything: at least one case passed and none failed.
    public var isSuccess: Bool { failed == 0 && passed > 0 }

    /// Counts one case.
    public mutating func add(_ outcome: GoldenOutcome) {
        switch outcome {
        case .passed(let score):
            passed += 1
            if score.shareOfRecord != nil { passedByRecord += 1 }
        case .failed: failed += 1
        case .unsupported: unsupported += 1
        case .unrecorded: unrecorded += 1
        }
    }
}
