import FoundationEssentials
import StrictJSON
public import TensorCore

/// The outcome of one case.
public enum GoldenOutcome: Sendable, Equatable {
    case passed(GoldenScore)
    case failed(String)
    /// The case computes in bf16, and nobody has measured how far the reference's own bf16 lies from its f32. It was not run.
    case unrecorded
    /// The case needs something known that is not implemented; the sentence names it.
    case unsupported(String)
}

/// The figures of a passed case.
public struct GoldenScore: Sendable, Equatable {
    /// The largest absolute error of all tensors.
    public var largestError = 0.0
    /// The number of tensors compared.
    public var tensors = 0
    /// The smallest PSNR of 8-bit pictures: infinite if they are equal, nil without pictures.
    public var decibels: Double?
    /// The largest error as a multiple of the reference's own error in bf16; nil if the case computes in f32.
    public var shareOfRecord: Double?

    public init(largestError: Double = 0, tensors: Int = 0, decibels: Double? = nil, shareOfRecord: Double? = nil) {
        (self.largestError, self.tensors) = (largestError, tensors)
        (self.decibels, self.shareOfRecord) = (decibels, shareOfRecord)
    }
}

/// One case and its outcome.
public struct GoldenResult: Sendable, Equatable {
    /// The case's folder.
    public let folder: String
    /// `kind` of its case file; empty if that cannot be read.
    public let kind: String
    public let outcome: GoldenOutcome
}

/// Runs golden cases: inputs and results of reference implementations, computed again with the program's own modules.
///
/// `golden/README.md` describes the format of a case: a folder with `case.json`, input tensors and expected tensors.
public final class GoldenRunner {
    private let bench: ModelBench
    /// The records to compare results in bf16 with; nil in f32.
    private let records: ReferenceRecords?

    /// - Parameters:
    ///   - precision: in bf16, networks are compared with the records of the reference's own bf16.
    ///   - records: nil for the records of this program.
    /// - Throws: `ComputeError` if the compute library does not start or does not have the precision here, `.failed` for
    ///   records that are damaged.
    public init(
        backend: BackendChoice, threads: Int, precision: PrecisionChoice = .f32, records: ReferenceRecords? = nil
    ) throws {
        bench = ModelBench(try ComputeContext(backend: backend, threads: threads, precision: precision))
        self.records = bench.context.precision == .f32 ? nil : try records ?? ReferenceRecords.ofThisProgram()
    }

    /// The element type of weights and activations.
    public var precision: ElementType { bench.context.precision }

    /// The compute library in use.
    public var backendName: String { bench.context.backendName }

    /// The folders at or below `folder` that have a `case.json`, sorted by path.
    ///
    /// - Throws: `.failed` if there is no such folder.
    public static func caseFolders(below folder: String) throws(GoldenError) -> [String] {
        var path = folder
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        if !path.hasPrefix("/") { path = FileManager.default.currentDirectoryPath + "/" + path }
        var isFolder = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder else {
            throw .failed("\(folder) is not a folder")
        }
        if FileManager.default.fileExists(atPath: path + "/case.json") { return [path] }
        let names: [String]
        do { names = try FileManager.default.subpathsOfDirectory(atPath: path) } catch {
            throw .failed("\(folder) cannot be listed: \(error)")
        }
        return names.filter { $0.hasSuffix("/case.json") }.map { path + "/" + $0.dropLast("/case.json".count) }.sorted()
    }

    /// The kind of the case in `folder`; empty if its file cannot be read.
    public static func kind(of folder: String) -> String {
        guard let data = FileManager.default.contents(atPath: folder + "/case.json"),
            let json = try? JSONValue(parsing: [UInt8](data), limits: .config)
        else { return "" }
        return json["kind"]?.stringValue ?? ""
    }

    /// Runs the case in `folder`. Errors in the folder become the outcome.
    public func run(_ folder: String) -> GoldenResult {
        var kind = ""
        do {
            let golden = try GoldenCase(folder: folder)
            kind = golden.kind
            let run = CaseRun(golden, bench: bench)
            var record: ReferenceRecords.Case?
            if let records, GoldenKinds.inPrecision[kind] != nil {
                record = try records.record(of: golden)
                guard record != nil else { return GoldenResult(folder: folder, kind: kind, outcome: .unrecorded) }
            }
            guard let compute = GoldenKinds.inPrecision[kind] ?? GoldenKinds.inSingle[kind] else {
                throw GoldenError.failed("the kind \"\(kind)\" is not known")
            }
            try compute(run)
            return GoldenResult(folder: folder, kind: kind, outcome: .passed(try run.compare(record)))
        } catch GoldenError.unsupported(let reason) {
            return GoldenResult(folder: folder, kind: kind, outcome: .unsupported(reason))
        } catch {
            return GoldenResult(folder: folder, kind: kind, outcome: .failed("\(error)"))
        }
    }
}
