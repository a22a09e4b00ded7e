import Foundation
import GoldenCases
import TensorCore
import TestSupport
import Testing

@Suite struct CommittedCasesTests {
    private static let golden = Fixtures.folder.appendingPathComponent("golden")

    /// The committed cases and, where the full set is at hand, its others. None is left out and none runs twice.
    private static func folders() throws -> [String] {
        let committed = try GoldenRunner.caseFolders(below: golden.path)
        guard let shared = Fixtures.sharedGolden else { return committed }
        func name(_ folder: String) -> [Substring] { folder.split(separator: "/").suffix(2) }
        let known = Set(committed.map(name))
        let others = try GoldenRunner.caseFolders(below: shared.appendingPathComponent("cases").path)
        #expect(others.count >= 447)
        return committed + others.filter { !known.contains(name($0)) }
    }

    @Test(arguments: BackendChoice.libraries)
    func everyCasePasses(backend: BackendChoice) throws {
        let runner = try GoldenRunner(backend: backend, threads: 1)
        #expect(runner.backendName == backend.rawValue)
        let folders = try Self.folders()
        var tensors = 0
        var kinds: Set<String> = []
        for folder in folders {
            let result = runner.run(folder)
            kinds.insert(result.kind)
            guard case .passed(let score) = result.outcome else {
                Issue.record("\(folder): \(result.outcome)")
                continue
            }
            tensors += score.tensors
            if folder.hasSuffix("txt2img/openmoji-24-red-apple") {
                try checkEmbeddedModel(folder, score.decibels)
            }
        }
        // Fixtures that went missing would pass unseen.
        #expect(folders.count >= 178 && tensors >= 1606, "\(folders.count) cases, \(tensors) tensors")
        let wanted: Set<String> = [
            "cutdiffusion_detail", "cutdiffusion_interaction", "cutdiffusion_pipeline", "cutdiffusion_relocation",
            "cutdiffusion_views", "file_refusal", "hidiffusion_block", "hidiffusion_ops", "hidiffusion_pipeline",
            "hidiffusion_stages", "hidiffusion_todo", "hidiffusion_unet", "img2img", "inpaint", "lora", "rng", "scheduler",
            "scheduler_add_noise", "scheduler_table", "text_encode", "todo_block", "todo_indices", "todo_unet", "tokenizer",
            "tome_block", "tome_plan", "tome_unet", "txt2img", "unet_forward", "vae_decode",
            "vae_decode_tiled", "vae_encode", "vae_encode_tiled",
        ]
        #expect(kinds.isSuperset(of: wanted))
    }

    /// All cases in bf16, within the records of the reference's own bf16. Cases that compute in f32 in any precision have to
    /// reach their own tolerances.
    @Test func everyCasePassesInBF16() throws {
        guard RecordTests.hasBF16 else { return RecordTests.expectRefusal() }
        let runner = try GoldenRunner(backend: .onednn, threads: 1, precision: .bf16)
        var counts = GoldenCounts()
        for folder in try Self.folders() {
            let result = runner.run(folder)
            counts.add(result.outcome)
            if case .passed = result.outcome { continue }
            Issue.record("\(folder): \(result.outcome)")
        }
        #expect(counts.passed >= 178 && counts.passedByRecord >= 50, "\(counts)")
    }

    /// The model inside the program draws the 8-bit picture that diffusers makes: from the seed, with our own noise.
    private func checkEmbeddedModel(_ folder: String, _ decibels: Double?) throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(Set(names) == ["case.json", "expected.safetensors"], "no stored latent may stand in for the seed")
        #expect(try #require(decibels) >= 45)
    }
}
