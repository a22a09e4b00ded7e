import ContentHash
import Foundation
import TensorCore
import TestSupport
import Testing

@testable import GoldenCases

/// bf16 against records of the reference's own bf16.
@Suite struct RecordTests {
    /// Whether this CPU has bf16. Where it has none, a runner in bf16 is refused.
    static let hasBF16 = (try? PrecisionChoice.bf16.resolved(.onednn)) == .bf16

    static func expectRefusal() {
        #expect(throws: ComputeError.self) { _ = try GoldenRunner(backend: .onednn, threads: 1, precision: .bf16) }
    }

    // MARK: Comparing

    private func share(
        _ actual: [Double], _ expected: [Double], rms: Double, largest: Double
    ) throws(GoldenError) -> Double {
        func tensor(_ values: [Double]) -> GoldenTensor { GoldenTensor(shape: [values.count], values: .reals(values)) }
        return try RecordedComparison.check(
            "y", actual: tensor(actual), expected: tensor(expected), recorded: .reals(rms: rms, largest: largest))
    }

    @Test func anErrorMayBeAFixedMultipleOfTheRecordedOne() throws {
        // Errors of 0.03 on values with a root mean square of 1.
        let (actual, expected) = ([1.03, -0.97, 1.03, -1.03], [1.0, -1, 1, -1])
        #expect(abs(try share(actual, expected, rms: 0.03, largest: 0.03) - 1) < 1e-6)
        #expect(abs(try share(actual, expected, rms: 0.0151, largest: 0.03) - 0.03 / 0.0151) < 1e-6)
        #expect(try share(expected, expected, rms: 1e-9, largest: 1e-9) == 0)
        for (rms, largest) in [(0.0149, 1.0), (1.0, 0.0119)] {
            let error = #expect(throws: GoldenError.self) { try share(actual, expected, rms: rms, largest: largest) }
            #expect(error?.description.contains("the reference's own in bf16") == true)
        }
    }

    @Test func damagedNumbersAreNotWithinAnyRecord() {
        for value in [Double.nan, .infinity, -.infinity] {
            #expect(throws: GoldenError.self) { try share([1, value], [1, 2], rms: 1e30, largest: 1e30) }
            #expect(throws: GoldenError.self) { try share([value, 2], [1, 2], rms: 1e30, largest: 1e30) }
        }
        #expect(throws: GoldenError.self) { try share([1], [1, 2], rms: 1, largest: 1) }
    }

    @Test func turnedDecisionsAreCounted() throws {
        func check(_ wrong: Int, _ recorded: ReferenceRecords.Error) throws -> Double {
            let expected = (0..<100).map { $0 }
            let actual = expected.map { $0 < wrong ? $0 + 1 : $0 }
            return try RecordedComparison.check(
                "ids", actual: GoldenTensor(integers: actual, shape: [100]),
                expected: GoldenTensor(integers: expected, shape: [100]), recorded: recorded)
        }
        #expect(try check(0, .integers(share: 0.01)) == 0)
        #expect(abs(try check(20, .integers(share: 0.1)) - 2) < 1e-9)
        #expect(throws: GoldenError.self) { try check(21, .integers(share: 0.1)) }
        // Every value is off by one: a PSNR of 48.13 dB.
        #expect(try check(100, .picture(decibels: 50)) > 1)
        #expect(throws: GoldenError.self) { try check(100, .picture(decibels: 55)) }
        #expect(throws: GoldenError.self) { try check(1, .reals(rms: 1, largest: 1)) }
    }

    // MARK: Files

    private func file(_ text: String) throws -> (folder: CaseFolder, path: String) {
        let folder = try CaseFolder()
        try folder.write("records.json", Array(text.utf8))
        return (folder, folder.path + "/records.json")
    }

    @Test func theProgramsOwnRecordsAreRead() throws { _ = try ReferenceRecords.ofThisProgram() }

