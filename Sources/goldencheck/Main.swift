public import ArgumentParser
import GoldenCases
import StrictJSON
public import TensorCore

extension BackendChoice: ExpressibleByArgument {}
extension PrecisionChoice: ExpressibleByArgument {}

/// `goldencheck DIR…`: computes reference cases again and compares.
@main
struct GoldenCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "goldencheck",
        abstract: "Computes the golden cases below folders with Patchloom's own modules and compares the results.",
        discussion: """
            One line a case: PASS, FAIL, UNSUPPORTED (known and not implemented) or UNRECORDED. The last line counts. The exit \
            code is 1 when a case failed or nothing was compared, or when networks were left out for want of a record and none \
            was compared by one.

            In bf16, cases with networks are compared with records of the reference packages' own bf16: an error may be \
            twice theirs (root mean square; 2.5 times for the largest). Cases that nobody has recorded are not run and \
            count as UNRECORDED. deploy/bf16-records.py makes records.
            """)

    static func main() {
        // If the waiting policy cannot be set, the results are the same, only later.
        _ = WaitingPolicy.settle(program: "goldencheck")
        main(nil)
    }

    @Argument(help: ArgumentHelp("Folders with cases, searched to any depth.", valueName: "dir")) var folders: [String]
    @Option(help: "Only kinds that match this regular expression, from the first to the last character.") var kind: String?
    @Option(help: "Compute library: auto, onednn or openblas.") var backend = BackendChoice.auto
    @Option(help: "Arithmetic of the networks: auto, f32 or bf16.") var precision = PrecisionChoice.f32
    @Option(help: ArgumentHelp("Records of bf16 for other cases than Patchloom's own.", valueName: "file"))
    var records: String?
    @Option(help: "Threads that compute; the cases are so small that one is fastest.") var threads = 1
    @Flag(help: "Print one JSON object a case, and one with the counts at the end.") var json = false

    func run() throws {
        let kinds = try kindExpression()
        let runner = try GoldenRunner(
            backend: backend, threads: threads, precision: precision,
            records: records.map { path throws(GoldenError) in try ReferenceRecords(path: path) })
        var count = GoldenCounts()
        for folder in folders {
            for path in try GoldenRunner.caseFolders(below: folder) {
                // A case that does not say its kind is not left out: it fails.
                let kindName = GoldenRunner.kind(of: path)
                if let kinds, !kindName.isEmpty, try kinds.wholeMatch(in: kindName) == nil { continue }
                let result = runner.run(path)
                count.add(result.outcome)
                print(json ? jsonLine(result) : textLine(result))
            }
        }
        report(count)
        if count.failed == 0, let lack = count.lack { throw GoldenError.failed(lack) }
        if !count.isSuccess { throw ExitCode(1) }
    }

    private func kindExpression() throws -> Regex<AnyRegexOutput>? {
        guard let kind else { return nil }
        do { return try Regex(kind) } catch { throw ValidationError("--kind \(kind) is not a regular expression: \(error)") }
    }

    private func textLine(_ result: GoldenResult) -> String {
        let name = result.folder.split(separator: "/").suffix(2).joined(separator: "/")
        switch result.outcome {
        case .passed(let score):
            let picture = score.decibels.map { ", PSNR \($0) dB" } ?? ""
            let error =
                score.shareOfRecord.map { "\($0) of the reference's error in bf16" } ?? "largest error \(score.largestError)"
            return "PASS \(name): \(error) over \(score.tensors) tensors\(picture)"
        case .failed(let reason): return "FAIL \(name): \(reason)"
        case .unsupported(let reason): return "UNSUPPORTED \(name): \(reason)"
        case .unrecorded: return "UNRECORDED \(name): there is no record of the reference's bf16 for it"
        }
    }

    private func jsonLine(_ result: GoldenResult) -> String {
        var line = JSONObject()
        line["case"] = .string(result.folder)
        line["kind"] = .string(result.kind)
        switch result.outcome {
        case .passed(let score):
            line["outcome"] = "passed"
            line["largest_error"] = .number(score.largestError)
            line["share_of_record"] = score.shareOfRecord.map { .number($0) }
            line["tensors"] = .integer(Int64(score.tensors))
            // Equal pictures have an infinite ratio, and JSON has no infinity.
            line["psnr_db"] = score.decibels.map { $0.isFinite ? .number($0) : .string("equal") }
        case .failed(let reason): (line["outcome"], line["reason"]) = ("failed", .string(reason))
        case .unsupported(let reason): (line["outcome"], line["reason"]) = ("unsupported", .string(reason))
        case .unrecorded: line["outcome"] = "unrecorded"
        }
        return JSONValue.object(line).canonicalText
    }

    private func report(_ count: GoldenCounts) {
        if json {
            let line: JSONValue = [
                "passed": .integer(Int64(count.passed)), "failed": .integer(Int64(count.failed)),
                "unsupported": .integer(Int64(count.unsupported)), "unrecorded": .integer(Int64(count.unrecorded)),
                "passed_by_record": .integer(Int64(count.passedByRecord)),
            ]
            print(line.canonicalText)
        } else {
            let unsupported = count.unsupported > 0 ? ", \(count.unsupported) unsupported" : ""
            let unrecorded = count.unrecorded > 0 ? ", \(count.unrecorded) without a record of bf16" : ""
            let byRecord = count.passedByRecord > 0 ? " (\(count.passedByRecord) of them by records of bf16)" : ""
            print("\(count.passed) passed\(byRecord), \(count.failed) failed\(unsupported)\(unrecorded)")
        }
    }
}
