import ArgumentParser
import DiffusionModels
import StrictJSON
import TensorCore

/// `patchloom-bench text`: two rows of tokens through each text encoder of an architecture. Text encoders compute in f32 in
/// either precision.
struct TextBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "text",
        abstract: "Times the text encoders of a Stable Diffusion architecture on a prompt and a negative prompt.")

    @Option(help: "Architecture: sd15, sd21, sdxl or embedded.") var family = BenchFamily.sd15
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var reporting: RunOptions
    @OptionGroup var checks: CheckOptions

    func run() throws {
        let context = try compute.context()
        var report = SuiteReport("text")
        report.settings = [("family", .string(family.rawValue)), ("rows", .integer(Int64(Self.rows)))]
        report.add(context)
        for component in family.textEncoders {
            let (part, held) = try Self.measure(component, family, context, runs: reporting.runs)
            report.parts.append(part)
            report.checks += held
        }
        // Every encoder has run as often, so the runs of the whole are the sums of theirs.
        let runs = (0..<reporting.runs).map { index in report.parts.reduce(0) { $0 + $1.timing.seconds[index] } }
        report.timing = Timing(runs)
        report.counts = [("operations", Int(report.parts.reduce(0) { $0 + $1.operations }))]
        report.checks = try checks.applied(to: report.checks)
        try report.finish(json: reporting.json)
    }

    /// A prompt and a negative prompt.
    static let rows = 2

    static func measure(
        _ component: String, _ family: BenchFamily, _ context: ComputeContext, runs: Int
    ) throws -> (SuiteReport.Part, [CountCheck]) {
        let encoder = try family.textEncoder(component, context)
        let configuration = encoder.configuration
        let tokens = min(UNetInput.textTokens, configuration.maxPositions)
        let row = (0..<tokens).map { Int32($0 % configuration.vocabularySize) }
        let measured = try MeasuredNetwork(context, runs: runs) {
            _ = try encoder.encode(ids: Array(repeating: row, count: rows))
        }
        let formula = UInt64(
            configuration.operations(rows: rows, tokens: tokens, isProjected: encoder.hasProjection))
        let part = SuiteReport.Part(name: component, timing: measured.timing, operations: formula)
        return (part, measured.checks(component, operations: formula))
    }
}
