/// The number of cases of a run for each outcome.
public struct GoldenCounts: Sendable, Equatable {
    public private(set) var passed = 0
    /// The number of passed cases that were compared with records of bf16.
    public private(set) var passedByRecord = 0
    public private(set) var failed = 0
    public private(set) var unsupported = 0
    /// Cases without a record of bf16.
    public private(set) var unrecorded = 0

    public init() {}

    /// Whether the run proves anything: no case failed, and there is no `lack`.
    public var isSuccess: Bool { failed == 0 && lack == nil }

    /// The reason why a run without failures proves nothing; nil if it proves something. In bf16, samplers and other parts that
    /// stay in f32 prove nothing about the networks.
    public var lack: String? {
        if passed + failed + unsupported + unrecorded == 0 { return "there is no case of this kind, so nothing was compared" }
        if unrecorded > 0, passedByRecord == 0 {
            return "no network was compared in bf16, because none of these cases has a record; deploy/bf16-records.py makes "
                + "records, and --records names them"
        }
        return passed + failed == 0 ? "nothing was compared, because all these cases need what is not implemented" : nil
    }

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
