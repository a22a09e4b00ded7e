import Foundation
import GoldenCases
import TensorCore
import TestSupport
import Testing

/// Cases that are wrong must fail, and say so.
@Suite struct FaultTests {
    private func outcome(_ prepare: (CaseFolder) throws -> Void) throws -> GoldenOutcome {
        let folder = try CaseFolder()
        defer { #expect(throws: Never.self) { try folder.remove() } }
        try prepare(folder)
        return try GoldenRunner(backend: .openblas, threads: 1).run(folder.path).outcome
    }

    private func expectFailure(_ fragment: String, _ prepare: (CaseFolder) throws -> Void) throws {
        guard case .failed(let reason) = try outcome(prepare) else {
            Issue.record("a case that should fail with '\(fragment)' did not")
            return
        }
        #expect(reason.contains(fragment), "'\(reason)' does not say '\(fragment)'")
    }

    @Test func aRightCasePasses() throws {
        #expect(try outcome { try $0.writePooling() } == .passed(GoldenScore(tensors: 1)))
    }

    @Test func aRunThatPassesNothingIsNoSuccess() {
        let passed = GoldenOutcome.passed(GoldenScore(tensors: 1))
        let recorded = GoldenOutcome.passed(GoldenScore(tensors: 1, shareOfRecord: 1))
        let runs: [(outcomes: [GoldenOutcome], isSuccess: Bool)] = [
            ([], false), ([.unsupported("a")], false), ([passed], true), ([passed, .unsupported("a")], true),
            ([passed, .failed("b")], false), ([.failed("b")], false), ([.unrecorded], false), ([recorded], true),
            // Samplers and tokenizers say nothing of bf16.
            ([passed, .unrecorded], false), ([passed, .unsupported("a"), .unrecorded], false),
            ([passed, recorded, .unrecorded], true), ([recorded, .unrecorded, .failed("b")], false),
        ]
        for run in runs {
            var counts = GoldenCounts()
            for outcome in run.outcomes { counts.add(outcome) }
            #expect(counts.isSuccess == run.isSuccess, "\(run.outcomes)")
            #expect(run.isSuccess || counts.failed > 0 || counts.lack != nil, "\(run.outcomes)")
            #expect(counts.passed + counts.failed + counts.unsupported + counts.unrecorded == run.outcomes.count)
        }
    }

    @Test func numbersOutOfToleranceFail() throws {
        let close: Float = 2.5 + 0x1p-20
        guard case .passed = try outcome({ try $0.writePooling(expected: [.floats("y", [1, 1, 1, 1], [close])]) }) else {
            Issue.record("a difference within tolerance failed")
            return
        }
        try expectFailure("out of tolerance") { try $0.writePooling(expected: [.floats("y", [1, 1, 1, 1], [2.51])]) }
        try expectFailure("out of tolerance") { try $0.writePooling(expected: [.floats("y", [1, 1, 1, 1], [.nan])]) }
        try expectFailure("out of tolerance") {
            try $0.writePooling(
                tolerance: #"{"atol": 1e30, "rtol": 1e30}"#, inputs: [.floats("x", [1, 1, 2, 2], [.nan, 2, 3, 4])])
        }
        try expectFailure("out of tolerance") { try $0.writePooling(expected: [.floats("y", [1, 1, 1, 1], [.infinity])]) }
    }

    @Test func everyExpectedTensorIsComparedAndEveryInputUsed() throws {
        let right = Stored.floats("y", [1, 1, 1, 1], [2.5])
        try expectFailure("nothing computes the expected tensors z") {
            try $0.writePooling(expected: [right, .floats("z", [1], [0])])
        }
        try expectFailure("nothing computes the expected tensors y2") {
            try $0.writePooling(expected: [.floats("y2", [1], [0])])
        }
        try expectFailure("holds no tensor") { try $0.writePooling(expected: []) }
        try expectFailure("nothing uses the input tensors w") {
            try $0.writePooling(inputs: [.floats("x", [1, 1, 2, 2], [1, 2, 3, 4]), .floats("w", [1], [0])])
        }
        try expectFailure("input tensor x is missing") { try $0.writePooling(inputs: [.floats("w", [1], [0])]) }
    }

    @Test func shapesAndElementTypesMustFit() throws {
        try expectFailure("shape [1, 1, 1, 1] was computed") { try $0.writePooling(expected: [.floats("y", [1, 1], [2.5])]) }
        try expectFailure("whole numbers were compared") { try $0.writePooling(expected: [.integers("y", [1, 1, 1, 1], [2])]) }
        try expectFailure("has shape [4]") { try $0.writePooling(inputs: [.floats("x", [4], [1, 2, 3, 4])]) }
        try expectFailure("has shape [1, 0, 2, 2]") { try $0.writePooling(inputs: [.floats("x", [1, 0, 2, 2], [])]) }
    }

    @Test func caseFilesThatSayNothingUsefulFail() throws {
        try expectFailure("case.json cannot be read") { _ in }
        try expectFailure("case.json") { try $0.write(json: "{") }
        try expectFailure("\"kind\" is missing") { try $0.write(json: "{}") }
        try expectFailure("out of") { folder in
            try folder.write(
                json: #"{"kind": "rng", "expected": "../out of/here.safetensors", "tolerance": {"atol": 0, "rtol": 0}}"#)
        }
        try expectFailure("not negative") { try $0.writePooling(tolerance: #"{"atol": -1, "rtol": 0}"#) }
        for decibels in ["0", "-3", "-1e30"] {
            try expectFailure("must be positive") { try $0.writePooling(tolerance: "{\"psnr\": \(decibels)}") }
        }
        try expectFailure("a tolerance for z") {
            try $0.writePooling(tolerance: #"{"atol": 0, "rtol": 0, "per_tensor": {"z": {"atol": 1, "rtol": 0}}}"#)
        }
        try expectFailure("\"rtol\" is missing") { try $0.writePooling(tolerance: #"{"atol": 1}"#) }
        try expectFailure("kind \"quantum\" is not known") { folder in
            try folder.writePooling()
            try folder.write(
                json: #"{"kind": "quantum", "expected": "expected.safetensors", "tolerance": {"atol": 0, "rtol": 0}}"#)
        }
        try expectFailure("has models/nowhere") { folder in
            try folder.writePooling()
            try folder.write(
                json: """
                    {"kind": "unet_forward", "model": "models/nowhere", "expected": "expected.safetensors", "params": {},
                     "tolerance": {"atol": 0, "rtol": 0}}
                    """)
        }
    }

    @Test func whatIsNotImplementedIsNamedAndNeverPassed() throws {
        let result = try outcome { folder in
            try folder.writePooling()
            try folder.write(
                json: """
                    {"kind": "scheduler_table", "expected": "expected.safetensors", "tolerance": {"atol": 0, "rtol": 0},
                     "params": {"num_inference_steps": [4], "scheduler": {"_class_name": "UniPCMultistepScheduler", "use_beta_sigmas": true}}}
                    """)
        }
        guard case .unsupported(let reason) = result else {
            Issue.record("an option that is not implemented gave \(result)")
            return
        }
        #expect(reason.contains("use_beta_sigmas"))
    }

    @Test func picturesAreMeasuredInDecibels() throws {
        func outcome(_ seedOf: String, _ psnr: Double) throws -> GoldenOutcome {
            try self.outcome { folder in
                let source = Fixtures.folder.appendingPathComponent("golden/cases/txt2img/openmoji-24-red-apple")
                var text = try String(contentsOf: source.appendingPathComponent("case.json"), encoding: .utf8)
                text = text.replacing("\"psnr\": 45", with: "\"psnr\": \(psnr)").replacing(
                    "\"atol\": 0.001", with: "\"atol\": 100")
                text = text.replacing("\"seed\": 7", with: "\"seed\": \(seedOf)")
                try folder.write(json: text)
                let expected = try Data(contentsOf: source.appendingPathComponent("expected.safetensors"))
                try folder.write("expected.safetensors", [UInt8](expected))
            }
        }
        guard case .failed(let reason) = try outcome("8", 45) else {
            Issue.record("another seed drew the same picture")
            return
        }
        #expect(reason.contains("PSNR"))
    }

    /// Bytes of cases damaged at random: any outcome, but no crash and no hang.
    @Test func damagedCasesNeverCrash() throws {
        var generator = SeededGenerator(seed: 20_261_123)
        let runner = try GoldenRunner(backend: .openblas, threads: 1)
        let cases = Fixtures.folder.appendingPathComponent("golden/cases")
        let names = [
            "hidiffusion_ops/resize-7x10", "cutdiffusion_detail/tiny-sdxl-1x2-s8-step2",
            "cutdiffusion_views/1024x2048-w128-s64-jitter6",
            "scheduler/ddim-eta0p5-n8", "rng/python-6", "hidiffusion_ops/rad-conv-7x10", "tome_plan/7x9-s2x2-r0p4-b2-rand",
            "todo_indices/nearest",
        ]
        var outcomes = (passed: 0, others: 0)
        for name in names {
            let source = cases.appendingPathComponent(name)
            let files = try FileManager.default.contentsOfDirectory(atPath: source.path).sorted()
            #expect(!files.isEmpty, "\(name) has no files")
            let folder = try CaseFolder()
            defer { #expect(throws: Never.self) { try folder.remove() } }
            var contents: [String: [UInt8]] = [:]
            for file in files { contents[file] = [UInt8](try Data(contentsOf: source.appendingPathComponent(file))) }
            for round in 0..<30 {
                let victim = files[round % files.count]
                for (file, bytes) in contents {
                    try folder.write(file, file == victim ? Mutation.mutate(bytes, using: &generator) : bytes)
                }
                if case .passed = runner.run(folder.path).outcome { outcomes.passed += 1 } else { outcomes.others += 1 }
            }
        }
        #expect(outcomes.others > 60, "damage went unseen: \(outcomes)")
    }
}
