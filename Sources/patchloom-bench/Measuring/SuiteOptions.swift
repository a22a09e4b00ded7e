public import ArgumentParser
public import TensorCore

extension BackendChoice: ExpressibleByArgument {}
extension PrecisionChoice: ExpressibleByArgument {}

/// The options of every suite that computes.
struct ComputeOptions: ParsableArguments {
    @Option(help: "Threads that compute.") var threads = 2
    @Option(help: "Compute library: auto, onednn or openblas.") var backend = BackendChoice.auto
    @Option(name: .customLong("kernels"), help: "Instruction set of our own kernels; the best by default.") var kernelSet:
        String?

    func validate() throws { try check("threads", threads, 1...ComputeContext.threadLimit) }

    func context(_ precision: PrecisionChoice = .f32) throws -> ComputeContext {
        try ComputeContext(backend: backend, threads: threads, kernelSet: kernelSet, precision: precision)
    }
}

/// The options for the number of measurements and for the report of a suite.
struct RunOptions: ParsableArguments {
    @Option(help: "Timed runs, after one that is not counted.") var runs = 3
    @Flag(help: "Print one JSON line instead of text.") var json = false

    func validate() throws { try check("runs", runs, 1...100_000) }
}

/// The options of suites that can compare counts with the numbers that they must be.
struct CheckOptions: ParsableArguments {
    @Flag(help: "Hold the counts that no machine changes against what they must be; fail if one differs.") var check = false
    @OptionGroup var expectations: ExpectOptions

    func validate() throws {
        guard check || expectations.expect.isEmpty else { throw ValidationError("--expect needs --check.") }
    }

    /// The checks to make: none without `--check`.
    func applied(to checks: [CountCheck]) throws -> [CountCheck] { check ? try expectations.applied(to: checks) : [] }
}

/// Other expectations than a suite's own.
struct ExpectOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Hold the count NAME against N instead. It shows that a check fails where the count differs.", valueName: "name=n"))
    var expect: [String] = []

    func validate() throws { _ = try given() }

    /// The given expectations by name.
    private func given() throws -> [String: Int] {
        var given: [String: Int] = [:]
        for text in expect {
            let parts = text.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, let number = Int(parts[1]) else {
                throw ValidationError("--expect needs a name and a whole number, as in unet.reorders=0, not '\(text)'.")
            }
            given[String(parts[0])] = number
        }
        return given
    }

    /// The checks with the given expectations in place of their own.
    ///
    /// - Throws: for the name of a count that does not exist here.
    func applied(to checks: [CountCheck]) throws -> [CountCheck] {
        let given = try given()
        if let stranger = given.keys.sorted().first(where: { name in !checks.contains { $0.name == name } }) {
            let known = checks.map(\.name).joined(separator: ", ")
            throw ValidationError("--expect \(stranger) names no count of this suite; it has \(known).")
        }
        return checks.map { check in
            given[check.name].map { CountCheck(name: check.name, counted: check.counted, .exactly($0)) } ?? check
        }
    }
}

/// Refuses a value outside of an option's range.
func check(_ option: String, _ value: Int, _ range: ClosedRange<Int>) throws {
    guard range.contains(value) else {
        throw ValidationError("--\(option) \(value) is not possible: choose \(range.lowerBound) to \(range.upperBound).")
    }
}