    /// A program that was copied without its resources says so.
    @Test func missingRecordsAreAnError() throws {
        let folder = try CaseFolder()
        defer { #expect(throws: Never.self) { try folder.remove() } }
        let error = #expect(throws: GoldenError.self) { _ = try ReferenceRecords.ofProgram(in: folder.path) }
        let sentence = error?.description ?? ""
        #expect(sentence.contains(folder.path) && sentence.contains("is missing"), "\(sentence)")
    }

    @Test(arguments: [
        ("", "records.json"), ("[]", "\"cases\" must be an object"), (#"{"cases": {"a/b": 1}}"#, "\"expected\" is missing"),
        (#"{"cases": {"a/b": {"expected": "12", "errors": {}}}}"#, "64 hexadecimal digits"),
        (#"{"cases": {"a/b": {"expected": "DIGEST", "errors": []}}}"#, "\"errors\" must be an object"),
        (#"{"cases": {"a/b": {"expected": "DIGEST", "errors": {"y": {"rms": 1}}}}}"#, "\"max\" is missing"),
        (#"{"cases": {"a/b": {"expected": "DIGEST", "errors": {"y": {"rms": 0, "max": 1}}}}}"#, "must be above 0"),
        (#"{"cases": {"a/b": {"expected": "DIGEST", "errors": {"y": {"differ": -1}}}}}"#, "must be above 0"),
        (#"{"cases": {"a/b": {"expected": "DIGEST", "errors": {"y": {"psnr": "high"}}}}}"#, "a number is needed"),
    ])
    func damagedRecordsAreRefused(_ text: String, _ reason: String) throws {
        let digest = String(repeating: "ab", count: 32)
        let (folder, path) = try file(text.replacing("DIGEST", with: digest))
        defer { #expect(throws: Never.self) { try folder.remove() } }
        let error = #expect(throws: GoldenError.self) { _ = try ReferenceRecords(path: path) }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "no error")")
    }

    // MARK: Running

    /// A pooling case whose numbers bf16 cannot hold. The mean of 1.001, 2, 3 and 4.
    private func outcome(_ record: (String, SHA256Digest) -> String) throws -> GoldenOutcome {
        let folder = try CaseFolder()
        defer { #expect(throws: Never.self) { try folder.remove() } }
        let expected = [Stored.floats("y", [1, 1, 1, 1], [2.50025])]
        try folder.writePooling(inputs: [.floats("x", [1, 1, 2, 2], [1.001, 2, 3, 4])], expected: expected)
        let name = "hidiffusion_ops/\(folder.url.lastPathComponent)"
        try folder.write("records.json", Array(record(name, SHA256Digest(of: Stored.file(expected))).utf8))
        let records = try ReferenceRecords(path: folder.path + "/records.json")
        let runner = try GoldenRunner(backend: .onednn, threads: 1, precision: .bf16, records: records)
        #expect(runner.precision == .bf16)
        return runner.run(folder.path).outcome
    }

    @Test func aCaseIsComparedWithItsOwnRecordOnly() throws {
        guard Self.hasBF16 else { return Self.expectRefusal() }
        func text(_ name: String, _ digest: String, _ rms: Double) -> String {
            "{\"cases\": {\"\(name)\": {\"expected\": \"\(digest)\", \"errors\": {\"y\": {\"rms\": \(rms), \"max\": 1}}}}}"
        }
        guard case .passed(let score) = try outcome({ text($0, $1.hex, 1e-4) }) else {
            Issue.record("an error within the record failed")
            return
        }
        #expect(try #require(score.shareOfRecord) > 0.5 && score.tensors == 1)
        guard case .failed = try outcome({ text($0, $1.hex, 1e-5) }) else {
            Issue.record("an error beyond the record passed")
            return
        }
        // Another case, or other results of a case of this name, have no record.
        #expect(try outcome { text($0 + "-2", $1.hex, 1) } == .unrecorded)
        #expect(try outcome { name, _ in text(name, String(repeating: "ab", count: 32), 1) } == .unrecorded)
        #expect(try outcome { _, _ in "{\"cases\": {}}" } == .unrecorded)
    }

    /// Without a record of a tensor the case's own tolerance counts: bf16 has left the tensor as it is.
    @Test func aTensorWithoutARecordKeepsItsTolerance() throws {
        guard Self.hasBF16 else { return Self.expectRefusal() }
        let outcome = try outcome { "{\"cases\": {\"\($0)\": {\"expected\": \"\($1.hex)\", \"errors\": {}}}}" }
        guard case .failed(let reason) = outcome else {
            Issue.record("a rounded mean reached the tolerance of f32: \(outcome)")
            return
        }
        #expect(reason.contains("out of tolerance"))
    }
}
